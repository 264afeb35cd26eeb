"""Offers as a caller's own provider keys have them: at the fee, with no health of the house's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.provider_keys.fee import fee_price
from domain.provider_keys.offers import tries_of
from edge.errors import SERVER, ApiError

if TYPE_CHECKING:
    from domain.provider_keys.secrets import OwnKey
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry

OFFERS_MAX = 20_000
"""Offers that are kept; beyond it all are made anew. None of them holds a secret."""


class OwnOffers:
    """Each is made once for each key, as long as the offer is the same."""

    def __init__(self, registry: Registry, percent: int) -> None:
        """`percent` of the price is the fee."""
        self._registry, self._percent = registry, percent
        self._made: dict[tuple[int, str], tuple[Model, Model]] = {}

    def of(self, offers: list[Model], own: tuple[OwnKey, ...]) -> list[Model]:
        """What may be tried of a model's offers, own keys first.

        Raises ApiError 503 for an own key that cannot be used: no other is taken for it.
        """
        found: list[Model] = []
        for place, key in tries_of([each.provider for each in offers], own):
            offer = offers[place]
            if key is None:
                found.append(offer)
                continue
            if not key.secret or self._registry.providers[offer.provider].keyed is None:
                raise _unusable(key)
            found.append(self._with(offer, key))
        return found

    def _with(self, offer: Model, key: OwnKey) -> Model:
        known = self._made.get((id(offer), key.id))
        if known is None or known[0] is not offer:
            if len(self._made) >= OFFERS_MAX:
                self._made.clear()
            price = fee_price(offer.provider, offer.id, offer.price, self._percent)
            made = replace(offer, price=price, own_key=key.id, full_price=offer.price)
            known = self._made[id(offer), key.id] = (offer, made)
        return known[1]


def _unusable(key: OwnKey) -> ApiError:
    message = (
        f"Your provider key {key.id} for {key.provider} cannot be used here at this moment, and no "
        "other key is used in its place. Store it anew, or disable it: "
        f"PATCH /user/provider-keys/{key.id}."
    )
    return ApiError(503, "provider_key_unusable", message, kind=SERVER)
