"""Setting, clearing and listing limits: what the command line and the routes call.

Each is database work, for a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import IntegrityError

from domain.errors import InvalidCommandError
from domain.limits.rates import (
    FIELDS,
    NO_LIMITS,
    SYSTEM_ID,
    LimitScope,
    RateLimits,
    SetBy,
    tightest,
    with_plan,
)
from domain.limits.settings import Target, clear_limits, replay_limits, set_limits
from domain.limits.windows import BURST
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domain.events.base import Event
    from event_store.postgres.database import Connects, Database

LISTED_MAX = 10_000
"""Most limits that are listed at once."""
ROW = f"scope, scope_id::text, set_by, plan, {', '.join(FIELDS)}"
SYSTEM = Target(LimitScope.SYSTEM, SYSTEM_ID, SetBy.OPERATOR)


class LimitCommands:
    """The commands; a short-lived object."""

    def __init__(self, where: Database | Aggregates, *, actor: str) -> None:
        """`actor` stands on the events; `where` is open already, or is opened here."""
        self._actor = actor
        self._aggregates = where if isinstance(where, Aggregates) else Aggregates(where)
        self._own = self._aggregates is not where

    def close(self) -> None:
        """Disconnect what was opened here."""
        if self._own:
            self._aggregates.close()

    def set(
        self, targets: Sequence[Target], limits: Mapping[str, int], plan: str | None = None
    ) -> list[RateLimits]:
        """Set limits beside those that are set already; what they are now, by target.

        All or none are set. Raises InvalidCommandError.
        """
        events: list[Event] = []
        found: list[RateLimits] = []
        for target in targets:
            state = replay_limits(self._aggregates.events_of(target.stream))
            wanted = {**state.limits.given(), **limits}
            named = plan or state.plan
            events += set_limits(
                state, target, limits=wanted, plan=named, envelope=new_envelope(self._actor)
            )
            found.append(with_plan(RateLimits(**wanted), named))
        self._append(events)
        return found

    def clear(self, target: Target) -> bool:
        """Take limits away; whether there were any."""
        state = replay_limits(self._aggregates.events_of(target.stream))
        events = clear_limits(state, target, envelope=new_envelope(self._actor))
        self._append(events)
        return bool(events)

    def _append(self, events: Sequence[Event]) -> None:
        if not events:
            return
        try:
            self._aggregates.append(events)
        except IntegrityError:
            message = "the limits were changed by somebody else at this moment: try again"
            raise InvalidCommandError(message) from None


class InForce:
    """One row of what is in force."""

    __slots__ = ("limits", "plan", "target")

    def __init__(self, row: Sequence[Any]) -> None:
        """As ROW selects it."""
        scope, scope_id, set_by, self.plan, *limits = row
        self.target = Target(LimitScope(scope), scope_id, SetBy(set_by))
        self.limits = RateLimits(*limits)

    @property
    def effective(self) -> RateLimits:
        """The limits, with the plan's."""
        return with_plan(self.limits, self.plan)

    def shown(self) -> dict[str, Any]:
        """For people and programs."""
        found: dict[str, Any] = {
            "scope": str(self.target.scope),
            "id": None if self.target.scope == LimitScope.SYSTEM else self.target.scope_id,
            "set_by": str(self.target.set_by),
        }
        if self.plan:
            found["plan"] = self.plan
        return {**found, **self.effective.given()}


def limits_of_keys(
    database: Connects, user_id: str, key_ids: Sequence[str]
) -> tuple[RateLimits, dict[str, RateLimits], dict[str, RateLimits]]:
    """The user's limits, and by key those of the operator, and those that are in effect."""
    with database.connect() as connection:
        rows = connection.execute(
            f"SELECT {ROW} FROM rate_limit WHERE NOT cleared AND (scope, scope_id) IN "
            "(SELECT 'key', unnest(%s::uuid[]) UNION ALL SELECT 'user', %s::uuid)",
            [list(key_ids), user_id],
        ).fetchall()
    user = NO_LIMITS
    operator: dict[str, RateLimits] = {}
    effective: dict[str, RateLimits] = {}
    for each in map(InForce, rows):
        scope, scope_id, set_by = each.target
        if scope == LimitScope.USER:
            user = tightest(user, each.effective)
            continue
        if set_by == SetBy.OPERATOR:
            operator[scope_id] = each.limits
        effective[scope_id] = tightest(effective.get(scope_id, NO_LIMITS), each.limits)
    return user, operator, effective


def limited_windows(database: Connects) -> dict[str, frozenset[int]]:
    """By the name of each scope with limits the gauges of its windows that are limited."""
    found: dict[str, frozenset[int]] = {}
    for each in list_limits(database):
        name = f"{each.target.scope}:{each.target.scope_id}"
        gauges = {gauge for gauge, limit in enumerate(each.effective[:BURST]) if limit is not None}
        if gauges:
            found[name] = found.get(name, frozenset()) | gauges
    return found


def list_limits(database: Connects) -> list[InForce]:
    """What is in force: the system first, then organisations, users, keys."""
    with database.connect() as connection:
        rows = connection.execute(
            f"SELECT {ROW} FROM rate_limit WHERE NOT cleared "
            "ORDER BY array_position(ARRAY['system', 'organisation', 'user', 'key'], scope), "
            "scope_id, set_by "
            "LIMIT %s",
            [LISTED_MAX],
        ).fetchall()
    return [InForce(row) for row in rows]
