"""What in a body costs beside its tokens and images, and what a provider bills for it.

One table for all bodies, and one for images. A member at a value that costs nothing passes; else
the operator's file must price or allow it, or the call is refused (P10). Not here, because it is in
the reported tokens, is `prediction` (what was not used of it counts as output); nor `store`, which
is free (OpenAI).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.pricing.uses import TERM_OF_USE, WEB_SEARCH, tier_term, use_of_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

EXTRAS_MAX = 32
"""Most extras of one body; more of them are one mistake."""


class Extra(NamedTuple):
    """Something of a body that costs extra: the member that asks for it, and its name in prices.

    `term` is what else may price it, by what of it is used: the term of its uses (`domain.pricing.
    uses`), or a service tier's.
    """

    member: str
    name: str
    term: str = ""


class _Rule(NamedTuple):
    name: str
    free: tuple[Any, ...]
    """Values that cost nothing."""


SERVER_TOOLS = "server_tools"
TABLE: dict[str, _Rule] = {
    # Flex, priority and scale have prices of their own (OpenAI, "Pricing"; Groq, "Service tiers").
    "service_tier": _Rule("service_tier", (None, "auto", "default", "standard_only")),
    # Six times the price of a token (Anthropic, "Fast mode").
    "speed": _Rule("speed", (None, "standard")),
    # 10 to 50 USD for a thousand calls (OpenAI, "Pricing"; Perplexity, "Pricing").
    "web_search_options": _Rule("web_search", (None,)),
    # 25 USD for a thousand sources (xAI, "Live search").
    "search_parameters": _Rule("web_search", (None, {"mode": "off"})),
    # By the search (Alibaba Cloud, "Web search").
    "enable_search": _Rule("web_search", (None, False)),
    # 4 USD for a thousand results, 2 USD for a thousand pages of a PDF (OpenRouter, "Plugins").
    "plugins": _Rule("plugins", (None, [])),
    # Tokens of audio and of images have prices of their own (OpenAI, "Pricing"; OpenRouter).
    "modalities": _Rule("modalities", (None, [], ["text"])),
    # A tenth more for every token (Anthropic, "Data residency").
    "inference_geo": _Rule("inference_geo", (None, "global")),
    # The provider calls tools on these servers as often as it likes (Anthropic, "MCP connector").
    "mcp_servers": _Rule("server_tools", (None, [])),
}
"""What each member is called in prices, and its values that cost nothing."""
IMAGES_TABLE: dict[str, _Rule] = {
    # Twice the price of a standard one, or four times a medium one (OpenAI, "Pricing").
    "quality": _Rule("quality", (None, "", "auto", "standard", "low", "medium")),
    # Larger than a square of 1024, up to twice the price (OpenAI, "Pricing"); fal's names are not.
    "size": _Rule(
        "size",
        (
            *(None, "", "auto", "square", "square_hd", "portrait_4_3", "portrait_16_9"),
            *("landscape_4_3", "landscape_16_9"),
        ),
    ),
    # Many times the tokens of a picture that is edited (OpenAI, "Image generation").
    "input_fidelity": _Rule("input_fidelity", (None, "", "low")),
    # A hundred tokens each, beside the image itself (OpenAI, "Image generation").
    "partial_images": _Rule("partial_images", (None, 0)),
}
"""The same for members of an images body, where the price of an image cannot tell them apart."""
LONG_CACHE = Extra("cache_control", "cache_write_1h")
"""A cache for an hour is written at twice the price of input (Anthropic, "Prompt caching").
`cache_write_1h_per_million` prices it by its tokens."""
HEARD = Extra("input_audio", "audio_input", "audio_input_per_million")
"""Audio of a prompt costs up to sixteen times what text does (OpenAI, "Pricing": gpt-4o-audio)."""
PLUGINS = {"web": "web_search"}
"""Plugins with a price name of their own, by OpenRouter's id."""
OWN_TOOLS = frozenset({"function", "custom"})
"""Types of tools that the caller runs; the provider runs all others, and bills them
(Anthropic, "Server tools"; Groq, "Built-in tools"; xAI, "Agent tools")."""
OWN_TOOLS_OF_DATE = ("bash_20", "computer_20", "memory_20", "text_editor_20")
"""How types begin of tools that a provider describes and the caller runs; the date of their version
follows (Anthropic, "Client tools")."""
LONG_CONTEXT = Extra("anthropic-beta", "context_1m")
"""Beyond 200,000 tokens of input each costs twice as much, which a price says by a tier; without
one it cannot be told from any other call (Anthropic, "Long context pricing")."""
LONG_CONTEXT_BETA = "context-1m-"

EXTRA_NAMES = frozenset(
    {rule.name for rule in TABLE.values()}
    | {*TABLE, *IMAGES_TABLE, SERVER_TOOLS, "tools", *LONG_CACHE[:2], *LONG_CONTEXT[:2]}
    | set(HEARD[:2])
)
"""What a price or an allowance may name: an extra, or the member that asks for it."""


def image_extra(member: str, value: Any) -> tuple[Extra, ...]:
    """The extra that a member of an images body asks for at this value, if it does."""
    rule = IMAGES_TABLE[member]
    return () if value in rule.free else (Extra(member, rule.name),)


def caches_long(body: Any) -> bool:
    """Whether any `cache_control` in a body, however deep, asks for more than five minutes."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            asked = value.get("cache_control")
            ttl = asked.get("ttl") if isinstance(asked, dict) else None
            # A schema may describe members of these names: there it is an object.
            if ttl not in (None, "5m") and not isinstance(ttl, dict):
                return True
            left += value.values()
    return False


def extras_of(members: Mapping[str, Any], tools: tuple[str, ...] = ()) -> tuple[Extra, ...]:
    """The extras of a body, each once; `tools` are the types of its tools."""
    found: dict[Extra, None] = {}
    for member, value in members.items():
        rule = TABLE[member]
        if any(type(value) is type(free) and value == free for free in rule.free):
            continue
        if member == "plugins" and isinstance(value, list):
            for each in value[:EXTRAS_MAX]:
                plugin = each.get("id") if isinstance(each, dict) else None
                name = PLUGINS.get(str(plugin), rule.name)
                found[Extra(member, name, TERM_OF_USE.get(name, ""))] = None
        elif member == "service_tier":
            found[Extra(member, rule.name, tier_term(value))] = None
        else:
            found[Extra(member, rule.name, TERM_OF_USE.get(rule.name, ""))] = None
    for kind in tools:
        if kind not in OWN_TOOLS and not kind.startswith(OWN_TOOLS_OF_DATE):
            use = use_of_tool(kind)
            name = WEB_SEARCH if use == WEB_SEARCH else SERVER_TOOLS
            found[Extra("tools", name, TERM_OF_USE.get(use, ""))] = None
    return tuple(found)
