"""The forms of providers' model lists, each an entry of a table.

Forms were taken from the providers' own lists and documents, as of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PER_TOKEN = Decimal(1_000_000)
PER_MILLION = Decimal(1)
CENTS_PER_TOKEN = Decimal(10_000)
TEN_THOUSANDTHS = Decimal(1) / Decimal(10_000)
"""xAI's integers: a price of 20000 is 2 USD per million tokens."""


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
    amount, scale = decimal_of(cost.get("amount")), cost.get("scale")
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


def decimal_of(value: Any) -> Decimal | None:
    """A finite number, written as one or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
