"""All projections there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.audit.audit_log import AuditLog
from projections.catalog.catalog_offers import CatalogOffers
from projections.catalog.provider_health import ProviderHealth
from projections.money.account_balances import AccountBalances
from projections.money.approvals import Approvals
from projections.money.credit_statement import CreditStatement
from projections.money.journal import Journal
from projections.usage.activity_log import ActivityLog
from projections.usage.app_rankings import AppRankings
from projections.usage.key_usage import KeyUsage
from projections.usage.model_rankings import ModelRankings
from projections.usage.rate_limit_alerts import RateLimitAlerts
from projections.usage.rate_limit_counters import RateLimitCounters
from projections.usage.usage_by_hour import UsageByHour

if TYPE_CHECKING:
    from projections.engine.projection import Projection

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
    AuditLog(),
    RateLimitAlerts(),
    Approvals(),
)


def projection_named(name: str) -> Projection:
    """One of them; raises ValueError naming those there are."""
    for each in PROJECTIONS:
        if each.name == name:
            return each
    message = f"there is no projection {name!r}; there are: "
    raise ValueError(message + ", ".join(each.name for each in PROJECTIONS))
