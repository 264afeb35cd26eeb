"""All projections there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.account_balances import AccountBalances

if TYPE_CHECKING:
    from projections.runner import Projection

PROJECTIONS: tuple[Projection[Any], ...] = (AccountBalances(),)
