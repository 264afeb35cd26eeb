"""Profiles: read, changed, and destroyed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import IntegrityError

from command_api.mails import texts
from domain.errors import InvalidCommandError
from domain.events.identity import UserRegistered
from domain.events.profile import EmailChanged, ProfileChanged, UserDeleted
from domain.identity.addresses import check_address
from domain.identity.api_keys import replay_api_key, revoke_api_key
from domain.subscriptions.subscription import LIVE
from domain.subscriptions.tiers import Tier, highest
from edge.errors import bad_request
from event_store.beside.billing.subscriptions import read_subscriptions
from event_store.ids import new_envelope, to_iso

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    from command_api.identity.credentials import Known
    from command_api.identity.people import People
    from command_api.mails.outbox import Outbox
    from command_api.profile.schemas import ChangeProfile
    from domain.events.base import Event
    from edge.caller import Caller

PROFILE_BYTES_MAX = 16_384
"""Of what a user keeps here: name, preferences and settings, as JSON."""

_FACTS = """
SELECT coalesce(a.available, 0) - (SELECT coalesce(sum(l.available), 0)::bigint FROM credit_lot l
    WHERE l.account_id = a.account_id AND l.expires_at <= clock_timestamp()),
  (SELECT max(l.expires_at) FROM credit_lot l WHERE l.account_id = u.account_id
    AND l.kind = 'trial' AND l.available > 0 AND l.expires_at > clock_timestamp()),
  (SELECT k.masked FROM api_key k WHERE k.user_id = u.user_id
    AND k.project_id IS NULL AND NOT (k.revoked OR k.deleted OR k.replaced)
    ORDER BY k.key_id LIMIT 1)
FROM user_secret u LEFT JOIN credit_account a USING (account_id) WHERE u.user_id = %s
"""


class Profiles:
    """The commands; one for each process."""

    def __init__(
        self,
        people: People,
        outbox: Outbox,
        verify: Callable[[UUID, str], Awaitable[None]],
        leave: Callable[[UUID], list[Event]],
    ) -> None:
        """`verify` asks for a mail to a user's address, for a request of this origin; `leave` says
        what else somebody's leaving means, or raises ApiError 409.
        """
        self._people, self._outbox, self._verify, self._leave = people, outbox, verify, leave

    async def shown(self, caller: Caller) -> dict[str, Any]:
        """The caller's profile. Raises ApiError 401 or 503."""
        return await self._people.run(self._read, UUID(caller.user_id))

    async def change(self, caller: Caller, wanted: ChangeProfile, host: str) -> dict[str, Any]:
        """Change what is given. Raises ApiError 400, 401, 429 or 503."""
        user_id = UUID(caller.user_id)
        await self._people.run(self._change, user_id, wanted)
        if wanted.email is not None:
            self._outbox.wake()
            await self._verify(user_id, host)
        return await self.shown(caller)

    async def delete(self, caller: Caller) -> None:
        """Destroy the caller's data key, and revoke all keys. Raises ApiError 401, 409 or 503."""
        await self._people.run(self._delete, UUID(caller.user_id))

    def _read(self, user_id: UUID) -> dict[str, Any]:
        credentials = self._people.credentials
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            subscriptions = read_subscriptions(connection, known.account_id)
            address = credentials.address_of(connection, known)
            facts = connection.execute(_FACTS, [user_id]).fetchone()
            times = connection.execute(
                "SELECT min(booked_at), max(booked_at) FROM events WHERE originator_id = %s",
                [user_id],
            ).fetchone()
        assert facts is not None
        assert times is not None
        (registered,) = (
            each
            for each in self._people.events.events_of(user_id)
            if isinstance(each, UserRegistered)
        )
        sealed = registered.username_ciphertext
        username = credentials.opened(known, bytes.fromhex(sealed)) if sealed else None
        available, trial_ends, masked = facts
        began, changed = (to_iso(each) for each in times)
        live = [each for each in subscriptions if each.status in LIVE]
        tier = highest(Tier(each.tier) for each in live)
        paid_until = max((each.period_ends for each in live), default=None)
        status = "trial" if trial_ends else "active" if available > 0 or live else "inactive"
        return {
            "user_id": str(user_id),
            "api_key": masked,
            "credits_nano_usd": available,
            "username": username,
            "email": address,
            "email_verified": known.verified,
            "auth_method": "email",
            "subscription_status": status,
            "tier": tier,
            "tier_display_name": tier.title(),
            "trial_expires_at": to_iso(trial_ends) if trial_ends else None,
            "subscription_end_date": paid_until and to_iso(datetime.fromtimestamp(paid_until, UTC)),
            "is_active": True,
            "registration_date": began,
            "created_at": began,
            "updated_at": changed,
            "name": None,
            "preferences": {},
            "settings": {},
            **self._kept(known),
        }

    def _kept(self, known: Known) -> dict[str, Any]:
        sealed = known.sealed_profile
        if sealed is None:
            return {}
        kept: dict[str, Any] = msgspec.json.decode(self._people.credentials.opened(known, sealed))
        return kept

    def _change(self, user_id: UUID, wanted: ChangeProfile) -> None:
        given = msgspec.to_builtins(wanted)
        email = given.pop("email", None)
        if not given and email is None:
            message = "Give at least one of name, email, preferences, settings."
            raise bad_request("invalid_value", message)
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            if email is not None:
                self._change_email(connection, known, email)
        if given:
            self._change_profile(known, given)

    def _change_profile(self, known: Known, given: dict[str, Any]) -> None:
        text = msgspec.json.encode({**self._kept(known), **given}).decode()
        if len(text.encode()) > PROFILE_BYTES_MAX:
            message = f"name, preferences and settings have at most {PROFILE_BYTES_MAX} bytes."
            raise bad_request("invalid_value", message)
        sealed = self._people.credentials.sealed(known, text)
        self._people.tell(
            known.user_id,
            lambda version: [
                ProfileChanged(
                    originator_id=known.user_id,
                    originator_version=version,
                    **new_envelope(f"user:{known.user_id}"),
                    members=sorted(given),
                )
            ],
            "UPDATE user_secret SET sealed_profile = %s "
            "WHERE user_id = %s AND wrapped_key IS NOT NULL",
            [sealed, known.user_id],
        )

    def _change_email(self, connection: psycopg.Connection[Any], known: Known, email: str) -> None:
        try:
            address = check_address(email)
        except InvalidCommandError as error:
            raise bad_request("invalid_value", f"{error}.", "email") from None
        before = self._people.credentials.address_of(connection, known)
        if address == before:
            return
        warning, wrapped = texts.address_changed(before), bytes(known.wrapped_key)
        sealed = self._people.credentials.sealed(known, address)
        try:
            self._people.tell(
                known.user_id,
                lambda version: [
                    EmailChanged(
                        originator_id=known.user_id,
                        originator_version=version,
                        **new_envelope(f"user:{known.user_id}"),
                        email_ciphertext=sealed.hex(),
                    )
                ],
                "UPDATE user_secret SET email_hash = %s, email_verified = false "
                "WHERE user_id = %s AND wrapped_key IS NOT NULL",
                [self._people.vault.email_hash(address), known.user_id],
                also=lambda cursor: self._outbox.waiting.keep(
                    cursor, known.user_id, wrapped, warning
                ),
            )
        except IntegrityError:
            message = "A user with this address exists already."
            raise bad_request("already_registered", message, "email") from None

    def _delete(self, user_id: UUID) -> None:
        with self._people.connect() as connection:
            self._people.known(connection, user_id)
            keys = connection.execute(
                "SELECT key_id FROM api_key "
                "WHERE user_id = %s AND NOT (revoked OR deleted OR replaced)",
                [user_id],
            ).fetchall()

        def leaving(version: int) -> list[Event]:
            events: list[Event] = [
                UserDeleted(
                    originator_id=user_id,
                    originator_version=version,
                    **new_envelope(f"user:{user_id}"),
                )
            ]
            for (key_id,) in keys:
                events += revoke_api_key(
                    replay_api_key(self._people.events.events_of(key_id)),
                    new_envelope(f"user:{user_id}"),
                    reason="the user left",
                )
            return events + self._leave(user_id)

        self._people.tell(user_id, leaving)
