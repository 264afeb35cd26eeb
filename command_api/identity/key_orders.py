"""What is asked of the commands on API keys, by whom, and what they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.identity.key_format import Environment

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from domain.identity.access import Limits


@dataclass(frozen=True, slots=True)
class Maker:
    """Who commands: with the key that calls, as a user who signed in, or as the operator.

    No limit binds the operator; a user who signed in is bound to the keys of their own.
    """

    actor: str
    key: UUID | None = None
    user: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A key just written, shown this once."""

    key_id: str
    name: str
    api_key: str
    old_until: str | None = None
