"""The catalog as callers see it: models with all their offers, searched and compared.

One model at many providers is one entry, under its canonical id, with an offer for each of them.
Everything here is made once for each state of the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from providers.inference.registry.built_in import BY_NAME
from providers.inference.registry.offers import CREATED, price_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.catalog import ModelFacts
    from domain.pricing.terms import PriceTerms
    from providers.inference.registry.offers import Listed, Model
    from providers.inference.registry.registry import Registry

PER_MILLION = Decimal(1_000_000)

SortBy = Literal["price", "context", "popularity", "name"]
Direction = Literal["asc", "desc"]


def per_token(terms: PriceTerms) -> dict[str, str | None]:
    """Prices as OpenRouter writes them: decimal strings in USD for a token, request or image."""

    def text(value: Decimal | None, unit: Decimal = PER_MILLION) -> str | None:
        return None if value is None else format((value / unit).normalize(), "f")

    return {
        "prompt": text(terms.input_per_million),
        "completion": text(terms.output_per_million),
        "request": text(terms.per_request or Decimal(0), Decimal(1)),
        "image": text(terms.per_image or terms.per_input_image or Decimal(0), Decimal(1)),
        "web_search": "0",
        "internal_reasoning": text(terms.reasoning_per_million or terms.output_per_million),
        "input_cache_read": text(terms.cached_input_per_million),
        "input_cache_write": text(terms.cache_write_per_million),
    }


def _normalised(
    model_id: str, canonical: str, provider: str, facts: ModelFacts, terms: PriceTerms | None
) -> dict[str, Any]:
    """A model as older clients know it (OpenRouter-like)."""
    entry = BY_NAME.get(provider)
    return {
        "id": model_id,
        "slug": model_id,
        "canonical_slug": canonical,
        "hugging_face_id": facts.hugging_face_id or None,
        "name": facts.name or model_id,
        "created": facts.created or CREATED,
        "description": facts.description,
        "context_length": facts.context_length,
        "architecture": {
            "modality": facts.modality,
            "input_modalities": list(facts.input_modalities),
            "output_modalities": list(facts.output_modalities),
            "tokenizer": facts.tokenizer or None,
            "instruct_type": None,
        },
        "pricing": None if terms is None else per_token(terms),
        "top_provider": {
            "context_length": facts.context_length,
            "max_completion_tokens": facts.max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": list(facts.supported_parameters),
        "default_parameters": None,
        "provider_slug": canonical.partition("/")[0] if "/" in canonical else provider,
        "provider_site_url": entry.site_url if entry else None,
        "model_logo_url": None,
        "source_gateway": provider,
    }


def offer_object(model: Model) -> dict[str, Any]:
    """OpenAI's model object of one offer, with our fields beside its own."""
    return {
        **_normalised(
            model.public_id, model.canonical, model.provider, model.facts, model.price.terms
        ),
        "object": "model",
        "created": model.created,
        "owned_by": model.provider,
        "canonical_id": model.canonical,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "unpriced": False,
        "price": {
            "version": model.price.version,
            "source": model.price.source,
            "effective_at": model.price.effective_at,
            **model.price.terms.as_strings(),
        },
    }


def unpriced_object(provider: str, item: Listed, canonical: str) -> dict[str, Any]:
    """The same for a model that nobody has a price for: it is listed, and calls are refused."""
    public_id = f"{provider}/{item.id}"
    return {
        **_normalised(public_id, canonical, provider, item.facts, None),
        "object": "model",
        "owned_by": provider,
        "canonical_id": canonical,
        "max_output_tokens": item.facts.max_output_tokens,
        "unpriced": True,
        "price": None,
    }


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


class CatalogView:
    """Entries and objects, made anew when the registry has changed."""

    def __init__(self, registry: Registry) -> None:
        """Nothing is made before it is asked for."""
        self._registry = registry
        self._made_of = -1
        self._entries: dict[str, Entry] = {}
        self._objects: list[dict[str, Any]] = []

    def entries(self) -> dict[str, Entry]:
        """All models with a price, by canonical id."""
        self._refresh()
        return self._entries

    def objects(self) -> list[dict[str, Any]]:
        """OpenAI's list: every offer, and every listed model without a price, by id."""
        self._refresh()
        return self._objects

    def search(self, wanted: Search, popularity: Mapping[str, int]) -> list[Entry]:
        """The entries that fit, in order; `popularity` is requests by canonical id."""
        found = wanted.among(self.entries().values())
        keys = {
            "price": lambda each: each.rank,
            "context": lambda each: each.best.context_length or 0,
            "popularity": lambda each: popularity.get(each.canonical, 0),
            "name": lambda each: each.canonical,
        }
        # The entries are in the order of their ids, and sorting keeps it among equals.
        found.sort(key=keys[wanted.sort_by], reverse=wanted.order == "desc")
        return found

    def _refresh(self) -> None:
        if self._made_of == self._registry.revision:
            return
        self._made_of = self._registry.revision
        self._entries = {
            canonical: _entry(canonical, offers)
            for canonical, offers in sorted(self._registry.canonical().items())
        }
        objects = {model.public_id: offer_object(model) for model in self._registry.models()}
        for provider in self._registry.providers.values():
            for item in provider.unpriced.values():
                made = unpriced_object(provider.name, item, provider.canonical_of(item.id))
                objects.setdefault(made["id"], made)
        self._objects = [objects[name] for name in sorted(objects)]


def _entry(canonical: str, offers: list[Model]) -> Entry:
    best_first = tuple(sorted(offers, key=price_rank))
    words = [canonical]
    for each in best_first:
        words += [each.public_id, each.facts.name, each.facts.description]
    return Entry(canonical, best_first, " ".join(words).lower(), price_rank(best_first[0]))


def compare(entry: Entry, gateways: list[str]) -> dict[str, Any]:
    """The offers of one model side by side, and what the cheapest saves."""
    by_gateway = {each.provider: each for each in entry.offers}
    rows = [_compared(name, by_gateway.get(name)) for name in gateways]
    offers = [by_gateway[name] for name in gateways if name in by_gateway]
    recommendation: dict[str, Any] | None = None
    savings: dict[str, Any] = {}
    if offers:
        low, high = min(offers, key=price_rank), max(offers, key=price_rank)
        recommendation = {
            "gateway": low.provider,
            "reason": "lowest price for equal amounts of input and output",
            "pricing": per_token(low.price.terms),
        }
        least, most = _both_ways(low), _both_ways(high)
        share = (most - least) * 100 / most if most else Decimal(0)
        savings = {
            "potential_savings_per_1m_tokens": format(most - least, "f"),
            "savings_percentage": format(share.quantize(Decimal("0.01")), "f"),
            "cheapest_gateway": low.provider,
            "cheapest_cost": format(least, "f"),
            "most_expensive_gateway": high.provider,
            "most_expensive_cost": format(most, "f"),
        }
    return {
        "comparisons": rows,
        "recommendation": recommendation,
        "savings": savings,
        "available_count": len(offers),
        "total_gateways_checked": len(gateways),
    }


def _both_ways(offer: Model) -> Decimal:
    """USD for a million tokens in and a million out."""
    return offer.price.terms.input_per_million + offer.price.terms.output_per_million


def _compared(gateway: str, offer: Model | None) -> dict[str, Any]:
    if offer is None:
        return {"gateway": gateway, "available": False}
    terms = offer.price.terms
    shown = offer_object(offer)
    return {
        "gateway": gateway,
        "available": True,
        "model_id": offer.public_id,
        "name": shown["name"],
        "pricing": {
            **per_token(terms),
            "prompt_cost_per_1m": format(terms.input_per_million, "f"),
            "completion_cost_per_1m": format(terms.output_per_million, "f"),
        },
        "context_length": offer.context_length,
        "architecture": shown["architecture"],
        "provider_site_url": shown["provider_site_url"],
        "source_gateway": offer.provider,
    }
