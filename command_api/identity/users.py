"""Users and their API keys: ordinary aggregates, stored through the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import IntegrityError

from command_api.identity.key_orders import Maker, NewKey
from command_api.identity.keys import KEYS_MAX, Keys
from domain.errors import InvalidCommandError
from domain.events.identity import UserRegistered
from domain.events.sign_in import PasswordSet
from domain.identity.addresses import check_address
from domain.identity.api_keys import UnknownKeyError, check_name
from domain.identity.key_format import Environment
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates, constraint_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.key_orders import Written
    from command_api.identity.vault import Vault
    from domain.events.base import Event, Stamp
    from domain.identity.access import Limits
    from event_store.postgres.database import Connects, Database

Newcomers = Callable[["UUID", "UUID"], "Sequence[Event]"]
"""Events of a new user, by the ids of the user and of the account."""
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


def password_set(user_id: UUID, version: int, envelope: Stamp, *, how: str) -> PasswordSet:
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

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        actor: str,
        keys_max: int = KEYS_MAX,
        newcomers: Newcomers | None = None,
    ) -> None:
        """`actor` stands on the events; `newcomers` are saved with whoever registers."""
        self._newcomers = newcomers
        self._database, self._vault, self._maker = database, vault, Maker(actor)
        self.aggregates = Aggregates(database)
        self.keys = Keys(database, vault, self.aggregates, keys_max=keys_max)

    def close(self) -> None:
        """Disconnect."""
        self.aggregates.close()

    def create_user(
        self,
        email: str,
        wanted: Registration | None = None,
        *,
        password_hash: str | None = None,
        also: Callable[[Cursor[DictRow], UUID, bytes], object] | None = None,
        more: Callable[[UUID, int], Sequence[Event]] | None = None,
    ) -> NewUser:
        """Register a user with one key and nothing to spend; raises InvalidCommandError.

        The user, the key and the secrets stand together or not at all; so do `more` events of the
        user, from a version on, and what `also` writes, who is given the user's id and wrapped key.
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
            **new_envelope(self._maker.actor),
            account_id=str(account_id),
            email_ciphertext=seal(address.encode()).hex(),
            username_ciphertext=seal(name.encode()).hex() if name else None,
        )
        first = NewKey(name=check_name(wanted.key_name, []), environment=wanted.environment)
        created, api_key = self.keys.first(user_id, account_id, first, self._maker)
        events: list[Event] = [registered, created]
        if self._newcomers is not None:
            events += self._newcomers(user_id, account_id)
        if password:
            envelope = new_envelope(self._maker.actor)
            events.append(password_set(user_id, 2, envelope, how="registration"))
        if more is not None:
            events += more(user_id, 3 if password else 2)

        def keep(cursor: Cursor[DictRow]) -> None:
            cursor.execute(_KEEP_SECRETS, secrets)
            self.keys.seal(cursor, created.originator_id, created.key_hash, api_key)
            if also is not None:
                also(cursor, user_id, wrapped)

        try:
            self.aggregates.append(events, keep)
        except IntegrityError as error:
            taken = constraint_of(error)
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
        limits: Limits | None = None,
    ) -> tuple[str, str]:
        """Another key for a user, named by id or address; returns (key id, key).

        Raises InvalidCommandError for an end that is not ahead, and whatever `Keys.create` does.
        """
        new = NewKey(name=name, environment=environment, expires_at=expires_at, limits=limits or {})
        made = self.create(user, new)
        return made.key_id, made.api_key

    def create(self, user: str, new: NewKey) -> Written:
        """The same, by all that a key can be."""
        return self.keys.create(*self.find_user(user), new, self._maker)

    def change_key(self, key: str, members: Mapping[str, Any], limits: Limits) -> tuple[str, bool]:
        """Change a key, named by its id or itself; returns its id, and whether anything changed.

        Raises whatever `Keys.change` does.
        """
        key_id = self.find_key(key)
        return str(key_id), self.keys.change(key_id, self._maker, members, limits)

    def delete_key(self, key: str) -> str:
        """Delete a key, named by its id or itself; returns its id. Raises as `Keys.delete`."""
        key_id = self.find_key(key)
        self.keys.delete(key_id, self._maker)
        return str(key_id)

    def rotate_all(self, user: str, grace: timedelta, environment: str = "") -> list[Written]:
        """Write all keys of a user anew that open something; raises InvalidCommandError."""
        user_id, _ = self.find_user(user)
        return self.keys.rotate_others(user_id, self._maker, grace, environment)

    def rotate_key(self, key: str, grace: timedelta) -> tuple[str, str, str]:
        """Write a key anew, named by its id or itself; returns (key id, key, the old one's end).

        Raises InvalidCommandError.
        """
        made = self.keys.rotate(self.find_key(key), self._maker, grace)
        assert made.old_until is not None
        return made.key_id, made.api_key, made.old_until

    def revoke_key(self, key: str, reason: str) -> str:
        """Revoke a key, named by its id or itself; returns its id. Revoking twice is fine."""
        key_id = self.find_key(key)
        self.keys.revoke(key_id, self._maker, reason)
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

    def find_account(self, owner: str) -> UUID:
        """The account of a user, named by id or address, or of an organisation, by its id.

        Raises InvalidCommandError.
        """
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT account_id FROM organisation WHERE organisation_id::text = %s", [owner]
            ).fetchone()
        if row is None:
            return self.find_user(owner)[1]
        account: UUID = row[0]
        return account

    def find_key(self, key: str) -> UUID:
        """The id of a key that is named by it or by itself; raises UnknownKeyError."""
        return find_key(self._database, self._vault, key)


def find_key(database: Connects, vault: Vault, key: str) -> UUID:
    """The id of a key that is named by it or by itself; raises UnknownKeyError."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT key_id FROM api_key WHERE (key_id::text = %s OR key_hash = ANY(%s)) "
            "AND NOT deleted",
            [key, vault.key_hashes(key.encode())],
        ).fetchone()
    if row is None:
        message = "no such API key"
        raise UnknownKeyError(message)
    found: UUID = row[0]
    return found
