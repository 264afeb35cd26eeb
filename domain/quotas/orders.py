"""Setting and removing quotas: commands decide events, events evolve state.

What the operator set last is the ceiling of what the owner of a key may set on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidCommandError
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.quotas.terms import check_limit, quota_id
from domain.quotas.windows import UTC_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import Event, Stamp

OPERATOR = "operator:"
"""How the actor of an operator's event begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaTarget:
    """What is limited, in which unit and window; `account_id` is the account that pays."""

    account_id: str
    scope_kind: str
    scope_id: str
    unit: str
    window: str

    @property
    def stream(self) -> UUID:
        """The stream of its events."""
        return quota_id(self.account_id, self.scope_kind, self.scope_id, self.unit, self.window)


class QuotaState(NamedTuple):
    """What is set; no `limit` where nothing is, or it was removed."""

    version: int = 0
    limit: int | None = None
    zone: str = UTC_NAME
    ceiling: int | None = None
    """What the operator set last, unless it was the operator who removed it."""


def replay_quota(events: Iterable[Event]) -> QuotaState:
    """The state after all events of a quota's stream."""
    state = QuotaState()
    for event in events:
        limit, zone = (event.limit, event.zone) if isinstance(event, QuotaSet) else (None, UTC_NAME)
        ceiling = limit if event.actor.startswith(OPERATOR) else state.ceiling
        state = QuotaState(event.originator_version, limit, zone, ceiling)
    return state


def set_quota(
    state: QuotaState, target: QuotaTarget, limit: int, zone: str, stamp: Stamp
) -> list[QuotaSet]:
    """Allow so much in each window; the same again changes nothing.

    Raises InvalidCommandError for a limit that cannot be.
    """
    check_limit(limit)
    if (state.limit, state.zone) == (limit, zone):
        return []
    return [
        QuotaSet(
            originator_id=target.stream,
            originator_version=state.version + 1,
            **stamp,
            account_id=target.account_id,
            scope_kind=target.scope_kind,
            scope_id=target.scope_id,
            unit=target.unit,
            window=target.window,
            limit=limit,
            zone=zone,
        )
    ]


def remove_quota(state: QuotaState, target: QuotaTarget, stamp: Stamp) -> list[QuotaRemoved]:
    """Bind no further call; what is removed already stays so.

    Raises InvalidCommandError where there never was one.
    """
    if not state.version:
        message = f"there is no quota of {target.unit} by {target.window} on this "
        raise InvalidCommandError(message + target.scope_kind)
    if state.limit is None:
        return []
    return [
        QuotaRemoved(
            originator_id=target.stream,
            originator_version=state.version + 1,
            **stamp,
            account_id=target.account_id,
        )
    ]
