"""Users and their API keys: ordinary aggregates, stored through the library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError

from command_api.identity.vault import Vault, new_api_key
from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyCreated, UserRegistered
from domain.events.sign_in import PasswordSet
from domain.identity.addresses import check_address
from domain.identity.api_keys import ApiKey, replay_api_key, revoke_api_key, rotate_api_key
from domain.identity.key_format import Environment, mask_key
from event_store.ids import new_envelope, new_uuid7, now_iso, to_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from domain.events.base import Event
    from event_store.postgres.database import Database

_KEEP_SECRETS = (
    "INSERT INTO user_secret (user_id, account_id, email_hash, wrapped_key, username_hash, "
    "sealed_password) VALUES (%s, %s, %s, %s, %s, %s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a user may be registered with beside an address."""

    username: str | None = None
    key_name: str = "primary"
    environment: Environment = Environment.LIVE


def password_set(
    user_id: UUID, version: int, envelope: Mapping[str, str], *, how: str
) -> PasswordSet:
    """The fact that a user has a new password."""
    return PasswordSet(originator_id=user_id, originator_version=version, **envelope, how=how)


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
        self.aggregates = Aggregates(database)

    def close(self) -> None:
        """Disconnect."""
        self.aggregates.close()

    def create_user(
        self,
        email: str,
        wanted: Registration | None = None,
        *,
        password_hash: str | None = None,
    ) -> NewUser:
        """Register a user with one key and nothing to spend; raises InvalidCommandError.

        The user, the key and the secrets stand together or not at all.
        """
        wanted = wanted or Registration()
        address = check_address(email)
        user_id, account_id = new_uuid7(), new_uuid7()
        wrapped = self._vault.new_data_key()
        seal = partial(self._vault.encrypt, wrapped)
        name, password = wanted.username, password_hash
        secrets = [
            user_id,
            account_id,
            self._vault.email_hash(address),
            wrapped,
            self._vault.username_hash(name) if name else None,
            seal(password.encode()) if password else None,
        ]
        registered = UserRegistered(
            originator_id=user_id,
            originator_version=1,
            **new_envelope(self._actor),
            account_id=str(account_id),
            email_ciphertext=seal(address.encode()).hex(),
            username_ciphertext=seal(name.encode()).hex() if name else None,
        )
        created, api_key = self._new_key(user_id, account_id, wanted.key_name, wanted.environment)
        events: list[Event] = [registered, created]
        if password:
            envelope = new_envelope(self._actor)
            events.append(password_set(user_id, 2, envelope, how="registration"))
        try:
            self.aggregates.append(events, lambda cursor: cursor.execute(_KEEP_SECRETS, secrets))
        except IntegrityError as error:
            taken = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
            if taken == "user_secret_username_hash_key":
                message = f"the name {name!r} is taken: choose another one"
            else:
                message = f"a user with the address {address} exists already"
            raise InvalidCommandError(message) from None
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
        self.aggregates.append([created])
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

    def _append(self, events: Sequence[Event]) -> None:
        """Save what was decided; raises InvalidCommandError where it was decided too late."""
        try:
            self.aggregates.append(events)
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
        return row[0], replay_api_key(self.aggregates.events_of(row[0]))

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
