"""Setting and clearing limits: commands decide events, events evolve state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from domain.errors import InvalidCommandError
from domain.events.limits import RateLimitsCleared, RateLimitsSet
from domain.limits.rates import NO_LIMITS, OF_PLANS, LimitScope, RateLimits, check_limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.events.base import Event
    from domain.limits.rates import SetBy

STREAMS = UUID("0195c6a0-5f0e-7d51-9a3e-6c1f2b7d8e90")
"""Namespace of the streams' ids: one stream for each scope and each who may set its limits."""


class Target(NamedTuple):
    """Whose limits, and who sets them: each has a stream of its own."""

    scope: LimitScope
    scope_id: str
    set_by: SetBy

    @property
    def stream(self) -> UUID:
        """The stream of its events."""
        return uuid5(STREAMS, f"{self.scope}:{self.scope_id}:{self.set_by}")


@dataclass(frozen=True, slots=True)
class LimitsState:
    """What is set."""

    version: int = 0
    limits: RateLimits = NO_LIMITS
    plan: str | None = None

    @property
    def cleared(self) -> bool:
        """Whether nothing is set."""
        return self.limits.empty and self.plan is None


def _after(event: Event) -> LimitsState:
    """The state after an event: each says all that is in force from then on."""
    if isinstance(event, RateLimitsSet):
        known = {name: value for name, value in event.limits.items() if name in RateLimits._fields}
        return LimitsState(event.originator_version, RateLimits(**known), event.plan)
    return LimitsState(event.originator_version)


def replay_limits(events: Iterable[Event]) -> LimitsState:
    """The state after all events of a stream."""
    state = LimitsState()
    for event in events:
        state = _after(event)
    return state


def set_limits(
    state: LimitsState,
    target: Target,
    *,
    limits: Mapping[str, int],
    plan: str | None,
    envelope: Mapping[str, Any],
) -> list[RateLimitsSet]:
    """Set these limits in the place of those that are set; the same again changes nothing.

    `envelope` are id, effective_at, actor and correlation_id. Raises InvalidCommandError.
    """
    wanted = check_limits(limits, plan)
    if target.scope in OF_PLANS:
        message = "the limits of a plan stand in the table of plans: give the user another plan"
        raise InvalidCommandError(message)
    if plan is not None and target.scope not in {LimitScope.USER, LimitScope.ORGANISATION}:
        message = (
            "a plan is a user's or an organisation's: give a key or the system their own limits"
        )
        raise InvalidCommandError(message)
    if (wanted, plan) == (state.limits, state.plan):
        return []
    return [
        RateLimitsSet(
            originator_id=target.stream,
            originator_version=state.version + 1,
            scope=str(target.scope),
            scope_id=target.scope_id,
            set_by=str(target.set_by),
            limits=wanted.given(),
            plan=plan,
            **envelope,
        )
    ]


def clear_limits(
    state: LimitsState,
    target: Target,
    *,
    envelope: Mapping[str, Any],
) -> list[RateLimitsCleared]:
    """Take the limits away; where none is set nothing changes."""
    if state.cleared:
        return []
    return [
        RateLimitsCleared(
            originator_id=target.stream,
            originator_version=state.version + 1,
            scope=str(target.scope),
            scope_id=target.scope_id,
            set_by=str(target.set_by),
            **envelope,
        )
    ]
