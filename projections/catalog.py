"""All projections there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.account_balances import AccountBalances
from projections.activity_log import ActivityLog
from projections.app_rankings import AppRankings
from projections.catalog_offers import CatalogOffers
from projections.credit_statement import CreditStatement
from projections.journal import Journal
from projections.key_usage import KeyUsage
from projections.model_rankings import ModelRankings
from projections.provider_health import ProviderHealth
from projections.rate_limit_counters import RateLimitCounters
from projections.usage_by_hour import UsageByHour

if TYPE_CHECKING:
    from projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (
    AccountBalances(),
    CreditStatement(),
    Journal(),
    UsageByHour(),
    ActivityLog(),
    ModelRankings(),
    AppRankings(),
    RateLimitCounters(),
    ProviderHealth(),
    KeyUsage(),
    CatalogOffers(),
)


def projection_named(name: str) -> Projection:
    """One of them; raises ValueError naming those there are."""
    for each in PROJECTIONS:
        if each.name == name:
            return each
    message = f"there is no projection {name!r}; there are: "
    raise ValueError(message + ", ".join(each.name for each in PROJECTIONS))
