"""Offers at the share of their price that the lines of a batch pay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.batches.price import line_price

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
    """With a price of its own, as `line_price` has it; its provider asks all of it."""
    price = line_price(offer.provider, offer.id, offer.price, percent)
    return replace(offer, price=price, full_price=offer.full_price or offer.price)
