"""Setting, clearing and listing limits: what the command line and the routes call.

Each is database work, for a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
from domain.plans.catalog import PLANS
from domain.plans.rates import rates_of, rates_of_call
from event_store.beside.plans import read_planned, read_plans_of_keys
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domain.events.base import Event
    from event_store.beside.plans import PlanOfKey
    from event_store.postgres.database import Connects, Database

LISTED_MAX = 10_000
"""Most limits that are listed at once."""
ROW = f"scope, scope_id::text, set_by, plan, {', '.join(FIELDS)}"
BINDING = (
    f"SELECT {ROW} FROM rate_limit WHERE NOT cleared AND (scope, scope_id) IN "
    f"(('key', %s::uuid), ('user', %s::uuid), ('system', '{SYSTEM_ID}'::uuid), ('organisation', "
    "(SELECT organisation_id FROM api_key WHERE key_id = %s AND NOT replaced)))"
)
"""What was set that binds a key; given are its id, its user's, and its id again."""
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


class OfKeys(NamedTuple):
    """The limits of a user's keys."""

    user: RateLimits
    operator: dict[str, RateLimits]
    """By key, as the operator set them."""
    effective: dict[str, RateLimits]
    """By key, those of the operator, the owner and the plan."""
    plans: dict[str, PlanOfKey]
    """By key the plan in force."""

    def of_plan(self, key_id: str) -> RateLimits:
        """What the plan allows a key; no limits where it has none."""
        plan = self.plans.get(key_id)
        return NO_LIMITS if plan is None else rates_of(PLANS[plan.plan], live=plan.live)


def limits_of_keys(database: Connects, user_id: str, key_ids: Sequence[str]) -> OfKeys:
    """The limits of a user's keys, as they are now."""
    with database.connect() as connection:
        rows = connection.execute(
            f"SELECT {ROW} FROM rate_limit WHERE NOT cleared AND (scope, scope_id) IN "
            "(SELECT 'key', unnest(%s::uuid[]) UNION ALL SELECT 'user', %s::uuid)",
            [list(key_ids), user_id],
        ).fetchall()
        plans = read_plans_of_keys(connection, key_ids)
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
    found = OfKeys(user, operator, effective, plans)
    for key_id in plans:
        effective[key_id] = tightest(effective.get(key_id, NO_LIMITS), found.of_plan(key_id))
    return found


def binding_limits(database: Connects, key_id: str) -> list[dict[str, Any]]:
    """Everything that binds a key, by whose it is, for people and programs."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT user_id FROM api_key WHERE key_id = %s AND NOT replaced", [key_id]
        ).fetchone()
        rows = connection.execute(BINDING, [key_id, row and row[0], key_id]).fetchall()
        plan = read_plans_of_keys(connection, [key_id]).get(key_id)
    found = [each.shown() for each in sorted(map(InForce, rows), key=lambda each: each.target)]
    if plan is not None:
        found += [
            {"scope": str(scope), "id": plan.user_id, "plan": plan.plan, **limits.given()}
            for scope, limits in rates_of_call(PLANS[plan.plan], live=plan.live)
        ]
    return found


def limited_windows(database: Connects) -> dict[str, frozenset[int]]:
    """By the name of each scope with limits the gauges of its windows that are limited."""
    found: dict[str, frozenset[int]] = {}
    with database.connect() as connection:
        planned = read_planned(connection, most=LISTED_MAX)
    named = [
        *((each.target[:2], each.effective) for each in list_limits(database)),
        *(
            ((scope, user_id), limits)
            for user_id, plan in planned
            for scope, limits in rates_of_call(PLANS[plan], live=False)
        ),
    ]
    for (scope, scope_id), limits in named:
        name = f"{scope}:{scope_id}"
        gauges = {gauge for gauge, limit in enumerate(limits[:BURST]) if limit is not None}
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
