"""All projections there are."""

from __future__ import annotations

from typing import Any

from projections.account_balances import AccountBalances
from projections.runner import Projection

PROJECTIONS: tuple[Projection[Any], ...] = (AccountBalances(),)
