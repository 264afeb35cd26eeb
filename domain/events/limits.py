"""Events of rate limits. What they admit is never an event; what they refuse is one an hour."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class RateLimitsSet(Event):
    """A key, a user or the system has these limits from now on, and no others by who set them.

    `set_by` is operator or owner; `plan` names a preset, which fills what `limits` leaves open.
    """

    TOPIC = "rate_limits.set.v1"
    CATEGORY = "rate_limits"

    scope: str
    scope_id: str
    set_by: str
    limits: dict[str, int]
    plan: str | None = None


@dataclass(frozen=True, kw_only=True)
class RateLimitsCleared(Event):
    """The limits that were set are no more."""

    TOPIC = "rate_limits.cleared.v1"
    CATEGORY = "rate_limits"

    scope: str
    scope_id: str
    set_by: str


@dataclass(frozen=True, kw_only=True)
class RateLimitsRefused(Event):
    """How many requests one process refused for a scope's limits within an hour, by reason."""

    TOPIC = "rate_limits.refused.v1"
    CATEGORY = "rate_limits"

    scope: str
    scope_id: str
    starts_at: str
    count: int
    reasons: dict[str, int]
