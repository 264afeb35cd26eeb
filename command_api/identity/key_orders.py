"""What is asked of the commands on API keys, by whom, and what they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from command_api.quotas.of_keys import By
from domain.identity.key_format import Environment

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from domain.identity.access import Limits


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
    max_requests: int | None = None
    """Requests in all; None is without a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A key just written, shown this once."""

    key_id: str
    name: str
    api_key: str
    old_until: str | None = None
