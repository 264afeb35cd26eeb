"""Offers at the share of their price that the lines of a batch pay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.shares import WHOLE, share_of
from domain.pricing.terms import PriceTerms

if TYPE_CHECKING:
    from providers.inference.registry.offers import Model

OFFERS_MAX = 20_000
"""Offers that are kept; beyond it all are made anew."""


class SharedOffers:
    """Each is made once, as long as the offer is the same."""

    def __init__(self) -> None:
        """Empty; filled as offers are used."""
        self._made: dict[tuple[int, int], tuple[Model, Model]] = {}

    def of(self, offer: Model, percent: int) -> Model:
        """The offer as it is sold for so many percent of its price."""
        known = self._made.get((id(offer), percent))
        if known is None or known[0] is not offer:
            if len(self._made) >= OFFERS_MAX:
                self._made.clear()
            known = self._made[id(offer), percent] = (offer, _shared(offer, percent))
        return known[1]


def _shared(offer: Model, percent: int) -> Model:
    """With a price of its own, whose version follows from its terms (money rule 12)."""
    whole = offer.price
    terms = share_of(whole.terms.as_strings(), percent)
    source = f"{whole.source}, batch: {percent} of {WHOLE}"
    # A price that states no tokens writes them as 0, and goes on to state none.
    parsed = replace(PriceTerms.parse(terms), tokens_stated=whole.terms.tokens_stated)
    price = PriceVersion(
        version=version_of(offer.provider, offer.id, source, terms),
        source=source,
        effective_at=whole.effective_at,
        terms=parsed,
    )
    return replace(offer, price=price)
