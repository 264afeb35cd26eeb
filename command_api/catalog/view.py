"""The catalog as callers see it: models with all their offers, and the search among them.

One model at many providers is one entry, under its canonical id, with an offer for each of them.
Everything here is made once for each state of the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from command_api.catalog.listing import Listing, in_slices
from command_api.catalog.objects import offer_object, per_token
from edge.lanes import Flights
from providers.inference.registry.offers import price_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from domain.catalog import ModelFacts
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry

SortBy = Literal["price", "context", "popularity", "name"]
Direction = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model and its offers, the cheapest first."""

    canonical: str
    offers: tuple[Model, ...]
    text: str
    """What a search looks through, in lower case."""
    rank: int
    """By price."""

    @property
    def best(self) -> Model:
        """The cheapest offer."""
        return self.offers[0]

    def as_object(self, gateway: str | None = None) -> dict[str, Any]:
        """The model as a whole; `gateway` says whose offer stands for it."""
        shown = next((each for each in self.offers if each.provider == gateway), self.best)
        return {
            **offer_object(shown),
            "id": self.canonical,
            "offers": [
                {
                    "id": each.public_id,
                    "gateway": each.provider,
                    "context_length": each.context_length,
                    "pricing": per_token(each.price.terms),
                    "price_version": each.price.version,
                }
                for each in self.offers
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; prices are USD per million input tokens, lengths are tokens."""

    text: str = ""
    modality: str | None = None
    min_context: int | None = None
    max_context: int | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    gateway: str | None = None
    sort_by: SortBy = "price"
    order: Direction = "asc"

    def among(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that fit: all words in the text, and one offer that all limits admit."""
        found = list(entries)
        for word in self.text.lower().split():
            found = [each for each in found if word in each.text]
        limits = (self.gateway, self.modality, self.min_context, self.max_context)
        if all(each is None for each in (*limits, self.min_price, self.max_price)):
            return found
        return [each for each in found if any(map(self._wants_offer, each.offers))]

    def _wants_offer(self, offer: Model) -> bool:
        price, length = offer.price.terms.input_per_million, offer.context_length or 0
        return (
            (self.gateway is None or offer.provider == self.gateway)
            and (self.min_context is None or length >= self.min_context)
            and (self.max_context is None or length <= self.max_context)
            and (self.min_price is None or price >= self.min_price)
            and (self.max_price is None or price <= self.max_price)
            and (self.modality is None or self._has_modality(offer.facts))
        )

    def _has_modality(self, facts: ModelFacts) -> bool:
        found = {*facts.input_modalities, *facts.output_modalities}
        if self.modality == "multimodal":
            return len(found - {"embedding", "score"}) > 1
        return self.modality in found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalog at one revision of the registry; nothing of it changes any more."""

    revision: int
    entries: dict[str, Entry]
    """All models with a price, by canonical id, in the order of the ids."""
    developers: dict[str, list[Entry]]
    """The same by the first segment of their ids, where there are more."""
    listing: Listing
    """OpenAI's list: every offer, and every listed model without a price, by id."""

    def search(self, wanted: Search, popularity: Mapping[str, int]) -> list[Entry]:
        """The entries that fit, in order; `popularity` is requests by canonical id."""
        found = wanted.among(self.entries.values())
        keys = {
            "price": lambda each: each.rank,
            "context": lambda each: each.best.context_length or 0,
            "popularity": lambda each: popularity.get(each.canonical, 0),
            "name": lambda each: each.canonical,
        }
        # The entries are in the order of their ids, and sorting keeps it among equals.
        found.sort(key=keys[wanted.sort_by], reverse=wanted.order == "desc")
        return found


class CatalogView:
    """The present snapshot, made anew when the registry has changed.

    It is made in slices on the event loop, between which calls go on: twenty thousand models are
    a second of work.
    """

    def __init__(self, registry: Registry) -> None:
        """Nothing is made before it is asked for."""
        self._registry = registry
        self._flights = Flights()
        self._made = Snapshot(-1, {}, {}, Listing())

    async def current(self) -> Snapshot:
        """The snapshot of this moment, or of a later one."""
        wanted = self._registry.revision
        while self._made.revision < wanted:
            await self._flights.get("snapshot", self._make)
        return self._made

    async def _make(self) -> None:
        revision = self._registry.revision
        entries: dict[str, Entry] = {}
        developers: dict[str, list[Entry]] = {}
        async for canonical, offers in in_slices(sorted(self._registry.canonical().items())):
            entry = entries[canonical] = entry_of(canonical, offers)
            developer, slash, _ = canonical.partition("/")
            if slash:
                developers.setdefault(developer, []).append(entry)
        listing = await Listing.of(list(self._registry.providers.values()))
        if listing.digest == self._made.listing.digest:
            listing = self._made.listing  # A list was fetched again, and says the same.
        self._made = Snapshot(revision, entries, developers, listing)


def entry_of(canonical: str, offers: list[Model]) -> Entry:
    """One model with its offers."""
    best_first = tuple(sorted(offers, key=price_rank))
    words = [canonical]
    for each in best_first:
        words += [each.public_id, each.facts.name, each.facts.description]
    return Entry(canonical, best_first, " ".join(words).lower(), price_rank(best_first[0]))
