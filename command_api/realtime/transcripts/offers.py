"""The models that can write down what a session hears, each with the price of both.

They are the provider's own that speech can be sent to (`/v1/audio/transcriptions`), for the session
is the provider's. The hold states the price with each of them, because the caller chooses later.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from command_api.operations.audio.request import TRANSCRIPTION
from domain.realtime.transcript_prices import with_transcripts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.routing.router import Plan, Router
    from domain.provider_keys.secrets import OwnKey
    from providers.inference.registry.offers import Model, Provider
    from providers.inference.registry.registry import Registry

WRITERS_MAX = 16
"""Most models of a provider that a hold states."""
PRICES_MAX = 1_024
"""Most prices that are kept; beyond, all are made anew."""


class Writers:
    """Makes each price once, as long as both offers are the same."""

    def __init__(self, registry: Registry, router: Router) -> None:
        """One for each process."""
        self._registry, self._router = registry, router
        self._made: dict[tuple[int, int], tuple[Model, Model, Model | None]] = {}

    def planned(self, plan: Plan, own: tuple[OwnKey, ...]) -> Plan:
        """The plan, by whose prices a session can be settled with transcripts as well."""
        found = chain.from_iterable(self._of(offer, own).values() for offer in plan.offers)
        return plan._replace(beside=tuple(found))

    def stated(self, plan: Plan, offer: Model, own: tuple[OwnKey, ...]) -> dict[str, Model]:
        """By the provider's id of the writer: the offer at the price with it, where it is held for.

        A list of models that changed since the hold changes nothing (money rule 12).
        """
        versions = {each.price.version for each in plan.beside}
        found = self._of(offer, own)
        return {name: each for name, each in found.items() if each.price.version in versions}

    def _of(self, offer: Model, own: tuple[OwnKey, ...]) -> dict[str, Model]:
        found: dict[str, Model] = {}
        for heard in _writers(self._registry.providers[offer.provider]):
            if len(found) >= WRITERS_MAX:
                break
            made = self._with(offer, self._asked_with(offer, heard, own))
            if made is not None:
                found[heard.id] = made
        return found

    def _asked_with(self, offer: Model, heard: Model, own: tuple[OwnKey, ...]) -> Model:
        """The writer at the price that the session's key has: a fee of it for a caller's own."""
        keys = tuple(each for each in own if each.id == offer.own_key)
        return self._router.own_offers.of([heard], keys)[0] if keys else heard

    def _with(self, offer: Model, heard: Model) -> Model | None:
        key = (id(offer), id(heard))
        known = self._made.get(key)
        if known is None or known[0] is not offer or known[1] is not heard:
            if len(self._made) >= PRICES_MAX:
                self._made.clear()
            price = with_transcripts(offer.provider, offer.id, offer.price, heard.price)
            made = None if price is None else replace(offer, price=price)
            known = self._made[key] = (offer, heard, made)
        return known[2]


def _writers(provider: Provider) -> Iterator[Model]:
    """Its models that write down what they hear, in the order of their ids."""
    every = {**provider.listed, **provider.models}
    for name in sorted(each for each, model in every.items() if _writes(model)):
        yield every[name]


def _writes(model: Model) -> bool:
    """As `/v1/audio/transcriptions` knows them."""
    by_tokens = TRANSCRIPTION in model.facts.output_modalities and model.price.counts_tokens
    return model.price.counts_seconds or by_tokens
