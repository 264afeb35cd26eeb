"""Events of users and API keys."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class UserRegistered(Event):
    """A user exists, with a credit account. Address and name are encrypted with the user's key."""

    TOPIC = "user.registered.v1"
    CATEGORY = "user"

    account_id: str
    email_ciphertext: str
    username_ciphertext: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKeyCreated(Event):
    """A key exists; only its HMAC and a masked form are kept. It may end at an instant."""

    TOPIC = "api_key.created.v1"
    CATEGORY = "api_key"

    user_id: str
    account_id: str
    key_hash: str
    masked: str
    name: str
    environment: str = "live"
    expires_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKeyRotated(Event):
    """The key is written anew; the old writing opens until `old_until`, an instant."""

    TOPIC = "api_key.rotated.v1"
    CATEGORY = "api_key"

    key_hash: str
    masked: str
    old_until: str


@dataclass(frozen=True, kw_only=True)
class ApiKeyRevoked(Event):
    """The key no longer opens anything."""

    TOPIC = "api_key.revoked.v1"
    CATEGORY = "api_key"

    reason: str = ""
