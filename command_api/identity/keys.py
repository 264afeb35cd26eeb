"""API keys: made, changed, rotated, revoked and deleted, one command on a user's keys at a time.

A command holds its user's lock from the look at the keys until its events are appended. So names
stay unique, no user gets more keys than the most, and the last way in is not closed twice at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.identity.key_orders import MAX_REQUESTS, Maker, NewKey, Written, created_key
from command_api.identity.vault import new_api_key, unseal
from command_api.quotas.of_keys import KeyQuotas, Order
from domain.errors import InvalidCommandError
from domain.events.base import Event
from domain.identity.access import read_limits
from domain.identity.api_keys import (
    ApiKey,
    KeyChangedError,
    UnknownKeyError,
    asking_key,
    change_api_key,
    check_name,
    check_room,
    check_within,
    delete_api_key,
    free_name,
    replay_api_key,
    revoke_api_key,
    rotate_api_key,
)
from domain.identity.key_format import Environment, mask_key
from event_store.beside.organisations import project_for_keys
from event_store.ids import new_envelope, now_iso, to_iso
from event_store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta

    import psycopg

    from command_api.identity.key_orders import Maker
    from command_api.identity.vault import Vault
    from domain.events.identity import ApiKeyCreated
    from domain.identity.access import Limits
    from event_store.log.aggregates import Aggregates
    from event_store.postgres.database import Connects

KEYS_MAX = 100  # Of a user, where no setting says otherwise.
NO_KEY = "no such API key"
NO_ORDER = Order([])
_OF_USER = """
SELECT key_id, user_id::text, account_id::text, environment, iso_instant(expires_at), revoked, name,
  active, deleted, coalesce(limits, '{}'), project_id::text, coalesce(cache, '{}')
FROM api_key WHERE user_id = %s AND NOT replaced AND NOT deleted ORDER BY key_id
"""


class Keys:
    """The commands; they block, and may be called by several threads."""

    def __init__(
        self, database: Connects, vault: Vault, aggregates: Aggregates, *, keys_max: int = KEYS_MAX
    ) -> None:
        """At most `keys_max` keys of a user."""
        self._database, self._vault, self._aggregates = database, vault, aggregates
        self._keys_max = keys_max
        self._quotas = KeyQuotas(aggregates)

    def first(
        self, user_id: UUID, account_id: UUID, new: NewKey, maker: Maker
    ) -> tuple[ApiKeyCreated, str]:
        """The first key of a user who is just made: its event, to be appended, and itself."""
        return created_key(self._vault, user_id, account_id, new, maker, {})

    def create(self, user_id: UUID, account_id: UUID, new: NewKey, maker: Maker) -> Written:
        """Another key of a user.

        Raises InvalidCommandError, NameTakenError, TooManyKeysError, BeyondOwnLimitsError, and what
        `project_for_keys` raises.
        """
        if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
            message = "a key cannot end before it begins: give an instant ahead"
            raise InvalidCommandError(message)
        limits = read_limits(new.limits)
        with self._keys_of(user_id) as (connection, known):
            check_room(len(known), self._keys_max)
            taken = [each.name for each in known.values()]
            name = check_name(free_name(new.name, taken) if new.numbered else new.name, taken)
            if maker.key is not None:
                check_within(asking_key(known, maker.key, now_iso()), limits)
            made = replace(new, name=name)
            project = project_for_keys(connection, user_id, new.project_id)
            account_id = project.account_id if project else account_id
            created, api_key = created_key(
                self._vault, user_id, account_id, made, maker, limits, project
            )
            self.seal(connection, created.originator_id, created.key_hash, api_key)
            self._append(
                [created],
                self._quotas.set(
                    connection,
                    account_id,
                    created.originator_id,
                    new.max_requests,
                    maker.by,
                    new=True,
                ),
            )
        return Written(key_id=str(created.originator_id), name=name, api_key=api_key)

    def change(
        self,
        key_id: UUID,
        maker: Maker,
        members: Mapping[str, Any],
        limits: Limits,
        admits: Callable[[Limits], bool] = lambda _: True,
    ) -> bool:
        """Give a key other `name`, `is_active`, `expires_at`, `max_requests`, or lists.

        Says whether it changed. A list that is empty limits no more, one that is not given stays.
        `admits` says whether the present request would be let in under limits. Raises
        UnknownKeyError, InvalidCommandError, NameTakenError, BeyondOwnLimitsError, LastKeyError,
        KeyChangedError.
        """
        with self._of_key(key_id, maker) as (connection, known, state):
            others = [each for each in known.values() if each.id != key_id]
            after, quota = dict(members), NO_ORDER
            if MAX_REQUESTS in after:
                most, account = after.pop(MAX_REQUESTS), UUID(state.account_id)
                quota = self._quotas.set(connection, account, key_id, most, maker.by)
            if "name" in after:
                after["name"] = check_name(after["name"], [each.name for each in others])
            if limits:
                left = {k: v for k, v in state.limits.items() if k not in limits}
                after["limits"] = {**left, **read_limits(limits)}
                if maker.key is not None:
                    check_within(asking_key(known, maker.key, now_iso()), after["limits"], limits)
            events = change_api_key(
                state,
                after,
                others,
                new_envelope(maker.actor),
                admitted=key_id != maker.key or admits(after.get("limits", state.limits)),
            )
            self._append(events, quota)
        return bool(events or quota.events)

    def rotate(self, key_id: UUID, maker: Maker, grace: timedelta) -> Written:
        """Write a key anew; the old writing opens until the grace is over.

        Raises UnknownKeyError, InvalidCommandError, BeyondOwnLimitsError, KeyChangedError.
        """
        with self._of_key(key_id, maker) as (connection, known, state):
            return self._rotate(connection, known, [state], maker, grace)[0]

    def rotate_others(
        self, user_id: UUID, maker: Maker, grace: timedelta, environment: str = ""
    ) -> list[Written]:
        """Write all keys of a user anew that open something, but the one that asks: all or none.

        Of one environment, where it is named. Raises as `rotate`.
        """
        with self._keys_of(user_id) as (connection, known):
            if maker.key is not None:
                asking_key(known, maker.key, now_iso())
            now = now_iso()
            chosen = [
                self._state(each.id)
                for each in known.values()
                if each.opens(now)
                and each.id != maker.key
                and environment in {"", each.environment}
            ]
            return self._rotate(connection, known, chosen, maker, grace)

    def revoke(self, key_id: UUID, maker: Maker, reason: str) -> None:
        """Revoke a key for ever; twice is fine. Raises UnknownKeyError, KeyChangedError."""
        with self._of_key(key_id, maker) as (connection, _, state):
            self._append(revoke_api_key(state, new_envelope(maker.actor), reason=reason))
            unseal(connection, key_id)

    def delete(self, key_id: UUID, maker: Maker) -> None:
        """Take a key from the lists. Raises UnknownKeyError, LastKeyError, KeyChangedError."""
        with self._of_key(key_id, maker) as (connection, known, state):
            others = [each for each in known.values() if each.id != key_id]
            deleted = delete_api_key(state, others, new_envelope(maker.actor))
            account = UUID(state.account_id)
            quotas = self._quotas.removed(connection, account, key_id, maker.actor)
            self._append([deleted], Order(quotas))
            unseal(connection, key_id)

    def seal(
        self,
        connection: psycopg.Connection[Any] | psycopg.Cursor[Any],
        key_id: UUID,
        key_hash: str,
        api_key: str,
    ) -> None:
        """Keep a whole key, encrypted, in the place of its earlier writings."""
        unseal(connection, key_id)
        connection.execute(
            "INSERT INTO sealed_api_key (key_hash, key_id, sealed) VALUES (%s, %s, %s)",
            [key_hash, key_id, self._vault.seal_key(api_key)],
        )

    @contextmanager
    def _keys_of(
        self, user_id: UUID
    ) -> Iterator[tuple[psycopg.Connection[Any], dict[UUID, ApiKey]]]:
        """The user's keys, which nobody else commands meanwhile; their versions are not read."""
        with self._database.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SET LOCAL statement_timeout = '10s'")
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [Lock.KEYS, str(user_id)]
            )
            rows = connection.execute(_OF_USER, [user_id]).fetchall()
            yield connection, {row[0]: ApiKey(row[0], 0, *row[1:]) for row in rows}

    @contextmanager
    def _of_key(
        self, key_id: UUID, maker: Maker
    ) -> Iterator[tuple[psycopg.Connection[Any], dict[UUID, ApiKey], ApiKey]]:
        """The keys of a key's user, and its own whole state.

        Raises UnknownKeyError, also for a key of another user than the maker's.
        """
        owner = self._owner(key_id)
        if maker.user not in {None, str(owner)}:
            raise UnknownKeyError(NO_KEY)
        with self._keys_of(owner) as (connection, known):
            if maker.key is not None:
                asking_key(known, maker.key, now_iso())
            yield connection, known, self._state(key_id)

    def _owner(self, key_id: UUID) -> UUID:
        """Whose key it is, asked where a database that is away is noticed at once."""
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT user_id FROM api_key WHERE key_id = %s AND NOT replaced", [key_id]
            ).fetchone()
        if row is None:
            raise UnknownKeyError(NO_KEY)
        owner: UUID = row[0]
        return owner

    def _state(self, key_id: UUID) -> ApiKey:
        state = replay_api_key(self._aggregates.events_of(key_id))
        if state is None or state.deleted:
            raise UnknownKeyError(NO_KEY)
        return state

    def _rotate(
        self,
        connection: psycopg.Connection[Any],
        known: dict[UUID, ApiKey],
        states: Sequence[ApiKey],
        maker: Maker,
        grace: timedelta,
    ) -> list[Written]:
        until = to_iso(datetime.now(UTC) + grace)
        events, written = list[Event](), list[Written]()
        for state in states:
            if maker.key is not None and state.id != maker.key:
                account = UUID(state.account_id)
                self._quotas.check_writes_others(connection, account, maker.key)
                check_within(asking_key(known, maker.key, now_iso()), state.limits)
            api_key = new_api_key(Environment(state.environment))
            rotated = rotate_api_key(
                state,
                new_envelope(maker.actor),
                key_hash=self._vault.key_hash(api_key.encode()),
                masked=mask_key(api_key),
                old_until=until,
            )
            self.seal(connection, state.id, rotated.key_hash, api_key)
            events.append(rotated)
            made = Written(key_id=str(state.id), name=state.name, api_key=api_key, old_until=until)
            written.append(made)
        self._append(events)
        return written

    def _append(self, events: Sequence[Event], quota: Order = NO_ORDER) -> None:
        """Save what was decided; raises KeyChangedError where it was decided too late."""
        if not events and not quota.events:
            return
        try:
            self._aggregates.append([*events, *quota.events], quota.beside)
        except IntegrityError:
            message = "the key was changed by somebody else at this moment: try again"
            raise KeyChangedError(message) from None
