"""Providers' model lists, read into one shape. Each form is an entry of a table.

Prices come as numbers or strings in various units; all are read as Decimals, never through a
float, and brought to USD per million tokens. Forms were taken from the providers' own lists and
documents, as of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from domain.catalog import DESCRIPTION_CHARACTERS_MAX, ModelFacts
from domain.errors import InvalidPriceError
from domain.pricing.terms import ABOVE, PriceTerms
from providers.inference.registry.offers import MODELS_MAX, Listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOURCE = "provider_list"
_decode = msgspec.json.Decoder(float_hook=Decimal).decode

PER_TOKEN = Decimal(1_000_000)
PER_MILLION = Decimal(1)
CENTS_PER_TOKEN = Decimal(10_000)
TEN_THOUSANDTHS = Decimal(1) / Decimal(10_000)
"""xAI's integers: a price of 20000 is 2 USD per million tokens."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a list is written: where the items are, and how their prices read.

    `items` names the members that may hold the list (a bare array needs none). `prices` maps our
    terms to the names in `pricing`, whose figures times `unit` are USD per million tokens.
    `request` and `images` are names of prices in USD for a request, an image of the prompt.
    `zero_is_unpriced` is for lists that write 0 where they mean nothing.
    """

    items: tuple[str, ...] = ("data", "models")
    pricing: str = "pricing"
    prices: Mapping[str, str] = field(default_factory=dict)
    unit: Decimal = PER_MILLION
    request: str = ""
    input_image: str = ""
    zero_is_unpriced: bool = False
    expand: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None


def _per_provider(item: dict[str, Any]) -> list[dict[str, Any]]:
    """HuggingFace prices a model at each provider behind its router: one item for each."""
    found = [
        {
            **item,
            "id": f"{item.get('id')}:{each['provider']}",
            "pricing": each.get("pricing"),
            "context_length": each.get("context_length"),
        }
        for each in item.get("providers") or ()
        if isinstance(each, dict)
        and isinstance(each.get("provider"), str)
        and each.get("status") in (None, "live")
    ]
    return found or [item]


def _first_provider(item: dict[str, Any]) -> list[dict[str, Any]]:
    """AiMo writes the price with each provider of a model, whose key is part of the id."""
    made = []
    for each in item.get("providers") or ():
        key = each.get("provider_pubkey") or each.get("id") if isinstance(each, dict) else None
        if isinstance(key, str):
            bare = str(item.get("id") or item.get("name") or "").rpartition(":")[2]
            made.append({**item, "id": f"{key}:{bare}", "pricing": each.get("pricing")})
    return made or [item]


def _with_aliases(item: dict[str, Any]) -> list[dict[str, Any]]:
    """XAI names a model's other ids beside it; each of them can be called."""
    others = [each for each in item.get("aliases") or () if isinstance(each, str)]
    return [{**item, "pricing": item}, *({**item, "id": o, "pricing": item} for o in others)]


def _near(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Near AI writes a price as amount and scale: amount x 10^-scale USD a token."""
    pricing = {
        name: _scaled(item.get(name)) for name in ("inputCostPerToken", "outputCostPerToken")
    }
    about = item.get("metadata") if isinstance(item.get("metadata"), dict) else {}
    return [{**(about or {}), **item, "pricing": pricing}]


def _scaled(cost: Any) -> Decimal | None:
    if not isinstance(cost, dict) or cost.get("currency", "USD") != "USD":
        return None
    amount, scale = _decimal(cost.get("amount")), cost.get("scale")
    if amount is None or not isinstance(scale, int):
        return None
    return amount.scaleb(-scale)


def _deepinfra(item: dict[str, Any]) -> list[dict[str, Any]]:
    """DeepInfra bills some models by time or image, and calls the context `max_tokens`."""
    pricing = item.get("pricing")
    by_tokens = isinstance(pricing, dict) and pricing.get("type") == "tokens"
    context = item.get("max_tokens")
    return [{**item, "context_length": context, "pricing": pricing if by_tokens else None}]


BASIC = {"input_per_million": "input", "output_per_million": "output"}
OPENROUTER_TERMS = {
    "input_per_million": "prompt",
    "output_per_million": "completion",
    "cached_input_per_million": "input_cache_read",
    "cache_write_per_million": "input_cache_write",
    "reasoning_per_million": "internal_reasoning",
    "audio_input_per_million": "audio",
}
FORMS: dict[str, Form] = {
    "plain": Form(),
    "openrouter": Form(
        prices=OPENROUTER_TERMS, unit=PER_TOKEN, request="request", input_image="image"
    ),
    "chutes": Form(
        prices={
            "input_per_million": "prompt",
            "output_per_million": "completion",
            "cached_input_per_million": "input_cache_read",
        }
    ),
    "deepinfra": Form(
        prices={
            "input_per_million": "cents_per_input_token",
            "output_per_million": "cents_per_output_token",
            "cached_input_per_million": "cents_per_input_token_cached",
        },
        unit=CENTS_PER_TOKEN,
        expand=_deepinfra,
    ),
    "together": Form(prices=BASIC, zero_is_unpriced=True),
    "huggingface": Form(prices=BASIC, expand=_per_provider),
    "xai": Form(
        prices={
            "input_per_million": "prompt_text_token_price",
            "output_per_million": "completion_text_token_price",
            "cached_input_per_million": "cached_prompt_text_token_price",
        },
        unit=TEN_THOUSANDTHS,
        expand=_with_aliases,
    ),
    "near": Form(
        prices={
            "input_per_million": "inputCostPerToken",
            "output_per_million": "outputCostPerToken",
        },
        unit=PER_TOKEN,
        expand=_near,
    ),
    "aihubmix": Form(
        prices={
            **BASIC,
            "cached_input_per_million": "cache_read",
            "cache_write_per_million": "cache_write",
        }
    ),
    "vercel": Form(
        prices={
            **BASIC,
            "cached_input_per_million": "input_cache_read",
            "cache_write_per_million": "input_cache_write",
        },
        unit=PER_TOKEN,
    ),
    "aimo": Form(prices=OPENROUTER_TERMS, unit=PER_TOKEN, expand=_first_provider),
}


def read_list(form: Form, raw: bytes) -> list[Listed]:
    """The models of a list; raises msgspec.DecodeError for another shape."""
    body = _decode(raw)
    found: Any = body
    if isinstance(body, dict):
        found = next((body[name] for name in form.items if isinstance(body.get(name), list)), None)
    if not isinstance(found, list):
        message = f"the model list has none of {', '.join(form.items)}"
        raise msgspec.DecodeError(message)
    made: dict[str, Listed] = {}
    for entry in found[:MODELS_MAX]:
        if not isinstance(entry, dict):
            continue
        for item in form.expand(entry) if form.expand else [entry]:
            listed = _listed(form, item, entry)
            if listed is not None:
                made[listed.id] = listed
    return list(made.values())


def _listed(form: Form, item: dict[str, Any], entry: dict[str, Any]) -> Listed | None:
    model_id = _first_text(item, ID_NAMES)
    if not model_id:
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


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _price(value: Any, unit: Decimal) -> Decimal | None:
    """A price in USD per million; None when absent, or negative: then it depends on the call."""
    number = _decimal(value)
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
        name=_first_text(item, TITLE_NAMES) or model_id,
        description=_first_text(item, DESCRIPTION_NAMES)[:DESCRIPTION_CHARACTERS_MAX],
        created=created if isinstance(created, int) else 0,
        context_length=_first_count(item, CONTEXT_NAMES),
        max_output_tokens=most
        if isinstance(most, int) and most > 0
        else _first_count(item, OUTPUT_NAMES),
        input_modalities=_names(about.get("input_modalities") or item.get("input_modalities"))
        or (takes,),
        output_modalities=_names(about.get("output_modalities") or item.get("output_modalities"))
        or (gives,),
        supported_parameters=_names(item.get("supported_parameters")),
        tokenizer=str(about.get("tokenizer") or ""),
        hugging_face_id=str(item.get("hugging_face_id") or ""),
    )


def _names(value: Any) -> tuple[str, ...]:
    """Names in a list, or in a text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    found = [each.strip() for each in value or () if isinstance(each, str)]
    return tuple(name for name in found if name)


def _first_text(item: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((item[n] for n in names if isinstance(item.get(n), str) and item[n]), "")


def _first_count(item: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The first positive whole number; some lists write numbers as text, or with a fraction."""
    for name in names:
        number = _decimal(item.get(name))
        if number is not None and number > 0 and number == number.to_integral_value():
            return int(number)
    return None
