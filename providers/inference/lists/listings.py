"""Providers' model lists, read into one shape.

Prices come as numbers or strings in various units; all are read as Decimals, never through a
float, and brought to USD per million tokens.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from domain.catalog import DESCRIPTION_CHARACTERS_MAX, ModelFacts
from domain.errors import InvalidPriceError
from domain.pricing.terms import ABOVE, PriceTerms
from providers.inference.lists.forms import BASIC, decimal_of
from providers.inference.registry.offers import MODELS_MAX, Listed
from providers.inference.registry.paced import paced

if TYPE_CHECKING:
    from providers.inference.lists.forms import Form

SOURCE = "provider_list"
ID_CHARACTERS_MAX = 256
"""A model with a longer id, or one that cannot be printed, is not taken."""
NAME_CHARACTERS_MAX = 256
NAMES_MAX = 200
"""Most names of one kind that a model's entry may list, such as its parameters."""
COUNT_MAX = 10**12
"""No model takes or makes more tokens."""
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode

ID_NAMES = ("id", "model_id", "modelId", "model_name", "name")
CONTEXT_NAMES = (
    *("context_length", "max_model_len", "context_window", "contextLength"),
    *("max_context_length", "inputTokenLimit", "max_prompt_length", "max_input_tokens"),
)
OUTPUT_NAMES = (
    *("max_output_tokens", "max_completion_tokens", "max_output", "max_output_length"),
    *("outputTokenLimit", "maxOutputLength"),
)
DESCRIPTION_NAMES = ("description", "desc", "modelDescription")
TITLE_NAMES = ("display_name", "name", "modelDisplayName", "displayName")
KIND_MODALITIES = {
    "image": ("text", "image"),
    "text-to-image": ("text", "image"),
    "embedding": ("text", "embedding"),
    "embeddings": ("text", "embedding"),
    "audio": ("text", "audio"),
    "rerank": ("text", "score"),
    "video": ("text", "video"),
}
"""What a list's `type` says of input and output, where it says nothing else."""


def read_list(form: Form, raw: bytes) -> list[Listed]:
    """The models of a list; long work, on a thread. Raises msgspec.DecodeError for another shape.

    The list is cut into its entries first: reading all of it at once leaves no other thread a turn.
    """
    made: dict[str, Listed] = {}
    for each in paced(_entries(form, raw)[:MODELS_MAX]):
        entry = _decode(each)
        if not isinstance(entry, dict):
            continue
        for item in form.expand(entry) if form.expand else [entry]:
            listed = _listed(form, item, entry)
            if listed is not None:
                made[listed.id] = listed
    return list(made.values())


def _entries(form: Form, raw: bytes) -> list[msgspec.Raw]:
    """The entries as the list has them; raises msgspec.DecodeError."""
    found = raw.lstrip()
    if found.startswith(b"{"):
        members = _decode_members(found)
        lists = (bytes(members[name]).lstrip() for name in form.items if name in members)
        found = next((each for each in lists if each.startswith(b"[")), b"")
    if not found.startswith(b"["):
        message = f"the model list has none of {', '.join(form.items)}"
        raise msgspec.DecodeError(message)
    return _decode_entries(found)


def _listed(form: Form, item: dict[str, Any], entry: dict[str, Any]) -> Listed | None:
    model_id = _first_text(item, ID_NAMES)
    if not model_id or len(model_id) > ID_CHARACTERS_MAX or not model_id.isprintable():
        return None
    return Listed(
        id=model_id,
        facts=_facts(model_id, item),
        terms=_terms(form, item.get(form.pricing)),
        source=SOURCE,
        raw=entry,
    )


def _terms(form: Form, pricing: Any) -> dict[str, str] | None:
    """Our terms of a price; None when there is none for input and output, or it is odd."""
    if not isinstance(pricing, dict) or not form.prices:
        return None
    terms: dict[str, str] = {}
    for ours, theirs in form.prices.items():
        price = _price(pricing.get(theirs), form.unit)
        optional = ours not in ("input_per_million", "output_per_million")
        # A listed zero for an optional term means "as the base term", not free.
        if price is not None and not (optional and price == 0):
            terms[ours] = _text(price)
        for above, dearer in _tiers(pricing.get(f"{theirs}_tiers"), form.unit):
            terms[f"{ours}{ABOVE}{above}"] = _text(dearer)
    for ours, name in (("per_request", form.request), ("per_input_image", form.input_image)):
        price = _price(pricing.get(name), Decimal(1)) if name else None
        if price:
            terms[ours] = _text(price)
    if form.zero_is_unpriced and all(Decimal(terms.get(name, "0")) == 0 for name in BASIC):
        return None
    try:
        PriceTerms.parse(terms)
    except InvalidPriceError:
        return None
    return terms


def _tiers(tiers: Any, unit: Decimal) -> list[tuple[int, Decimal]]:
    """Vercel's tiers: `cost` counts for calls with at least `min` input tokens."""
    found: list[tuple[int, Decimal]] = []
    for tier in tiers if isinstance(tiers, list) else ():
        least = tier.get("min") if isinstance(tier, dict) else None
        price = _price(tier.get("cost"), unit) if isinstance(least, int) else None
        if price is not None and isinstance(least, int) and least > 0:
            found.append((least - 1, price))  # Ours count above a number, theirs from one on.
    return found


def _price(value: Any, unit: Decimal) -> Decimal | None:
    """A price in USD per million; None when absent, or negative: then it depends on the call."""
    number = decimal_of(value)
    return None if number is None or number < 0 else number * unit


def _text(price: Decimal) -> str:
    return format(price.normalize(), "f")


def _facts(model_id: str, item: dict[str, Any]) -> ModelFacts:
    """What a list tells of a model, under the names that lists use for it."""
    architecture = item.get("architecture")
    about = architecture if isinstance(architecture, dict) else {}
    top = item.get("top_provider")
    most = top.get("max_completion_tokens") if isinstance(top, dict) else None
    kind = item.get("type") or item.get("reported_type") or item.get("model_type")
    takes, gives = KIND_MODALITIES.get(kind if isinstance(kind, str) else "", ("text", "text"))
    created = item.get("created")
    return ModelFacts(
        name=_first_text(item, TITLE_NAMES)[:NAME_CHARACTERS_MAX] or model_id,
        description=_first_text(item, DESCRIPTION_NAMES)[:DESCRIPTION_CHARACTERS_MAX],
        created=created if isinstance(created, int) else 0,
        context_length=_first_count(item, CONTEXT_NAMES),
        max_output_tokens=most
        if isinstance(most, int) and 0 < most <= COUNT_MAX
        else _first_count(item, OUTPUT_NAMES),
        input_modalities=_names(about.get("input_modalities") or item.get("input_modalities"))
        or (takes,),
        output_modalities=_names(about.get("output_modalities") or item.get("output_modalities"))
        or (gives,),
        supported_parameters=_names(item.get("supported_parameters")),
        tokenizer=str(about.get("tokenizer") or "")[:NAME_CHARACTERS_MAX],
        hugging_face_id=str(item.get("hugging_face_id") or "")[:NAME_CHARACTERS_MAX],
    )


def _names(value: Any) -> tuple[str, ...]:
    """Names in a list, or in a text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    found = [each.strip() for each in value or () if isinstance(each, str)]
    return tuple(name[:NAME_CHARACTERS_MAX] for name in found[:NAMES_MAX] if name)


def _first_text(item: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((item[n] for n in names if isinstance(item.get(n), str) and item[n]), "")


def _first_count(item: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The first positive whole number; some lists write numbers as text, or with a fraction."""
    for name in names:
        number = decimal_of(item.get(name))
        if number is not None and 0 < number <= COUNT_MAX and number == number.to_integral_value():
            return int(number)
    return None
