"""Events of users and API keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
    """A key exists; only its HMAC and a masked form are kept. It may end at an instant.

    `limits` are lists by name (`scopes`, `ip_allowlist`, `domain_referrers`, `models`,
    `providers`); one that is not there limits nothing. A key of a project draws on the account of
    the project's organisation; without one it is its user's own. `cache` says how its calls use the
    cache, and is empty where they are not opted in.
    """

    TOPIC = "api_key.created.v1"
    CATEGORY = "api_key"

    user_id: str
    account_id: str
    key_hash: str
    masked: str
    name: str
    environment: str = "live"
    expires_at: str | None = None
    limits: dict[str, list[str]] = field(default_factory=dict)
    project_id: str | None = None
    organisation_id: str | None = None
    cache: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ApiKeyChanged(Event):
    """Members of a key that changed, as they were and as they are.

    Any of `name`, `is_active`, `expires_at` (an instant, null for never), `limits` (all lists) and
    `cache`.
    """

    TOPIC = "api_key.changed.v1"
    CATEGORY = "api_key"

    before: dict[str, Any]
    after: dict[str, Any]


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


@dataclass(frozen=True, kw_only=True)
class ApiKeyDeleted(Event):
    """The key opens nothing, and is in no list any more."""

    TOPIC = "api_key.deleted.v1"
    CATEGORY = "api_key"
