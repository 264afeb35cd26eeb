"""What the commands do to the database: all of it blocks, and runs on a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from cryptography.fernet import InvalidToken
from eventsourcing.persistence import IntegrityError

from command_api.identity.users import Registration
from command_api.mails import texts
from command_api.mails.waiting import VERIFY
from command_api.sessions.once import LOGIN_CODE
from domain.errors import InvalidCommandError
from domain.events.second_factors import IdentityLinked, IdentityUnlinked
from domain.events.sign_in import EmailVerified
from domain.identity.addresses import check_address
from domain.identity.links import LinkRefusedError, NoAddressError, Way, way_in
from edge.errors import AUTHENTICATION, ApiError, bad_request, sentence
from event_store.ids import new_envelope, to_iso

if TYPE_CHECKING:
    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.credentials import Known
    from command_api.sessions.reception import Reception, SecondStep, Whence
    from command_api.sessions.sessions import Pair
    from providers.login.port import Identity

TRIES = 3
"""How often is looked anew who somebody is, because another request made them meanwhile."""
_LINK = (
    "INSERT INTO linked_identity (identity_hash, user_id, provider, sealed_subject) VALUES "
    "(%s, (SELECT user_id FROM user_secret WHERE user_id = %s AND wrapped_key IS NOT NULL), "
    "%s, %s)"
)


class Found(NamedTuple):
    """Whose account it is; `made` is whether it was made now, `linked` whether it is linked."""

    user_id: UUID
    account_id: UUID
    verified: bool
    made: bool = False
    linked: bool = False


class Store:
    """One for each process; several threads may use it at once."""

    def __init__(self, reception: Reception) -> None:
        """Nothing is connected yet."""
        self._reception, self._people = reception, reception.people

    def find(self, identity: Identity) -> Found:
        """The user that somebody is, made where there is none; not linked yet.

        Raises ApiError 400 or 403.
        """
        for tried in range(1, TRIES + 1):
            linked, by_address = self._looked_up(identity)
            try:
                way = way_in(
                    linked=linked is not None,
                    address=identity.address,
                    verified_there=identity.verified,
                    known_here=by_address is not None,
                    verified_here=by_address is not None and by_address.verified,
                )
            except NoAddressError as error:
                raise bad_request("address_missing", sentence(error), "email") from None
            except LinkRefusedError as error:
                raise ApiError(403, "identity_not_linked", sentence(error)) from None
            known = linked or by_address
            if known is not None:
                return Found(
                    known.user_id,
                    known.account_id,
                    verified=known.verified,
                    linked=way is Way.ENTER,
                )
            made = self._made(identity, last=tried == TRIES)
            if made is not None:
                return made
        raise _changed()

    def link(self, found: Found, identity: Identity) -> None:
        """It opens the account from now on; raises ApiError 403 or 409."""
        with self._people.connect() as connection:
            known, address = self._reception.known(connection, found.user_id)
        sealed = self._people.credentials.sealed(known, identity.subject)
        digest = self._people.vault.identity_hash(identity.provider, identity.subject)
        what = f"Signing in with {identity.provider.capitalize()} opens your account now."
        mail, wrapped = texts.way_in_changed(address, what), bytes(known.wrapped_key)
        waiting = self._reception.outbox.waiting

        def write(cursor: Cursor[DictRow]) -> None:
            cursor.execute(_LINK, [digest, known.user_id, identity.provider, sealed])
            waiting.keep(cursor, known.user_id, wrapped, mail)

        try:
            self._people.tell(
                known.user_id,
                lambda version: [
                    IdentityLinked(
                        originator_id=known.user_id,
                        originator_version=version,
                        **new_envelope(f"user:{known.user_id}"),
                        provider=identity.provider,
                    )
                ],
                also=write,
            )
        except IntegrityError:
            with self._people.connect() as connection:
                if self._linked(connection, identity) == known.user_id:
                    return  # By another request of the same person.
            message = (
                "Another account of this provider opens yours: remove it first, with "
                f"DELETE /auth/identities/{identity.provider}."
            )
            raise ApiError(403, "identity_not_linked", message) from None
        self._reception.outbox.wake()

    def admit(self, user_id: UUID, how: str, whence: Whence) -> Pair | SecondStep:
        """What somebody gets whom a provider has named; raises ApiError 401."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            return self._reception.admit(connection, known, how, whence)

    def code_for(self, user_id: UUID, how: str) -> str:
        """A code that a page exchanges for the same."""
        with self._people.connect() as connection:
            return self._reception.once.give(connection, LOGIN_CODE, user_id, how=how)

    def exchange(self, code: str, whence: Whence) -> Pair | SecondStep:
        """What a code stands for; raises ApiError 401."""
        with self._people.connect() as connection:
            note = self._reception.once.spend(connection, code, LOGIN_CODE)
            if note is None or note.user_id is None:
                message = "This code is not good, or not any more: sign in anew."
                raise ApiError(401, "invalid_login_code", message, kind=AUTHENTICATION)
            known = self._people.known(connection, note.user_id)
            return self._reception.admit(connection, known, note.said["how"], whence)

    def first_shown(self, token: str, until_s: float) -> bool:
        """Whether a provider's token is shown for the first time."""
        with self._people.connect() as connection:
            return self._reception.once.first(connection, token, until_s)

    def wants_second_step(self, user_id: UUID) -> bool:
        """Whether a first factor alone opens nothing; raises ApiError 401."""
        with self._people.connect() as connection:
            return self._people.known(connection, user_id).totp_on

    def listed(self, user_id: UUID) -> list[dict[str, Any]]:
        """What is linked to a user."""
        with self._people.connect() as connection:
            self._people.known(connection, user_id)
            rows = connection.execute(
                "SELECT provider, linked_at FROM linked_identity WHERE user_id = %s "
                "ORDER BY provider",
                [user_id],
            ).fetchall()
        return [{"provider": name, "linked_at": to_iso(at)} for name, at in rows]

    def unlink(self, user_id: UUID, provider: str) -> None:
        """It opens nothing any more; raises ApiError 404."""
        with self._people.connect() as connection:
            known, address = self._reception.known(connection, user_id)
        if provider not in {each["provider"] for each in self.listed(user_id)}:
            message = "No account of this provider opens yours: GET /auth/identities lists them."
            raise ApiError(404, "identity_not_found", message)
        what = f"Signing in with {provider.capitalize()} opens your account no more."
        mail, wrapped = texts.way_in_changed(address, what), bytes(known.wrapped_key)
        waiting = self._reception.outbox.waiting
        self._people.tell(
            user_id,
            lambda version: [
                IdentityUnlinked(
                    originator_id=user_id,
                    originator_version=version,
                    **new_envelope(f"user:{user_id}"),
                    provider=provider,
                )
            ],
            also=lambda cursor: waiting.keep(cursor, user_id, wrapped, mail),
        )
        self._reception.outbox.wake()

    def key_of(self, user_id: UUID) -> tuple[str | None, int, str]:
        """The user's first key, whole; what there is to spend, in nano-USD; and the address."""
        with self._people.connect() as connection:
            _, address = self._reception.known(connection, user_id)
            row = connection.execute(
                "SELECT s.sealed FROM api_key k JOIN sealed_api_key s USING (key_hash) "
                "WHERE k.user_id = %s AND NOT (k.revoked OR k.deleted OR k.replaced) AND k.active "
                "AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) "
                "ORDER BY k.key_id LIMIT 1",
                [user_id],
            ).fetchone()
            money = connection.execute(
                "SELECT coalesce(sum(l.available), 0)::bigint FROM user_secret u "
                "JOIN credit_lot l USING (account_id) WHERE u.user_id = %s "
                "AND (l.expires_at IS NULL OR l.expires_at > clock_timestamp())",
                [user_id],
            ).fetchone()
        try:
            key = None if row is None else self._people.vault.unseal_key(bytes(row[0]))
        except InvalidToken:
            key = None
        return key, int(money[0]) if money else 0, address

    def _looked_up(self, identity: Identity) -> tuple[Known | None, Known | None]:
        """Who is linked, and whose the address is."""
        credentials = self._people.credentials
        with self._people.connect() as connection:
            user_id = self._linked(connection, identity)
            linked = None if user_id is None else credentials.by_id(connection, user_id)
            if linked is not None or not identity.address:
                return linked, None
            return None, credentials.by_email(connection, identity.address)

    def _linked(self, connection: psycopg.Connection[Any], identity: Identity) -> UUID | None:
        digest = self._people.vault.identity_hash(identity.provider, identity.subject)
        row = connection.execute(
            "SELECT user_id FROM linked_identity WHERE identity_hash = %s", [digest]
        ).fetchone()
        return None if row is None else row[0]

    def _made(self, identity: Identity, *, last: bool) -> Found | None:
        """A new user; None where somebody else has just made one. Raises ApiError 400."""
        try:
            address = check_address(identity.address or "")
        except InvalidCommandError as error:
            raise bad_request("address_missing", sentence(error), "email") from None
        verified = identity.verified

        def told(user_id: UUID, version: int) -> list[EmailVerified]:
            envelope = new_envelope(f"user:{user_id}")
            return [EmailVerified(originator_id=user_id, originator_version=version, **envelope)]

        def write(cursor: Cursor[DictRow], user_id: UUID, _: bytes) -> None:
            if verified:
                cursor.execute(
                    "UPDATE user_secret SET email_verified = true WHERE user_id = %s", [user_id]
                )
            else:
                self._reception.outbox.waiting.wish(cursor, user_id, VERIFY)

        try:
            made = self._people.users.create_user(
                address, Registration(), also=write, more=told if verified else None
            )
        except InvalidCommandError as error:
            if last:
                raise bad_request("already_registered", sentence(error)) from None
            return None
        self._reception.outbox.wake()
        return Found(UUID(made.user_id), UUID(made.account_id), made=True, verified=verified)


def _changed() -> ApiError:
    message = "Somebody signs in with this address at this moment: try again."
    return ApiError(409, "identity_changed", message)
