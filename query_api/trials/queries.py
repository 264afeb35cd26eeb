"""Trials in the shapes that clients know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edge.replies import usd
from event_store.beside.quotas import read_trial, read_trial_use
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.money.trials import read_trials

if TYPE_CHECKING:
    from event_store.beside.quotas import Trial
    from event_store.postgres.database import Connects

BALANCES = projection_named("account_balances")


def own_trial(database: Connects, account_id: str) -> dict[str, Any]:
    """The last trial of an account, as the append would have it now."""
    with database.connect() as connection:
        found = read_trial(connection, UUID(account_id))
    if found is None:
        return {
            "is_valid": False,
            "is_trial": False,
            "is_expired": False,
            "remaining_tokens": 0,
            "remaining_requests": 0,
            "remaining_credits": 0,
            "trial_end_date": None,
            "error": "This account had no trial: it begins when the address is verified.",
        }
    why = _over(found)
    left = 0 if found.ended else found.credits_nano_usd
    return {
        "is_valid": why is None,
        "is_trial": found.alone,
        "is_expired": found.ended,
        "remaining_tokens": 0 if found.ended else found.tokens,
        "remaining_requests": 0 if found.ended else found.requests,
        "remaining_credits": usd(left),
        "trial_end_date": found.ends and to_iso(found.ends),
        **({} if why is None else {"error": why}),
    }


def analytics(database: Connects, *, wait_s: float) -> dict[str, Any]:
    """All trials counted. Raises ProjectionLaggingError."""
    with database.connect() as connection:
        await_own_writes(connection, BALANCES, wait_s)
        found = read_trials(select_on(connection))
        use = read_trial_use(connection)
    total = max(found.total, 1)
    used = {"tokens": use.get("tokens", 0), "requests": use.get("requests", 0)}
    return {
        "total_trials": found.total,
        "active_trials": found.active,
        "expired_trials": found.expired,
        "converted_trials": found.converted,
        "conversion_rate": round(100 * found.converted / total, 2),
        "usage_statistics": {
            "total_tokens": used["tokens"],
            "total_requests": used["requests"],
            "total_credits": usd(found.used),
            "total_credits_granted": usd(found.granted),
        },
        "average_usage_per_trial": {
            "tokens": used["tokens"] // total,
            "requests": used["requests"] // total,
            "credits": usd(found.used // total),
        },
        "trial_status_breakdown": {
            "active": found.active,
            "expired": found.expired,
            "converted": found.converted,
        },
    }


def _over(trial: Trial) -> str | None:
    """Why nothing can be called on a trial any more."""
    if trial.closed:
        return "The trial ended when the subscription began. What was left of it has expired."
    if trial.ended:
        return "The trial has ended."
    if trial.credits_nano_usd <= 0:
        return "The trial's credits are used up."
    if trial.requests == 0:
        return "The trial's requests are used up."
    return "The trial's tokens are used up." if trial.tokens == 0 else None
