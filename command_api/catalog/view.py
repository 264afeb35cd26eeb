"""The catalog as callers see it: models with all their offers, and the search among them.

One model at many providers is one entry, under its canonical id, with an offer for each of them.
Everything here is made once for each state of the registry, in slices between which calls go on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from command_api.catalog.listing import Listing, in_slices
from command_api.catalog.objects import offer_object, per_token
from edge.errors import bad_request, unavailable
from edge.lanes import Flights
from providers.inference.registry.offers import price_rank

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from decimal import Decimal

    from domain.catalog import ModelFacts
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry

SortBy = Literal["price", "context", "popularity", "name"]
Direction = Literal["asc", "desc"]

WORDS_MAX = 8
"""Most different words of a search; each is looked for in the text of every model."""
SEARCHES_KEPT_MAX = 64
"""Most searches whose results are kept for a state of the catalog."""
SEARCH_KEPT_S = 60.0
SEARCHES_WAITING_MAX = 32
"""Most searches that wait for their turn; there is one at a time."""
ROWS_SLICE = 10
"""So many models are written as JSON at once: a millisecond."""


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

    words: frozenset[str] = frozenset()
    modality: str | None = None
    min_context: int | None = None
    max_context: int | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    gateway: str | None = None
    sort_by: SortBy = "price"
    order: Direction = "asc"

    @property
    def name(self) -> str:
        """The same for the same search."""
        return repr((sorted(self.words), self.sort_by, self.order, *self._limits))

    @property
    def _limits(self) -> tuple[object, ...]:
        lengths = (self.min_context, self.max_context)
        return (self.gateway, self.modality, *lengths, self.min_price, self.max_price)

    def tests(self) -> list[Callable[[Entry], bool]]:
        """What an entry must pass: all words in the text, and one offer that all limits admit."""
        found: list[Callable[[Entry], bool]] = []
        if self.words:
            found.append(lambda entry: all(word in entry.text for word in self.words))
        if any(each is not None for each in self._limits):
            found.append(lambda entry: any(map(self._wants_offer, entry.offers)))
        return found

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
            return len(found - {"embedding", "moderation", "score"}) > 1
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

    searches: Flights = field(
        default_factory=lambda: Flights(keep_s=SEARCH_KEPT_S, kept_max=SEARCHES_KEPT_MAX)
    )
    """What was found in it, by the name of the search."""
    _rows: dict[tuple[str, str | None], bytes] = field(default_factory=dict)
    _orders: dict[tuple[SortBy, Direction], list[Entry]] = field(default_factory=dict)

    async def search(self, wanted: Search, popularity: Mapping[str, int]) -> list[Entry]:
        """The entries that fit, in order; `popularity` is requests by canonical id."""
        tests, ordered = wanted.tests(), self._ordered(wanted, popularity)
        return [each async for each in in_slices(ordered) if all(test(each) for test in tests)]

    async def rows(self, shown: Sequence[Entry], gateway: str | None = None) -> msgspec.Raw:
        """The entries as a JSON array, each written once; `gateway` as `Entry.as_object` has it."""
        rows: list[bytes] = []
        for each in shown:
            known = gateway if any(offer.provider == gateway for offer in each.offers) else None
            row = self._rows.get((each.canonical, known))
            if row is None:
                row = msgspec.json.encode(each.as_object(known))
                self._rows[each.canonical, known] = row
                if len(self._rows) % ROWS_SLICE == 0:
                    await asyncio.sleep(0)
            rows.append(row)
        return msgspec.Raw(b"[" + b",".join(rows) + b"]")

    def _ordered(self, wanted: Search, popularity: Mapping[str, int]) -> list[Entry]:
        """All entries in the order of a search; those that are equal stay in that of their ids."""
        down = wanted.order == "desc"
        if wanted.sort_by == "popularity":
            # Few are called at all: the others need no sorting.
            called = [self.entries[each] for each in sorted(popularity) if each in self.entries]
            called.sort(key=lambda each: popularity[each.canonical], reverse=down)
            others = [each for each in self.entries.values() if each.canonical not in popularity]
            return called + others if down else others + called
        keys: dict[SortBy, Callable[[Entry], Any]] = {
            "price": lambda each: each.rank,
            "context": lambda each: each.best.context_length or 0,
            "name": lambda each: each.canonical,
        }
        made = self._orders.get((wanted.sort_by, wanted.order))
        if made is None:
            made = sorted(self.entries.values(), key=keys[wanted.sort_by], reverse=down)
            self._orders[wanted.sort_by, wanted.order] = made
        return made


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
        self._turn, self._waiting = asyncio.Lock(), 0

    async def current(self) -> Snapshot:
        """The snapshot of this moment, or of a later one."""
        wanted = self._registry.revision
        while self._made.revision < wanted:
            await self._flights.get("snapshot", self._make)
        return self._made

    async def search(
        self, wanted: Search, popularity: Callable[[], Awaitable[Mapping[str, int]]]
    ) -> tuple[Snapshot, list[Entry]]:
        """The snapshot, and what fits in it; raises ApiError 503 when too many searches wait.

        `popularity` is asked only for what is not known yet.
        """
        snapshot = await self.current()
        found = await snapshot.searches.get(
            wanted.name, lambda: self._search(snapshot, wanted, popularity)
        )
        return snapshot, found

    async def _search(
        self,
        snapshot: Snapshot,
        wanted: Search,
        popularity: Callable[[], Awaitable[Mapping[str, int]]],
    ) -> list[Entry]:
        """One at a time, so that calls wait for one slice and not for one of each search."""
        if self._waiting >= SEARCHES_WAITING_MAX:
            raise unavailable("reads_busy", "Too many searches are under way here: try again.")
        self._waiting += 1
        try:
            async with self._turn:
                asked = await popularity() if wanted.sort_by == "popularity" else {}
                return await snapshot.search(wanted, asked)
        finally:
            self._waiting -= 1

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


def words_of(text: str) -> frozenset[str]:
    """The different words of a search, in lower case; raises ApiError 400 for too many."""
    words = frozenset(text.lower().split())
    if len(words) > WORDS_MAX:
        message = f"q holds more than {WORDS_MAX} different words."
        raise bad_request("invalid_value", message, "q")
    return words


def entry_of(canonical: str, offers: list[Model]) -> Entry:
    """One model with its offers."""
    best_first = tuple(sorted(offers, key=price_rank))
    words = [canonical]
    for each in best_first:
        words += [each.public_id, each.facts.name, each.facts.description]
    return Entry(canonical, best_first, " ".join(words).lower(), price_rank(best_first[0]))
