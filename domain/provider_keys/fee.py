"""What a call with an own key costs: a share of the catalog's price, by the operator's setting.

The share is a price of its own with a version of its own, so that a hold, a settlement and whoever
checks them need to know nothing of own keys (money rules 1 and 12).
"""

from __future__ import annotations

from dataclasses import replace

from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.shares import WHOLE, share_of
from domain.pricing.terms import PriceTerms

SOURCE = "own key: "
"""How the source of such a price begins."""


def fee_price(provider: str, model: str, whole: PriceVersion, percent: int) -> PriceVersion:
    """So many percent of a price; raises ValueError beyond 0 to 100."""
    terms = share_of(whole.terms.as_strings(), percent)
    source = f"{SOURCE}{percent} of {WHOLE} of {whole.version}"
    # A price that states no tokens writes them as 0, and goes on to state none.
    parsed = replace(PriceTerms.parse(terms), tokens_stated=whole.terms.tokens_stated)
    return PriceVersion(
        version=version_of(provider, model, source, terms),
        source=source,
        effective_at=whole.effective_at,
        terms=parsed,
    )
