"""A subscription ends the trial of its account: no call takes from its lot any more.

What is left of the lot expires at its own instant, and was never anybody's money.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.quotas import QuotaSet
from domain.quotas.terms import ScopeKind, Unit, lot_quota_id
from domain.quotas.windows import Window

if TYPE_CHECKING:
    from domain.events.base import Stamp


def end_trial(account_id: str, lot_id: str, version: int, stamp: Stamp) -> QuotaSet:
    """The trial's requests are used up from now on; `version` is that of their quota's stream."""
    return QuotaSet(
        originator_id=lot_quota_id(lot_id, Unit.REQUESTS),
        originator_version=version + 1,
        **stamp,
        account_id=account_id,
        scope_kind=ScopeKind.TRIAL_LOT,
        scope_id=lot_id,
        unit=Unit.REQUESTS,
        window=Window.TOTAL,
        limit=0,
    )
