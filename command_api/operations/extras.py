"""Whether an offer's price has a term for each thing that a call can use (P10, money rule 1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from domain.pricing.extras import LONG_CACHE, caches_long
from edge.body import RAW_NULL, decode_any
from edge.errors import ApiError, bad_request

if TYPE_CHECKING:
    from domain.pricing.extras import Extra
    from providers.inference.registry.offers import Model, Provider

UNKNOWN_TOOL = "unknown"
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
"""No library escapes letters of ASCII; who does could hide a member's name behind it."""


def cache_extras(raw: bytes) -> tuple[Extra, ...]:
    """The extra of a body that asks for a long cache; nearly none has to be looked at for it."""
    if b'"ttl"' not in raw and not (b"\\u00" in raw and _ESCAPED_LETTER.search(raw)):
        return ()
    try:
        long = caches_long(decode_any(raw))
    except RecursionError:
        long = True  # Nested beyond reason: nobody reads it to its ground.
    return (LONG_CACHE,) if long else ()


def priced_extras(extras: tuple[Extra, ...], offer: Model) -> tuple[str, ...]:
    """The extras of a call that an offer has a price for, by the name of that price."""
    price = offer.price
    names = (
        next((name for name in (each.name, each.member) if price.prices_extra(name)), None)
        for each in extras
    )
    return tuple(dict.fromkeys(name for name in names if name is not None))


def unpriced_extra(extras: tuple[Extra, ...], offer: Model, provider: Provider) -> ApiError | None:
    """The refusal of the first extra that the operator neither priced nor allowed."""
    for each in extras:
        if each.member in provider.drops or not provider.allow_unpriced.isdisjoint(each):
            continue
        if not priced_extras((each,), offer) and not offer.price.prices_term(each.term):
            message = (
                f"{each.member!r} costs extra at {offer.provider}, and {offer.public_id!r} has no "
                "price for it: leave it out, or ask whoever runs this gateway to price it."
            )
            return bad_request("extra_unpriced", message, each.member)
    return None


NO_TEXT = frozenset({"embedding", "transcription", "speech"})
"""What models make that cannot be asked for an answer."""


def no_text(offer: Model) -> bool:
    """Whether a model is known to make vectors, transcripts or speech, and no answers."""
    return not NO_TEXT.isdisjoint(offer.facts.output_modalities)


def unpriced_operation(what: str, offer: Model) -> ApiError:
    """The refusal of an operation whose units the price lacks."""
    message = (
        f"{offer.public_id!r} has no price for {what}, so calls for that are refused. "
        "GET /v1/models lists what each model is priced for."
    )
    return bad_request("operation_unpriced", message, "model")


class _Tool(msgspec.Struct):
    """A tool, as far as it tells who runs it."""

    type: Any = None
    function: Any = None
    custom: Any = None
    name: Any = None


_decode_tools = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode


def kinds_of(tools: msgspec.Raw) -> tuple[str, ...]:
    """The types of a body's tools; what is no list of them is the provider's to refuse."""
    if tools is RAW_NULL:
        return ()
    try:
        return tuple(_kind(each) for each in _decode_tools(tools) or ())
    except msgspec.DecodeError:
        return ()


def _kind(raw: msgspec.Raw) -> str:
    """The type of one tool.

    Without a type it is the caller's own where it is named as those are; of anything else nobody
    knows who runs it, so it counts as the provider's.
    """
    try:
        tool = _decode_tool(raw)
    except msgspec.DecodeError:
        return UNKNOWN_TOOL
    if isinstance(tool.type, str):
        return tool.type
    own = tool.function or tool.custom or tool.name
    return "function" if tool.type is None and own else UNKNOWN_TOOL
