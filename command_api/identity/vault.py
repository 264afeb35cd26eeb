"""Secrets: key hashes, per-user data keys, and what is encrypted with them.

One secret of the installation derives everything (HKDF, RFC 5869). API keys are known only by
HMAC-SHA256. Each user has a data key, stored wrapped; destroying it makes the user's personal
data unreadable for ever (P5).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.identity.api_keys import KEY_PREFIX

if TYPE_CHECKING:
    from pathlib import Path

NONCE_BYTES = 12
KEY_BYTES = 32
SECRET_BYTES_MIN = 16


def load_secret(home: Path, configured: str | None, file: Path | None = None) -> bytes:
    """The configured secret, or that of `file`, else of the home; a file is made on first use.

    Raises ValueError for a configured secret shorter than SECRET_BYTES_MIN bytes.
    """
    if configured:
        if len(configured.encode()) < SECRET_BYTES_MIN:
            message = f"GATEWAYZ_SECRET_KEY must have at least {SECRET_BYTES_MIN} bytes"
            raise ValueError(message)
        return configured.encode()
    if file is None:
        file = home / "secret.key"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        # Written whole under another name first: another process, of another container even,
        # may look for it meanwhile, or write its own. The first to link wins.
        partial = file.with_name(f"{file.name}.{secrets.token_hex(NONCE_BYTES)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        with suppress(FileExistsError):
            os.link(partial, file)
        partial.unlink()
    return file.read_bytes().strip()


def new_api_key() -> str:
    """A new key, 256 bits."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


class Vault:
    """Derived keys, and the four things done with them."""

    def __init__(self, secret: bytes) -> None:
        """Derive one key for each purpose."""
        self._hash_key = self._derive(secret, b"api key hash")
        self._email_key = self._derive(secret, b"email hash")
        self._wrap = AESGCM(self._derive(secret, b"data key wrap"))

    @staticmethod
    def _derive(secret: bytes, purpose: bytes) -> bytes:
        return HKDF(
            algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=b"gatewayz " + purpose
        ).derive(secret)

    def key_hash(self, api_key: bytes) -> str:
        """HMAC-SHA256 of an API key, in hex."""
        return hmac.digest(self._hash_key, api_key, "sha256").hex()

    def email_hash(self, email: str) -> bytes:
        """HMAC-SHA256 of an address, for uniqueness without the address."""
        return hmac.digest(self._email_key, email.strip().lower().encode(), "sha256")

    def new_data_key(self) -> bytes:
        """A fresh data key, wrapped for storage."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, AESGCM.generate_key(KEY_BYTES * 8), None)

    def encrypt(self, wrapped: bytes, plain: bytes) -> bytes:
        """Encrypt with a user's data key."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._unwrapped(wrapped).encrypt(nonce, plain, None)

    def decrypt(self, wrapped: bytes, sealed: bytes) -> bytes:
        """Decrypt with a user's data key; raises cryptography's InvalidTag when tampered."""
        return self._unwrapped(wrapped).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

    def _unwrapped(self, wrapped: bytes) -> AESGCM:
        return AESGCM(self._wrap.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], None))


def key_scope_hash(account_id: str, route: str, key: str) -> bytes:
    """SHA-256 of an idempotency key in its scope (money rule 8)."""
    return hashlib.sha256(f"{account_id}\n{route}\n{key}".encode()).digest()
