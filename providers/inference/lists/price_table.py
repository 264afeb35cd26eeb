"""Prices of providers whose lists carry none, from the maintained table of `genai-prices` (MIT).

Its figures are Decimals in USD per million tokens, and a tier's price counts for all tokens of a
call beyond its start, as ours does. A model that is billed in units of which we do not know how
much a call used is left unpriced (P10).
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from domain.pricing.terms import ABOVE
from domain.pricing.uses import FILE_SEARCH, TERM_OF_USE, WEB_SEARCH

if TYPE_CHECKING:
    from datetime import datetime

SOURCE = "genai-prices"
TERMS = {
    "input_mtok": "input_per_million",
    "output_mtok": "output_per_million",
    "cache_read_mtok": "cached_input_per_million",
    "cache_write_mtok": "cache_write_per_million",
    "cache_write_1h_mtok": "cache_write_1h_per_million",
    "output_reasoning_mtok": "reasoning_per_million",
    "input_audio_mtok": "audio_input_per_million",
    "output_audio_mtok": "audio_output_per_million",
    "cache_audio_read_mtok": "cached_audio_input_per_million",
}
TERMS_OF_IMAGES = {
    "input_image_mtok": "image_input_per_million",
    "cache_image_read_mtok": "cached_image_input_per_million",
}
REALTIME = "realtime"
"""In the ids of models that tell what of their input was images: of others we do not know it."""
REQUESTS = "requests_kcount"
THOUSAND = 1_000
EMBEDDING = "embed"
NOT_COUNTED = frozenset({"web_searches_kcount", "storage_searches_kcount"})
"""Prices of extras that a call has only when it asks for them; their base term covers them."""
USES = {
    ("anthropic", "web_searches_kcount"): TERM_OF_USE[WEB_SEARCH],
    ("openai", "storage_searches_kcount"): TERM_OF_USE[FILE_SEARCH],
}
"""Of those, USD for a thousand uses that we count as the provider bills them (Anthropic, "Web
search tool"; OpenAI, "Pricing", file search). The table has one price for a search at OpenAI, who
bills `web_search_preview` dearer, and Gemini 2 is billed by the prompt, not by the search: there a
search stays without a price, and is refused by name until the operator states one.
"""


@cache
def _providers() -> dict[str, Any]:
    # Imported late: only gateways with such a provider pay for the table.
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def table_terms(table: str, model_id: str, now: datetime) -> dict[str, str] | None:
    """The price terms of a model of one of the table's providers; None when it has none."""
    found = _find(table, model_id)
    if found is None:
        return None
    terms: dict[str, str] = {}
    for unit, price in vars(found.get_prices(now)).items():
        if price is None or unit.startswith("_"):
            continue
        if (table, unit) in USES and isinstance(price, Decimal):
            terms[USES[table, unit]] = format(price, "f")
        if unit in NOT_COUNTED:
            continue
        if unit == REQUESTS and isinstance(price, Decimal):
            terms["per_request"] = format(price / THOUSAND, "f")
        elif unit in TERMS:
            _add(terms, TERMS[unit], price)
        elif unit in TERMS_OF_IMAGES and REALTIME in model_id:
            _add(terms, TERMS_OF_IMAGES[unit], price)
        else:
            return None
    if EMBEDDING in model_id.lower():
        terms.setdefault("output_per_million", "0")  # Vectors are no tokens: input is all there is.
    return terms if "input_per_million" in terms and "output_per_million" in terms else None


def table_context_length(table: str, model_id: str) -> int | None:
    """The context length in tokens that the table tells."""
    found = _find(table, model_id)
    length = None if found is None else found.context_window
    return length if isinstance(length, int) else None


def table_models(table: str) -> list[str]:
    """Ids of all models of one of the table's providers, for those without a list of their own."""
    provider = _providers().get(table)
    return [] if provider is None else [model.id for model in provider.models]


def _find(table: str, model_id: str) -> Any:
    provider = _providers().get(table)
    return None if provider is None else provider.find_model(model_id)


def _add(terms: dict[str, str], name: str, price: Any) -> None:
    if isinstance(price, Decimal):
        terms[name] = format(price, "f")
        return
    terms[name] = format(price.base, "f")
    for tier in price.tiers:
        terms[f"{name}{ABOVE}{tier.start}"] = format(tier.price, "f")
