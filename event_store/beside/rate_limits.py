"""Which rate limits bind a key, by the inline state: the key's, user's, plan's, system's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.limits.rates import FIELDS, NO_LIMITS, SYSTEM_ID, RateLimits, tightest, with_plan
from domain.plans.catalog import PLANS
from domain.plans.rates import rates_of
from event_store.beside.plans import read_plans_of_keys

if TYPE_CHECKING:
    import psycopg

_BINDING = (
    f"SELECT plan, {', '.join(FIELDS)} FROM rate_limit WHERE NOT cleared AND (scope, scope_id) IN "
    f"(('key', %s::uuid), ('user', %s::uuid), ('system', '{SYSTEM_ID}'::uuid))"
)


def read_binding_limits(
    connection: psycopg.Connection[Any], key_id: str, user_id: str
) -> RateLimits:
    """Of each limit the lowest that binds a key; None where none does."""
    found = NO_LIMITS
    for plan, *limits in connection.execute(_BINDING, [key_id, user_id]).fetchall():
        found = tightest(found, with_plan(RateLimits(*limits), plan))
    for own in read_plans_of_keys(connection, [key_id]).values():
        found = tightest(found, rates_of(PLANS[own.plan], live=own.live))
    return found
