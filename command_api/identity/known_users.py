"""Who is known: users with their account, balance and keys, read from the inline state.

Addresses are not shown: they stand encrypted in the log, and only their hash is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.exceptions import InvalidTag

from command_api.identity.secret import SecretError, read_fingerprints, sealed_hash_keys
from command_api.identity.vault import Vault
from domain.errors import InvalidCommandError
from domain.identity.api_keys import UnknownKeyError
from domain.pricing.money import format_usd
from event_store.beside.users import USERS_MAX, read_user, read_users

if TYPE_CHECKING:
    import psycopg

    from command_api.identity.secret import Place
    from event_store.beside.users import UserNow
    from event_store.postgres.database import Database

_KEYS = """
SELECT key_id::text, name, masked, revoked, iso_instant(expires_at) FROM api_key
WHERE user_id = %s AND NOT replaced AND NOT deleted ORDER BY key_id
"""


def list_users(
    database: Database, *, after: str = "", limit: int = USERS_MAX, left: bool = False
) -> list[dict[str, Any]]:
    """Users in the order of their ids, which is that of their making, from behind `after`.

    Those who left are among them where that is wanted. Raises InvalidCommandError.
    """
    behind = _uuid(after)
    if after and behind is None:
        message = f"{after!r} is no user's id"
        raise InvalidCommandError(message)
    with database.connect() as connection:
        return [
            _user(each) for each in read_users(connection, after=behind, limit=limit, left=left)
        ]


def show_user(database: Database, place: Place, user: str) -> dict[str, Any]:
    """One user, by id or address, with keys; raises InvalidCommandError or SecretError."""
    with database.connect() as connection:
        if "@" in user:
            found = read_user(connection, email_hash=_email_hash(database, place, user))
        else:
            found = read_user(connection, user_id=_uuid(user))
        if found is None:
            message = f"there is no user {user!r}: name one by id or email address"
            raise InvalidCommandError(message)
        return {**_user(found), "keys": _keys(connection, str(found.user_id))}


def find_user(database: Database, place: Place, user: str) -> str:
    """The id of a user named by id or address; raises InvalidCommandError or SecretError."""
    found: str = show_user(database, place, user)["user_id"]
    return found


def find_key(database: Database, place: Place, key: str) -> tuple[str, str]:
    """The ids of a key's user and of a key named by its id or itself.

    Raises UnknownKeyError or SecretError.
    """
    with database.connect() as connection:
        secret = place.read() if key.startswith("gw_") else None
        hashes: list[str] = []
        if secret is not None:
            try:
                vault = Vault(secret, sealed_hash_keys(connection))
            except InvalidTag:
                message = f"the secret of this database is not in {place}: name the key by id"
                raise SecretError(message) from None
            hashes = vault.key_hashes(key.encode())
        row = connection.execute(
            "SELECT user_id::text, key_id::text FROM api_key "
            "WHERE (key_id::text = %s OR key_hash = ANY(%s)) AND NOT deleted",
            [key, hashes],
        ).fetchone()
    if row is None:
        message = "no such API key"
        raise UnknownKeyError(message)
    return row[0], row[1]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _email_hash(database: Database, place: Place, email: str) -> Any:
    """The hash of an address; nothing is made where the secret is missing or another's."""
    here, known = read_fingerprints(database, place)
    secret = place.read()
    if secret is None or known not in {None, here}:
        message = f"the secret of this database is not in {place}: name the user by id"
        raise SecretError(message)
    return Vault(secret).email_hash(email)


def _user(user: UserNow) -> dict[str, Any]:
    return {
        "user_id": str(user.user_id),
        "account_id": str(user.account_id),
        "granted_nano_usd": user.granted,
        "granted_usd": format_usd(user.granted),
        "available_nano_usd": user.available,
        "available_usd": format_usd(user.available),
        "held_nano_usd": user.held,
        "held_usd": format_usd(user.held),
        "active_keys": user.active_keys,
        "role": user.role,
        "left": user.left,
    }


def _keys(connection: psycopg.Connection[Any], user_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(_KEYS, [user_id]).fetchall()
    names = ("key_id", "name", "masked", "revoked", "expires_at")
    return [dict(zip(names, row, strict=True)) for row in rows]
