"""What costs extra, and what does not at its default value (P10, money rule 1)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.pricing.extras import (
    EXTRA_NAMES,
    EXTRAS_MAX,
    IMAGES_TABLE,
    TABLE,
    Extra,
    caches_long,
    extras_of,
    image_extra,
)
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage

WEB = {"id": "web"}
FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"service_tier": None}, []),
    ({"service_tier": "auto"}, []),
    ({"service_tier": "default"}, []),
    ({"service_tier": "priority"}, ["service_tier"]),
    ({"service_tier": "flex"}, ["service_tier"]),
    ({"speed": "standard"}, []),
    ({"speed": "fast"}, ["speed"]),
    ({"web_search_options": None}, []),
    # An empty object asks for a search all the same.
    ({"web_search_options": {}}, ["web_search"]),
    ({"search_parameters": {"mode": "off"}}, []),
    ({"search_parameters": {"mode": "auto"}}, ["web_search"]),
    ({"enable_search": False}, []),
    ({"enable_search": 0}, ["web_search"]),
    ({"enable_search": True}, ["web_search"]),
    ({"plugins": []}, []),
    ({"plugins": [WEB, WEB]}, ["web_search"]),
    ({"plugins": [WEB, {"id": "file-parser"}]}, ["web_search", "plugins"]),
    ({"plugins": [{"id": "other"}] * (EXTRAS_MAX + 1)}, ["plugins"]),
    ({"plugins": "web"}, ["plugins"]),
    ({"plugins": [7]}, ["plugins"]),
    ({"modalities": ["text"]}, []),
    ({"inference_geo": "global"}, []),
    ({"inference_geo": "us"}, ["inference_geo"]),
    ({"mcp_servers": []}, []),
    ({"mcp_servers": [{"url": "https://x"}]}, ["server_tools"]),
    ({"modalities": ["text", "audio"]}, ["modalities"]),
    ({"service_tier": "flex", "plugins": [WEB]}, ["service_tier", "web_search"]),
]


@pytest.mark.parametrize(("members", "names"), FOUND)
def test_what_costs_extra(members: dict[str, Any], names: list[str]) -> None:
    """Each line: members of a body, and the extras that they ask for (P10)."""
    found = extras_of(members)
    assert [each.name for each in found] == names
    assert {each.member for each in found} <= set(members)
    assert set(names) <= EXTRA_NAMES


TOOLS = [
    ((), []),
    (("function", "custom"), []),
    (("web_search_preview",), ["web_search"]),
    (("web_search_20250305", "function"), ["web_search"]),
    (("openrouter:web_search",), ["web_search"]),
    (("image_generation", "mcp"), ["server_tools"]),
    (("bash_20250124", "text_editor_20250728", "computer_20251124", "memory_20250818"), []),
    (("code_execution_20250825", "mcp_toolset", "bash"), ["server_tools"]),
]


@pytest.mark.parametrize(("kinds", "names"), TOOLS)
def test_tools_that_the_provider_runs_cost_extra(kinds: tuple[str, ...], names: list[str]) -> None:
    """The caller's own functions do not (P10)."""
    found = extras_of({}, kinds)
    assert [each.name for each in found] == names
    assert {each.member for each in found} <= {"tools"}


@pytest.mark.parametrize(
    ("members", "kinds", "terms"),
    [
        ({"service_tier": "flex"}, (), ["service_tier:flex"]),
        ({"service_tier": "Flex"}, (), [""]),
        ({"service_tier": "a" * 33}, (), [""]),
        ({"service_tier": ["flex"]}, (), [""]),
        ({"web_search_options": {}}, (), ["web_search_per_thousand"]),
        ({"plugins": [WEB, {"id": "x"}]}, (), ["web_search_per_thousand", ""]),
        ({"speed": "fast"}, (), [""]),
        ({}, ("code_interpreter", "mcp"), ["code_interpreter_per_thousand", ""]),
        ({}, ("file_search",), ["file_search_per_thousand"]),
    ],
)
def test_what_is_counted_has_a_term(
    members: dict[str, Any], kinds: tuple[str, ...], terms: list[str]
) -> None:
    """Beside a price of the whole call; what is no name of a tier has none (P10)."""
    assert [each.term for each in extras_of(members, kinds)] == terms


HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
MINUTES = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
CACHED: list[tuple[Any, bool]] = [
    ({}, False),
    (HOUR, True),
    (MINUTES, False),
    ({"cache_control": {"type": "ephemeral"}}, False),
    ({"cache_control": "1h"}, False),
    ({"messages": [{"content": [{"type": "text", "text": "x", **MINUTES}, HOUR]}]}, True),
    ({"tools": [{"name": "x", **HOUR}]}, True),
    ({"ttl": "1h"}, False),
    # A schema that describes such a member.
    ({"properties": {"cache_control": {"ttl": {"type": "string"}}}}, False),
]


@pytest.mark.parametrize(("body", "long"), CACHED)
def test_a_long_cache_costs_extra_wherever_it_is_asked_for(body: Any, long: bool) -> None:
    """Written at twice the price of input (P10)."""
    assert caches_long(body) is long


def test_members_of_images_cost_extra_beyond_their_default() -> None:
    """Where the price of an image cannot tell (P10)."""
    assert image_extra("quality", "hd") == (Extra("quality", "quality"),)
    assert image_extra("size", "1792x1024") == (Extra("size", "size"),)
    assert image_extra("quality", ["hd"]) == (Extra("quality", "quality"),)
    for member, rule in IMAGES_TABLE.items():
        assert [image_extra(member, value) for value in rule.free] == [()] * len(rule.free)


def test_every_member_of_the_table_may_be_named_by_an_operator() -> None:
    """To allow or to price it (P10)."""
    assert {*TABLE, *IMAGES_TABLE, "cache_control", "cache_write_1h"} <= EXTRA_NAMES
    assert {"tools", "web_search", "server_tools"} <= EXTRA_NAMES


def test_an_extra_is_held_and_charged_once_a_call() -> None:
    """Beside the tokens, and the terms say so (money rule 1, money rule 2)."""
    stated = {
        "input_per_million": "1",
        "output_per_million": "2",
        "extra_web_search": "0.01",
        "extra_speed": "0.0000000005",
    }
    terms = PriceTerms.parse(stated)
    assert terms.as_strings() == stated
    assert terms.extras == (("speed", Decimal("5E-10")), ("web_search", Decimal("0.01")))
    price = PriceVersion(version="v", source="test", effective_at="now", terms=terms)
    assert price.prices_extra("web_search") and not price.prices_extra("plugins")
    usage = Usage(3, 4, extras=("web_search", "speed"))
    assert usage.as_dict()["extras"] == ["web_search", "speed"]
    assert "extras" not in Usage(3, 4).as_dict()
    assert price.cost(usage).exact_nano_usd == "10011000.5"
    bound = price.bound(input_tokens=3, output_tokens=4, extras=("web_search",))
    assert bound == 10_011_000 == price.cost(usage._replace(extras=("web_search",))).nano_usd


def test_a_price_of_images_alone_is_none_of_tokens() -> None:
    """Free tokens have a price, missing ones have none (P10, money rule 7)."""
    for stated, tokens, images in (
        ({"input_per_million": "1", "output_per_million": "0"}, True, False),
        ({"input_per_million": "0", "output_per_million": "0"}, True, False),
        ({"per_image": "1"}, False, True),
        ({"per_megapixel": "0"}, False, True),
        ({"per_image": "1", "input_per_million": "1"}, False, True),
        ({"per_image": "1", "output_per_million": "1"}, False, True),
        ({"per_image": "1", "input_per_million_above_5": "1"}, False, True),
        ({"per_image": "1", "input_per_million": "0", "output_per_million": "0"}, True, True),
    ):
        terms = PriceTerms.parse(stated)
        price = PriceVersion(version="v", source="test", effective_at="now", terms=terms)
        assert (price.counts_tokens, price.counts_images) == (tokens, images)
