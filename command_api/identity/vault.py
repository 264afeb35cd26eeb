"""What is derived from the secret: key hashes, per-user data keys, and what they encrypt.

One secret of the installation derives everything (HKDF, RFC 5869). API keys are known only by
HMAC-SHA256. Each user has a data key, stored wrapped; destroying it makes the user's personal
data unreadable for ever (P5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.identity.addresses import comparable
from domain.identity.key_format import SECRET_CHARACTERS, Environment, key_of_secret
from domain.provider_keys.secrets import OwnKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    import psycopg

NONCE_BYTES = 12
KEY_BYTES = 32
FINGERPRINT_BYTES = 16
RETIRED = b"retired key hash"


def new_api_key(environment: Environment = Environment.LIVE) -> str:
    """A new key, 222 bits."""
    return key_of_secret(secrets.token_urlsafe(KEY_BYTES)[:SECRET_CHARACTERS], environment)


def unseal(connection: psycopg.Connection[Any] | psycopg.Cursor[Any], key_id: UUID) -> None:
    """Keep a whole key no more."""
    connection.execute("DELETE FROM sealed_api_key WHERE key_id = %s", [key_id])


class Vault:
    """Derived keys, and what is done with them."""

    def __init__(self, secret: bytes, retired: Iterable[bytes] = ()) -> None:
        """Derive one key for each purpose; `retired` are sealed hash keys of earlier secrets.

        Raises InvalidTag for a retired key that was sealed with another secret.
        """
        self._hash_key = self._derive(secret, b"api key hash")
        self._email_key = self._derive(secret, b"email hash")
        self._wrap = AESGCM(self._derive(secret, b"data key wrap"))
        self._token_key = self._derive(secret, b"token hash")
        self.access_key = self._derive(secret, b"access tokens")
        """Signs the access tokens of sessions."""
        self._seal = Fernet(base64.urlsafe_b64encode(self._derive(secret, b"sealed api keys")))
        self._name_key = self._derive(secret, b"names in events")
        self._notes = AESGCM(self._derive(secret, b"notes"))
        self.fingerprint = self._derive(secret, b"fingerprint")[:FINGERPRINT_BYTES].hex()
        """Tells secrets apart, and says nothing of one."""
        self._hash_keys = (self._hash_key, *map(self._opened_hash_key, retired))

    @staticmethod
    def _derive(secret: bytes, purpose: bytes) -> bytes:
        return HKDF(
            algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=b"gatewayz " + purpose
        ).derive(secret)

    def key_hash(self, api_key: bytes) -> str:
        """HMAC-SHA256 of an API key, in hex: what a new key is known by."""
        return hmac.digest(self._hash_key, api_key, "sha256").hex()

    def key_hashes(self, api_key: bytes) -> list[str]:
        """What a key may be known by: a key outlives the secret that it was made under."""
        return [hmac.digest(key, api_key, "sha256").hex() for key in self._hash_keys]

    def seal_key(self, api_key: str) -> bytes:
        """A whole key, encrypted (Fernet)."""
        return self._seal.encrypt(api_key.encode())

    def unseal_key(self, sealed: bytes) -> str:
        """The whole key; raises cryptography's InvalidToken for that of another secret."""
        return self._seal.decrypt(sealed).decode()

    def reseal_key(self, sealed: bytes, successor: Vault) -> bytes | None:
        """The same key, sealed with another secret; None where ours does not open it."""
        try:
            return MultiFernet([successor._seal, self._seal]).rotate(sealed)
        except InvalidToken:
            return None

    def email_hash(self, email: str) -> bytes:
        """HMAC-SHA256 of an address, for uniqueness without the address."""
        return hmac.digest(self._email_key, comparable(email).encode(), "sha256")

    def username_hash(self, username: str) -> bytes:
        """The same of a user's name, which is no address."""
        return hmac.digest(self._email_key, b"name\n" + comparable(username).encode(), "sha256")

    def token_hash(self, token: str) -> bytes:
        """HMAC-SHA256 of a token that is random itself: what it is known by."""
        return hmac.digest(self._token_key, token.encode(), "sha256")

    def pseudonym(self, *parts: str) -> str:
        """128 bits of a keyed hash of what may not stand in an event, in hex."""
        return hmac.digest(self._name_key, "\n".join(parts).encode(), "sha256").hex()[:32]

    def seal_note(self, note: bytes) -> bytes:
        """Encrypt what is of no user yet, and for minutes; another secret does not open it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._notes.encrypt(nonce, note, None)

    def open_note(self, sealed: bytes) -> bytes:
        """The contrary; raises cryptography's InvalidTag."""
        return self._notes.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

    def own_hash(self, wrapped: bytes, text: str) -> bytes:
        """HMAC-SHA256 under a user's data key: it outlives a secret, and goes with the key."""
        return hmac.digest(self._unwrapped(wrapped), text.encode(), "sha256")

    def identity_hash(self, provider: str, subject: str) -> bytes:
        """HMAC-SHA256 of who somebody is elsewhere, for finding the user without the name."""
        said = f"identity\n{provider}\n{subject}"
        return hmac.digest(self._email_key, said.encode(), "sha256")

    def origin(self, address: str) -> str:
        """What stands for the address of a request in events (P5); empty for none."""
        return "origin-" + self.pseudonym("origin", address) if address else ""

    def new_data_key(self) -> bytes:
        """A fresh data key, wrapped for storage."""
        return self._wrapped(AESGCM.generate_key(KEY_BYTES * 8))

    def encrypt(self, wrapped: bytes, plain: bytes) -> bytes:
        """Encrypt with a user's data key."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._unwrapped(wrapped)).encrypt(nonce, plain, None)

    def decrypt(self, wrapped: bytes, sealed: bytes) -> bytes:
        """Decrypt with a user's data key; raises cryptography's InvalidTag when tampered."""
        data_key = AESGCM(self._unwrapped(wrapped))
        return data_key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

    def opens(self, wrapped: bytes) -> bool:
        """Whether a data key was wrapped with this secret."""
        try:
            self._unwrapped(wrapped)
        except InvalidTag:
            return False
        return True

    def rewrap(self, wrapped: bytes, successor: Vault) -> bytes:
        """The same data key, wrapped with another secret; raises InvalidTag."""
        return successor._wrapped(self._unwrapped(wrapped))

    def retire(self, successor: Vault) -> list[bytes]:
        """Our hash keys, newest first, sealed for the secret that comes after ours."""
        nonces = [os.urandom(NONCE_BYTES) for _ in self._hash_keys]
        return [
            nonce + successor._wrap.encrypt(nonce, key, RETIRED)
            for nonce, key in zip(nonces, self._hash_keys, strict=True)
        ]

    def _opened_hash_key(self, sealed: bytes) -> bytes:
        return self._wrap.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], RETIRED)

    def _wrapped(self, data_key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, data_key, None)

    def _unwrapped(self, wrapped: bytes) -> bytes:
        return self._wrap.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], None)


def seal_own_key(vault: Vault, wrapped: bytes, provider: str, secret: str) -> bytes:
    """Seal a provider key with the data key of whose it is, and with whom it may be told to."""
    return vault.encrypt(wrapped, f"{provider}\n{secret}".encode())


def open_own_key(vault: Vault, wrapped: bytes, provider: str, sealed: bytes) -> str:
    """The contrary; empty for what cannot be opened, or was sealed for another provider."""
    try:
        whose, _, secret = vault.decrypt(wrapped, sealed).decode().partition("\n")
    except InvalidTag:
        return ""
    return secret if whose == provider else ""


def open_own_keys(vault: Vault, stored: Iterable[Mapping[str, Any]]) -> tuple[OwnKey, ...]:
    """Provider keys as the look-up of an API key has them (`StoredKey.own_keys`), opened."""
    return tuple(
        OwnKey(
            each["id"],
            each["provider"],
            secret=open_own_key(
                vault,
                bytes.fromhex(each["wrapped"] or ""),
                each["provider"],
                bytes.fromhex(each["sealed"] or ""),
            ),
            hint=each["hint"],
            fallback=each["fallback"],
        )
        for each in stored
    )


def key_scope_hash(account_id: str, route: str, key: str) -> bytes:
    """SHA-256 of an idempotency key in its scope (money rule 8)."""
    return hashlib.sha256(f"{account_id}\n{route}\n{key}".encode()).digest()
