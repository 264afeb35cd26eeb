"""Who is known: users with their account, balance and keys, read from the inline state.

Addresses are not shown: they stand encrypted in the log, and only their hash is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag

from command_api.identity.secret import SecretError, read_fingerprints, sealed_hash_keys
from command_api.identity.vault import Vault
from domain.errors import InvalidCommandError
from domain.identity.api_keys import UnknownKeyError
from domain.pricing.money import format_usd

if TYPE_CHECKING:
    import psycopg

    from command_api.identity.secret import Place
    from event_store.postgres.database import Database

USERS_MAX = 1_000
"""Users of one page."""

_USERS = """
SELECT u.user_id::text, u.account_id::text,
  coalesce(a.granted, 0),
  coalesce(a.available, 0) - (SELECT coalesce(sum(l.available), 0)::bigint FROM credit_lot l
    WHERE l.account_id = a.account_id AND l.expires_at <= clock_timestamp()),
  coalesce(a.held, 0),
  (SELECT count(*) FROM api_key k WHERE k.user_id = u.user_id AND NOT k.revoked
    AND NOT k.replaced AND NOT k.deleted AND k.active
    AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()))
FROM user_secret u LEFT JOIN credit_account a USING (account_id)
"""
_KEYS = """
SELECT key_id::text, name, masked, revoked, iso_instant(expires_at) FROM api_key
WHERE user_id = %s AND NOT replaced AND NOT deleted ORDER BY key_id
"""


def list_users(database: Database, *, after: str = "", limit: int = USERS_MAX) -> list[Any]:
    """Users in the order of their ids, which is that of their making, from behind `after`."""
    with database.connect() as connection:
        rows = connection.execute(
            _USERS + "WHERE u.user_id::text > %s ORDER BY u.user_id LIMIT %s",
            [after, min(limit, USERS_MAX)],
        ).fetchall()
    return [_user(row) for row in rows]


def show_user(database: Database, place: Place, user: str) -> dict[str, Any]:
    """One user, by id or address, with keys; raises InvalidCommandError or SecretError."""
    condition, value = "u.user_id::text = %s", user
    with database.connect() as connection:
        if "@" in user:
            condition, value = "u.email_hash = %s", _email_hash(database, place, user)
        row = connection.execute(_USERS + "WHERE " + condition, [value]).fetchone()
        if row is None:
            message = f"there is no user {user!r}: name one by id or email address"
            raise InvalidCommandError(message)
        return {**_user(row), "keys": _keys(connection, row[0])}


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


def _email_hash(database: Database, place: Place, email: str) -> Any:
    """The hash of an address; nothing is made where the secret is missing or another's."""
    here, known = read_fingerprints(database, place)
    secret = place.read()
    if secret is None or known not in {None, here}:
        message = f"the secret of this database is not in {place}: name the user by id"
        raise SecretError(message)
    return Vault(secret).email_hash(email)


def _user(row: tuple[Any, ...]) -> dict[str, Any]:
    user_id, account_id, granted, available, held, keys = row
    return {
        "user_id": user_id,
        "account_id": account_id,
        "granted_nano_usd": granted,
        "granted_usd": format_usd(granted),
        "available_nano_usd": available,
        "available_usd": format_usd(available),
        "held_nano_usd": held,
        "held_usd": format_usd(held),
        "active_keys": keys,
    }


def _keys(connection: psycopg.Connection[Any], user_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(_KEYS, [user_id]).fetchall()
    names = ("key_id", "name", "masked", "revoked", "expires_at")
    return [dict(zip(names, row, strict=True)) for row in rows]
