"""Compares the table of users' plans with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.plans.all import AllPlans


def plan_differences(connection: psycopg.Connection[Any], plans: AllPlans) -> Iterator[str]:
    """Every user whose plan differs."""
    rows = connection.execute(
        "SELECT user_id::text, account_id::text, version, plan, iso_instant(expires_at) "
        "FROM user_plan"
    ).fetchall()
    stored = {user: tuple(members) for user, *members in rows}
    for user in sorted(stored.keys() | plans.by_user.keys()):
        here, logged = stored.get(user), plans.by_user.get(user)
        if here != logged:
            yield f"user_plan {user}: stored {here!r}, the log says {logged!r}"
