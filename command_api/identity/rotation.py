"""Puts another secret in the place of the present one, in one transaction.

What is wrapped or hashed with the secret is wrapped and hashed anew. API keys are known by their
digest alone, which nobody can make anew without the key: the hash key of the old secret is kept,
sealed with the new one, so that keys made before go on. Data keys stay what they are: what they
encrypt is in the log, and the log is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.identity.secret import (
    Place,
    SecretError,
    current_fingerprint,
    make_secret,
    open_vault,
    put_in_place,
    sealed_hash_keys,
)
from command_api.identity.vault import Vault
from domain.events.identity import UserRegistered
from domain.events.profile import EmailChanged

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from event_store.postgres.database import Database

USERS_AT_ONCE = 1_000


@dataclass(slots=True, kw_only=True)
class Rotated:
    """What a rotation did."""

    fingerprint: str
    """Of the secret now in force."""
    file: str
    """Where that lies."""
    users: int = 0
    """Data keys wrapped anew."""
    unreadable: int = 0
    """Data keys that the old secret did not open either, left as they were."""
    retired_secrets: int = 0
    """Earlier secrets whose API keys go on."""
    organisations: int = 0
    """Data keys of organisations wrapped anew."""
    keys: int = 0
    """Sealed API keys that were sealed anew."""


def rotate(database: Database, place: Place, to: Path | None) -> Rotated:
    """Bring a new secret into force: that of `to`, made when absent, or of the place itself.

    Raises SecretError while gateways live, and for a secret that was in force before.
    """
    if place.configured and to is None:
        message = (
            "the secret comes from GATEWAYZ_SECRET_KEY: name the file of the new one with --to"
        )
        raise SecretError(message)
    old = open_vault(database, place)
    target = to or place.next_file
    secret = make_secret(target)
    new = Vault(secret)
    done = Rotated(fingerprint=new.fingerprint, file=str(to or place.file))
    with database.connect() as connection, connection.transaction():
        _alone(connection)
        _take_over(connection, old, new, done)
    if to is None:
        put_in_place(place)
    return done


def _alone(connection: psycopg.Connection[Any]) -> None:
    """No gateway lives, and none can begin before we end. Raises SecretError."""
    connection.execute("SET LOCAL lock_timeout = '5s'")
    connection.execute("LOCK TABLE process_lease, user_secret IN SHARE ROW EXCLUSIVE MODE")
    row = connection.execute(
        "SELECT count(*) FROM process_lease WHERE expires_at > clock_timestamp()"
    ).fetchone()
    if row and row[0]:
        message = f"{row[0]} gateway processes use this database: stop all gateways first; one "
        message += "that was killed is forgotten after GATEWAYZ_LEASE_S"
        raise SecretError(message)


def _take_over(connection: psycopg.Connection[Any], old: Vault, new: Vault, done: Rotated) -> None:
    if current_fingerprint(connection) != old.fingerprint:
        message = "the secret was rotated meanwhile: look at `gatewayz secrets show`"
        raise SecretError(message)
    known = connection.execute(
        "SELECT FROM installation_secret WHERE fingerprint = %s", [new.fingerprint]
    ).fetchone()
    if known is not None:
        message = f"the secret of {done.file} was in force before: rotate to a new one"
        raise SecretError(message)
    _rewrap_users(connection, old, new, done)
    _rewrap_organisations(connection, old, new, done)
    _reseal_keys(connection, old, new, done)
    _rehash_identities(connection, new)
    generations = connection.execute(
        "SELECT generation FROM installation_secret ORDER BY generation DESC"
    ).fetchall()
    for (generation,), sealed in zip(generations, old.retire(new), strict=True):
        connection.execute(
            "UPDATE installation_secret SET sealed_hash_key = %s WHERE generation = %s",
            [sealed, generation],
        )
    connection.execute(
        "INSERT INTO installation_secret (generation, fingerprint) VALUES (%s, %s)",
        [generations[0][0] + 1, new.fingerprint],
    )
    done.retired_secrets = len(sealed_hash_keys(connection))


def _rewrap_users(
    connection: psycopg.Connection[Any], old: Vault, new: Vault, done: Rotated
) -> None:
    """Wrap each data key and hash each address anew; the addresses stand in the log, encrypted."""
    with connection.cursor("users") as users:
        users.itersize = USERS_AT_ONCE
        users.execute(
            "SELECT u.user_id, u.wrapped_key, r.state, c.state FROM user_secret u "
            "LEFT JOIN events r ON r.originator_id = u.user_id AND r.topic = %s "
            "LEFT JOIN LATERAL (SELECT state FROM events e WHERE e.originator_id = u.user_id "
            "AND e.topic = %s ORDER BY e.originator_version DESC LIMIT 1) c ON true "
            "WHERE u.wrapped_key IS NOT NULL",
            [UserRegistered.TOPIC, EmailChanged.TOPIC],
        )
        for user_id, stored, state, changed in users:
            wrapped = bytes(stored)
            if not old.opens(wrapped):
                done.unreadable += 1
                continue
            address = username = None
            if state is not None:
                fact = msgspec.json.decode(bytes(state))
                latest = fact if changed is None else msgspec.json.decode(bytes(changed))
                address = new.email_hash(_opened(old, wrapped, latest["email_ciphertext"]))
                if sealed := fact.get("username_ciphertext"):
                    username = new.username_hash(_opened(old, wrapped, sealed))
            connection.execute(
                "UPDATE user_secret SET wrapped_key = %s, email_hash = coalesce(%s, email_hash), "
                "username_hash = coalesce(%s, username_hash) WHERE user_id = %s",
                [old.rewrap(wrapped, new), address, username, user_id],
            )
            done.users += 1


def _rewrap_organisations(
    connection: psycopg.Connection[Any], old: Vault, new: Vault, done: Rotated
) -> None:
    """Wrap their data keys anew, and hash anew who is invited."""
    with connection.cursor("organisations") as organisations:
        organisations.itersize = USERS_AT_ONCE
        organisations.execute(
            "SELECT organisation_id, wrapped_key FROM organisation WHERE wrapped_key IS NOT NULL"
        )
        for organisation_id, stored in organisations:
            wrapped = bytes(stored)
            if not old.opens(wrapped):
                done.unreadable += 1
                continue
            rows = connection.execute(
                "SELECT invitation_id, sealed_email FROM invitation WHERE organisation_id = %s",
                [organisation_id],
            ).fetchall()
            for invitation_id, sealed in rows:
                address = old.decrypt(wrapped, bytes(sealed)).decode()
                connection.execute(
                    "UPDATE invitation SET email_hash = %s WHERE invitation_id = %s",
                    [new.email_hash(address), invitation_id],
                )
            connection.execute(
                "UPDATE organisation SET wrapped_key = %s WHERE organisation_id = %s",
                [old.rewrap(wrapped, new), organisation_id],
            )
            done.organisations += 1


def _rehash_identities(connection: psycopg.Connection[Any], new: Vault) -> None:
    """Hash anew who users are at providers; their data keys are wrapped anew already.

    Those whose data key the old secret did not open are forgotten: nobody could find them again.
    """
    with connection.cursor("identities") as linked:
        linked.itersize = USERS_AT_ONCE
        linked.execute(
            "SELECT l.identity_hash, l.provider, l.sealed_subject, u.wrapped_key "
            "FROM linked_identity l JOIN user_secret u USING (user_id)"
        )
        for digest, provider, sealed, wrapped in linked:
            if wrapped is None or not new.opens(bytes(wrapped)):
                connection.execute("DELETE FROM linked_identity WHERE identity_hash = %s", [digest])
                continue
            subject = new.decrypt(bytes(wrapped), bytes(sealed)).decode()
            connection.execute(
                "UPDATE linked_identity SET identity_hash = %s WHERE identity_hash = %s",
                [new.identity_hash(provider, subject), digest],
            )


def _opened(vault: Vault, wrapped: bytes, sealed: str) -> str:
    """What an event holds encrypted with a user's data key, in hex."""
    return vault.decrypt(wrapped, bytes.fromhex(sealed)).decode()


def _reseal_keys(
    connection: psycopg.Connection[Any], old: Vault, new: Vault, done: Rotated
) -> None:
    """Seal each whole key anew; what the old secret did not open either is left as it is."""
    with connection.cursor("sealed_keys") as keys:
        keys.itersize = USERS_AT_ONCE
        keys.execute("SELECT key_hash, sealed FROM sealed_api_key")
        for key_hash, stored in keys:
            sealed = old.reseal_key(bytes(stored), new)
            if sealed is None:
                done.unreadable += 1
                continue
            connection.execute(
                "UPDATE sealed_api_key SET sealed = %s WHERE key_hash = %s", [sealed, key_hash]
            )
            done.keys += 1
