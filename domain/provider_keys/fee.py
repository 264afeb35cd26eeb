"""What a call with an own key costs: a share of the catalog's price, by the operator's setting.

The share is a price of its own with a version of its own, so that a hold, a settlement and whoever
checks them need to know nothing of own keys (money rules 1 and 12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.pricing.shares import WHOLE, shared_price

if TYPE_CHECKING:
    from domain.pricing.prices import PriceVersion

SOURCE = "own key: "
"""How the source of such a price begins."""


def fee_price(provider: str, model: str, whole: PriceVersion, percent: int) -> PriceVersion:
    """So many percent of a price; raises ValueError beyond 0 to 100."""
    source = f"{SOURCE}{percent} of {WHOLE} of {whole.version}"
    return shared_price(provider, model, whole, percent, source)
