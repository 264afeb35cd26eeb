"""What is asked of the commands on API keys, by whom, and what they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from command_api.identity.vault import new_api_key
from command_api.quotas.of_keys import By
from domain.events.identity import ApiKeyCreated
from domain.identity.key_cache import read_key_cache
from domain.identity.key_format import Environment, mask_key
from event_store.ids import new_envelope, new_uuid7, to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from command_api.identity.vault import Vault
    from domain.identity.access import Limits
    from event_store.beside.organisations import StoredProject


CACHE = "cache"
"""Among a key's members that change: its wish of the cache."""
MAX_REQUESTS = "max_requests"
"""Among a key's members that change: how many requests it may make, None without a limit."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who commands: with the key that calls, as a user who signed in, or as the operator.

    No limit binds the operator; a user who signed in is bound to the keys of their own.
    """

    actor: str
    key: UUID | None = None
    user: str | None = None

    @property
    def by(self) -> By:
        """The same, as quotas ask for it."""
        return By(self.actor, self.key, operator=self.key is None and self.user is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What a key shall be; lists as in `domain/identity/access.py`."""

    name: str = "key"
    numbered: bool = False
    """Whether a name that is taken gets a number, instead of being refused."""
    environment: Environment = Environment.LIVE
    expires_at: datetime | None = None
    limits: Limits = field(default_factory=dict)
    project_id: UUID | None = None
    """Of the project whose organisation pays; None for a key of the user's own."""
    max_requests: int | None = None
    """Requests in all; None is without a limit."""
    cache: Mapping[str, Any] = field(default_factory=dict)
    """As in `domain/identity/key_cache.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A key just written, shown this once."""

    key_id: str
    name: str
    api_key: str
    old_until: str | None = None


def created_key(
    vault: Vault,
    user_id: UUID,
    account_id: UUID,
    new: NewKey,
    maker: Maker,
    limits: dict[str, list[str]],
    project: StoredProject | None = None,
) -> tuple[ApiKeyCreated, str]:
    """The event of a new key, and the key itself. Raises InvalidCommandError for a cache that is
    none.
    """
    api_key = new_api_key(new.environment)
    event = ApiKeyCreated(
        originator_id=new_uuid7(),
        originator_version=1,
        **new_envelope(maker.actor),
        user_id=str(user_id),
        account_id=str(account_id),
        key_hash=vault.key_hash(api_key.encode()),
        masked=mask_key(api_key),
        name=new.name,
        environment=str(new.environment),
        expires_at=None if new.expires_at is None else to_iso(new.expires_at),
        limits=limits,
        project_id=None if project is None else str(project.project_id),
        organisation_id=None if project is None else str(project.organisation_id),
        cache=read_key_cache(new.cache),
    )
    return event, api_key
