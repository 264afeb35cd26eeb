"""The plans there are, in one place: prices in nano-USD, limits by day and month of UTC, and rates.

A limit that is None is none. `NO_PLAN` is what binds who has no plan, where the house wants that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import InvalidCommandError
from domain.limits.rates import NO_LIMITS, RateLimits
from domain.overload.priorities import Priority
from domain.pricing.money import NANO_PER_USD

if TYPE_CHECKING:
    from collections.abc import Mapping

BASIC_MODELS = "basic_models"
LIVE_DAILY_TOKENS_MIN = 25_000
"""Daily tokens of keys that are live, whatever the plan."""
NOT_LIVE_DIVISOR = 2
"""Keys of other environments may use half of a plan."""


class UnknownPlanError(InvalidCommandError):
    """There is no such plan; the message names those there are."""

    code = "plan_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan; `number` is how older clients name it."""

    number: int
    name: str
    description: str
    daily_requests: int | None
    monthly_requests: int | None
    daily_tokens: int | None
    monthly_tokens: int | None
    price_per_month: int | None
    yearly_price: int | None
    features: tuple[str, ...]
    priority: Priority
    """Which class of calls it makes."""
    rates: RateLimits = NO_LIMITS
    """How fast all keys of a user with the plan may call together."""


PLANS: Mapping[str, Plan] = {
    each.name: each
    for each in (
        Plan(
            number=1,
            name="free",
            description="To look around: what the trial leaves, and small things.",
            daily_requests=250,
            monthly_requests=5_000,
            daily_tokens=25_000,
            monthly_tokens=500_000,
            price_per_month=0,
            yearly_price=0,
            features=(BASIC_MODELS,),
            priority=Priority.LOW,
            rates=RateLimits(requests_per_minute=60, concurrency=5),
        ),
        Plan(
            number=2,
            name="dev",
            description="For one person who builds something.",
            daily_requests=10_000,
            monthly_requests=200_000,
            daily_tokens=1_000_000,
            monthly_tokens=20_000_000,
            price_per_month=19 * NANO_PER_USD,
            yearly_price=190 * NANO_PER_USD,
            features=(BASIC_MODELS, "advanced_models"),
            priority=Priority.MEDIUM,
            rates=RateLimits(
                requests_per_minute=600,
                requests_per_hour=6_000,
                tokens_per_minute=250_000,
                tokens_per_hour=750_000,
                concurrency=25,
            ),
        ),
        Plan(
            number=3,
            name="team",
            description="For a product with users.",
            daily_requests=100_000,
            monthly_requests=2_000_000,
            daily_tokens=20_000_000,
            monthly_tokens=400_000_000,
            price_per_month=99 * NANO_PER_USD,
            yearly_price=990 * NANO_PER_USD,
            features=(BASIC_MODELS, "advanced_models", "priority_support"),
            priority=Priority.HIGH,
            rates=RateLimits(
                requests_per_minute=3_000,
                requests_per_hour=60_000,
                tokens_per_minute=2_000_000,
                tokens_per_hour=10_000_000,
                concurrency=100,
            ),
        ),
        Plan(
            number=4,
            name="customize",
            description="As agreed: no limits but those of the credits, and quotas set by hand.",
            daily_requests=None,
            monthly_requests=None,
            daily_tokens=None,
            monthly_tokens=None,
            price_per_month=None,
            yearly_price=None,
            features=(BASIC_MODELS, "advanced_models", "priority_support", "custom_limits"),
            priority=Priority.HIGH,
        ),
    )
}
NO_PLAN = Plan(
    number=0,
    name="none",
    description="No plan.",
    daily_requests=25_000,
    monthly_requests=750_000,
    daily_tokens=500_000,
    monthly_tokens=15_000_000,
    price_per_month=None,
    yearly_price=None,
    features=(BASIC_MODELS,),
    priority=Priority.MEDIUM,
)


def plan_named(name: str | int) -> Plan:
    """A plan by its name, or its number; raises UnknownPlanError."""
    text = str(name)
    for plan in PLANS.values():
        if text in {plan.name, str(plan.number)}:
            return plan
    message = f"there is no plan {text[:64]!r}: there are {', '.join(PLANS)}"
    raise UnknownPlanError(message)
