"""Users and their API keys: ordinary aggregates, stored through the library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError

from command_api.identity.vault import Vault, new_api_key
from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyCreated, UserRegistered
from domain.identity.api_keys import ApiKey, replay_api_key, revoke_api_key, rotate_api_key
from domain.identity.key_format import Environment, mask_key
from event_store.ids import new_envelope, new_uuid7, now_iso, to_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from domain.events.base import Event
    from event_store.postgres.database import Database

EMAIL_CHARACTERS_MAX = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 with its two brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user just made; the key is shown this once."""

    user_id: str
    account_id: str
    key_id: str
    api_key: str


class Users:
    """The commands; one short-lived object for each run of the command line."""

    def __init__(self, database: Database, vault: Vault, *, actor: str) -> None:
        """`actor` stands on the events."""
        self._database, self._vault, self._actor = database, vault, actor
        self._aggregates = Aggregates(database)

    def close(self) -> None:
        """Disconnect."""
        self._aggregates.close()

    def create_user(self, email: str) -> NewUser:
        """Register a user with one key and nothing to spend; raises InvalidCommandError."""
        local, at, domain = email.strip().rpartition("@")
        if not (local and at and domain) or len(email) > EMAIL_CHARACTERS_MAX:
            message = f"{email!r} is not an email address"
            raise InvalidCommandError(message)
        user_id, account_id = new_uuid7(), new_uuid7()
        wrapped = self._vault.new_data_key()
        with self._database.connect() as connection:
            taken = connection.execute(
                "INSERT INTO user_secret (user_id, account_id, email_hash, wrapped_key) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (email_hash) DO NOTHING",
                [user_id, account_id, self._vault.email_hash(email), wrapped],
            )
        if taken.rowcount == 0:
            message = f"a user with the address {email} exists already"
            raise InvalidCommandError(message)
        sealed = self._vault.encrypt(wrapped, email.strip().encode())
        registered = UserRegistered(
            originator_id=user_id,
            originator_version=1,
            **new_envelope(self._actor),
            account_id=str(account_id),
            email_ciphertext=sealed.hex(),
        )
        created, api_key = self._new_key(user_id, account_id, "primary")
        self._aggregates.append([registered, created])
        return NewUser(
            user_id=str(user_id),
            account_id=str(account_id),
            key_id=str(created.originator_id),
            api_key=api_key,
        )

    def create_key(
        self,
        user: str,
        name: str,
        environment: Environment = Environment.LIVE,
        expires_at: datetime | None = None,
    ) -> tuple[str, str]:
        """Another key for a user, named by id or address; returns (key id, key).

        Raises InvalidCommandError for an end that is not ahead.
        """
        if expires_at is not None and expires_at <= datetime.now(UTC):
            message = "a key cannot end before it begins: give an instant ahead"
            raise InvalidCommandError(message)
        user_id, account_id = self.find_user(user)
        end = None if expires_at is None else to_iso(expires_at)
        created, api_key = self._new_key(user_id, account_id, name, environment, end)
        self._aggregates.append([created])
        return str(created.originator_id), api_key

    def rotate_key(self, key: str, grace: timedelta) -> tuple[str, str, str]:
        """Write a key anew, named by its id or itself; returns (key id, key, the old one's end).

        Raises InvalidCommandError.
        """
        key_id, state = self._state_of(key)
        api_key = new_api_key(Environment(state.environment if state else Environment.LIVE))
        until = to_iso(datetime.now(UTC) + grace)
        rotated = rotate_api_key(
            state,
            event_id=str(new_uuid7()),
            now=now_iso(),
            actor=self._actor,
            correlation_id=str(new_uuid7()),
            key_hash=self._vault.key_hash(api_key.encode()),
            masked=mask_key(api_key),
            old_until=until,
        )
        self._append([rotated])
        return str(key_id), api_key, until

    def revoke_key(self, key: str, reason: str) -> str:
        """Revoke a key, named by its id or itself; returns its id. Revoking twice is fine."""
        key_id, state = self._state_of(key)
        events = revoke_api_key(
            state,
            event_id=str(new_uuid7()),
            now=now_iso(),
            actor=self._actor,
            correlation_id=str(new_uuid7()),
            reason=reason,
        )
        if events:
            self._append(events)
        return str(key_id)

    def find_user(self, user: str) -> tuple[UUID, UUID]:
        """(user id, account id) of a user named by id or address; raises InvalidCommandError."""
        with self._database.connect() as connection:
            if "@" in user:
                row = connection.execute(
                    "SELECT user_id, account_id FROM user_secret WHERE email_hash = %s",
                    [self._vault.email_hash(user)],
                ).fetchone()
            else:
                row = connection.execute(
                    "SELECT user_id, account_id FROM user_secret WHERE user_id::text = %s", [user]
                ).fetchone()
        if row is None:
            message = f"there is no user {user!r}: name one by id or email address"
            raise InvalidCommandError(message)
        return row[0], row[1]

    def find_key(self, key: str) -> str:
        """The id of a key named by its id or itself; raises InvalidCommandError."""
        key_id, _ = self._state_of(key)
        if key_id is None:
            message = "no such API key: name one by its id, or give the key itself"
            raise InvalidCommandError(message)
        return str(key_id)

    def _append(self, events: Sequence[Event]) -> None:
        """Save what was decided; raises InvalidCommandError where it was decided too late."""
        try:
            self._aggregates.append(events)
        except IntegrityError:
            message = "the key was changed by somebody else at this moment: try again"
            raise InvalidCommandError(message) from None

    def _state_of(self, key: str) -> tuple[UUID | None, ApiKey | None]:
        """A key's id and state, named by its id or itself; None and None where there is none."""
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT key_id FROM api_key WHERE key_id::text = %s OR key_hash = ANY(%s)",
                [key, self._vault.key_hashes(key.encode())],
            ).fetchone()
        if row is None:
            return None, None
        return row[0], replay_api_key(self._aggregates.events_of(row[0]))

    def _new_key(
        self,
        user_id: UUID,
        account_id: UUID,
        name: str,
        environment: Environment = Environment.LIVE,
        expires_at: str | None = None,
    ) -> tuple[ApiKeyCreated, str]:
        api_key = new_api_key(environment)
        event = ApiKeyCreated(
            originator_id=new_uuid7(),
            originator_version=1,
            **new_envelope(self._actor),
            user_id=str(user_id),
            account_id=str(account_id),
            key_hash=self._vault.key_hash(api_key.encode()),
            masked=mask_key(api_key),
            name=name,
            environment=str(environment),
            expires_at=expires_at,
        )
        return event, api_key


def find_key(database: Database, vault: Vault, key: str, *, actor: str) -> str:
    """The id of a key named by its id or itself; raises InvalidCommandError."""
    users = Users(database, vault, actor=actor)
    try:
        return users.find_key(key)
    finally:
        users.close()
