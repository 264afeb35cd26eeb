"""Plans for tests: a user's as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from domain.events.base import By
from domain.plans.assignment import Owner, UserPlan, assign_plan, end_plan
from domain.plans.catalog import PLANS
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def tell_plans(database: Database, user_id: str, account_id: str) -> None:
    """Assigned and ended."""
    owner, by = Owner(UUID(user_id), UUID(account_id)), By(None, "origin-0011", "test")
    given = assign_plan(UserPlan(), owner, PLANS["dev"], None, by, new_envelope("operator:cli"))
    ended = end_plan(UserPlan(1, "dev"), owner, by, new_envelope("operator:cli"))
    aggregates = Aggregates(database)
    try:
        aggregates.append([given, ended])
    finally:
        aggregates.close()
