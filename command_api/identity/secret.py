"""The secret of an installation: where it lies, and that it is the one its database was made with.

The database keeps the fingerprint of the secret. Without that, a wrong or missing secret would
serve in good health: every key refused, and one address registered twice.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from command_api.identity.vault import NONCE_BYTES, Vault

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from event_store.postgres.database import Database

SECRET_BYTES_MIN = 16
NEW_SECRET_BYTES = 32
PAGE = "see docs/operating/secret.md"


class SecretError(ValueError):
    """The secret cannot be used here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the settings say that the secret is."""

    file: Path
    configured: str | None = field(default=None, repr=False)
    """The secret itself, where it comes from a variable."""

    def __str__(self) -> str:
        """For people."""
        return "GATEWAYZ_SECRET_KEY" if self.configured else str(self.file)

    @property
    def next_file(self) -> Path:
        """Holds the secret that a rotation is about to bring into force."""
        return self.file.with_name(f"{self.file.name}.next")

    def read(self) -> bytes | None:
        """The secret; None when there is none yet. Raises SecretError."""
        if self.configured:
            return long_enough(self.configured.encode(), str(self))
        return read_secret(self.file)


def read_secret(file: Path) -> bytes | None:
    """The secret of a file; None without the file. Raises SecretError."""
    try:
        return long_enough(file.read_bytes().strip(), str(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(error) from None


def long_enough(secret: bytes, place: str) -> bytes:
    """The secret itself. Raises SecretError when it is too short to be one."""
    if len(secret) < SECRET_BYTES_MIN:
        message = f"the secret of {place} must have at least {SECRET_BYTES_MIN} bytes ({PAGE})"
        raise SecretError(message)
    return secret


def make_secret(file: Path) -> bytes:
    """The secret of a file, which is made where it lacks. Raises SecretError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written whole under another name first: another process, of another container even,
        # may look for it meanwhile, or write its own. The first to link wins.
        partial = file.with_name(f"{file.name}.{secrets.token_hex(NONCE_BYTES)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(secrets.token_urlsafe(NEW_SECRET_BYTES).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        with suppress(FileExistsError):
            os.link(partial, file)
        partial.unlink()
        _sync_folder(file)
        return long_enough(file.read_bytes().strip(), str(file))
    except OSError as error:
        raise _unusable(error) from None


def _sync_folder(file: Path) -> None:
    """The name of a file is as durable as what stands in it."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unusable(error: OSError) -> SecretError:
    return SecretError(
        f"the file of the secret can be neither read nor made ({error}): make its folder, or "
        f"name another file in GATEWAYZ_SECRET_FILE"
    )


def open_vault(database: Database, place: Place) -> Vault:
    """The vault of the secret that this database was made with.

    A database without users or fingerprint takes the secret that it finds, or a new one. Raises
    SecretError when there is another, or none.
    """
    with database.connect() as connection:
        secret = place.read()
        if secret is None and not _knows_none(connection):
            message = f"the secret of this database is missing: put {place.file} back from the "
            message += f"backup of the home, or set GATEWAYZ_SECRET_KEY ({PAGE})"
            raise SecretError(message)
        secret = secret or make_secret(place.file)
        vault = Vault(secret)
        current = current_fingerprint(connection) or _first(connection, vault, place)
        if current != vault.fingerprint and not place.configured:
            secret = _finished_rotation(current, place) or secret
        _check(connection, current, Vault(secret), place)
        return Vault(secret, sealed_hash_keys(connection))


def still_in_force(database: Database, vault: Vault) -> None:
    """No rotation came between opening the vault and our lease. Raises SecretError."""
    with database.connect() as connection:
        if current_fingerprint(connection) != vault.fingerprint:
            message = "the secret was rotated while this process started"
            raise SecretError(message)


def read_fingerprints(database: Database, place: Place) -> tuple[str | None, str | None]:
    """Of the secret here, and of the one in force; None where there is none. Raises SecretError."""
    secret = place.read()
    with database.connect() as connection:
        return Vault(secret).fingerprint if secret else None, current_fingerprint(connection)


def current_fingerprint(connection: psycopg.Connection[Any]) -> str | None:
    """That of the secret in force; None before the first start."""
    row = connection.execute(
        "SELECT fingerprint FROM installation_secret ORDER BY generation DESC LIMIT 1"
    ).fetchone()
    return row[0] if row else None


def sealed_hash_keys(connection: psycopg.Connection[Any]) -> list[bytes]:
    """Those of retired secrets, newest first, sealed with the secret in force."""
    rows = connection.execute(
        "SELECT sealed_hash_key FROM installation_secret WHERE sealed_hash_key IS NOT NULL "
        "ORDER BY generation DESC"
    ).fetchall()
    return [bytes(sealed) for (sealed,) in rows]


def _knows_none(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM installation_secret) OR EXISTS (SELECT FROM user_secret)"
    ).fetchone()
    return row == (False,)


def _first(connection: psycopg.Connection[Any], vault: Vault, place: Place) -> str:
    """Note the fingerprint, of a home from before there was one too; returns whose was noted."""
    oldest_and_newest = connection.execute(
        "(SELECT wrapped_key FROM user_secret WHERE wrapped_key IS NOT NULL "
        "ORDER BY user_id LIMIT 1) UNION ALL (SELECT wrapped_key FROM user_secret "
        "WHERE wrapped_key IS NOT NULL ORDER BY user_id DESC LIMIT 1)"
    ).fetchall()
    if oldest_and_newest and not any(vault.opens(bytes(key)) for (key,) in oldest_and_newest):
        message = f"the secret of {place} is not the one that this database was made with: "
        message += f"give that one ({PAGE})"
        raise SecretError(message)
    connection.execute(
        "INSERT INTO installation_secret (generation, fingerprint) VALUES (1, %s) "
        "ON CONFLICT DO NOTHING",
        [vault.fingerprint],
    )
    return current_fingerprint(connection) or ""


def _finished_rotation(current: str, place: Place) -> bytes | None:
    """Put the file of a rotation in its place that was cut off just before that."""
    secret = read_secret(place.next_file)
    if secret is None or Vault(secret).fingerprint != current:
        return None
    put_in_place(place)
    return secret


def put_in_place(place: Place) -> None:
    """Make the next file the file; the one before is kept beside it, for older backups."""
    before = read_secret(place.file)
    if before is not None:
        kept = place.file.with_name(f"{place.file.name}.{Vault(before).fingerprint[:8]}")
        with suppress(FileExistsError):
            os.link(place.file, kept)
    with suppress(FileNotFoundError):  # Another process does the same, and was faster.
        place.next_file.replace(place.file)
    _sync_folder(place.file)


def _check(connection: psycopg.Connection[Any], current: str, vault: Vault, place: Place) -> None:
    if vault.fingerprint == current:
        return
    retired = connection.execute(
        "SELECT FROM installation_secret WHERE fingerprint = %s", [vault.fingerprint]
    ).fetchone()
    what = (
        "was replaced by a rotation; now it"
        if retired is not None
        else "is not that of this database, which"
    )
    message = f"the secret of {place} (fingerprint {vault.fingerprint}) {what} has the "
    message += f"fingerprint {current}: give that one ({PAGE})"
    raise SecretError(message)
