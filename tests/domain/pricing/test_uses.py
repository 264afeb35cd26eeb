"""Uses and service tiers: what may be used, what was, and what of it is paid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidPriceError
from domain.ledger.holds import CallBound
from domain.pricing.charges import usage_of
from domain.pricing.extras import HEARD
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from domain.pricing.uses import (
    SERVER_TOOLS_MAX,
    Asked,
    counted_uses,
    uses_asked,
    uses_paid,
)

WEB, FILES, CODE = "web_search", "file_search", "code_interpreter"
BASE = {"input_per_million": "2", "output_per_million": "8", "cached_input_per_million": "0.5"}
FLEX = {"input_per_million_at_flex": "1", "output_per_million_at_flex": "4"}
PRIORITY = {
    "input_per_million_at_priority": "3.5",
    "output_per_million_at_priority": "14",
    "input_per_million_above_100_at_priority": "7",
}


def priced(**terms: str) -> PriceVersion:
    """A price of these terms."""
    found = PriceTerms.parse({**BASE, **terms})
    return PriceVersion(version="v", source="test", effective_at="now", terms=found)


@pytest.mark.parametrize(
    ("asked", "told", "paid"),
    [
        ("flex", "flex", "flex"),
        ("flex", "default", ""),
        ("flex", "", "flex"),
        ("flex", "ultra", "flex"),
        ("flex", "priority", "flex"),
        ("priority", "standard", ""),
        ("scale", "scale", ""),
        ("auto", "priority", "priority"),
        ("auto", "flex", "flex"),
        ("auto", "ultra", ""),
        ("auto", "", ""),
        ("auto", "auto", ""),
        ("", "priority", ""),
    ],
)
def test_the_tier_that_is_paid(asked: str, told: str, paid: str) -> None:
    """The one that was served, of those that the call asked for (P10, money rule 6)."""
    assert Asked(tier=asked).served(told, ("flex", "priority")) == paid


def test_auto_may_be_served_at_any_tier_with_a_price() -> None:
    """A named one at that one, or at the plain one (money rule 2)."""
    assert Asked(tier="auto").tiers(("flex", "priority")) == ("flex", "priority")
    assert Asked(tier="flex").tiers(("flex", "priority")) == ("flex",)
    assert Asked(tier="scale").tiers(("flex", "priority")) == ()
    assert Asked().tiers(("flex", "priority")) == ()


def test_a_tier_is_a_whole_token_price_of_its_own() -> None:
    """What it does not state falls back within it; prompts' lengths count, too (money rule 1)."""
    price = priced(**FLEX, **PRIORITY)
    usage = Usage(100, 10, cached_input_tokens=40)
    assert price.cost(usage).nano_usd == 60 * 2_000 + 40 * 500 + 10 * 8_000
    flex = price.cost(usage._replace(service_tier="flex"))
    assert flex.nano_usd == 100 * 1_000 + 10 * 4_000
    long = Usage(101, 10, service_tier="priority")
    assert price.cost(long).nano_usd == 101 * 7_000 + 10 * 14_000
    assert price.terms.as_strings() == {**BASE, **FLEX, **PRIORITY}
    assert price.prices_term("service_tier:flex") and not price.prices_term("service_tier:scale")
    assert list(price.service_tiers) == ["flex", "priority"]


def test_a_hold_covers_the_dearest_tier_that_may_be_served() -> None:
    """And no dearer one (money rule 2)."""
    price = priced(**FLEX, **PRIORITY)
    most: dict[str, Any] = {"input_tokens": 100, "output_tokens": 10}
    assert price.bound(**most) == 100 * 2_000 + 10 * 8_000
    assert price.bound(**most, service_tiers=("flex",)) == 100 * 2_000 + 10 * 8_000
    assert price.bound(**most, service_tiers=("flex", "priority")) == 100 * 3_500 + 10 * 14_000
    beside = CallBound(100, service_tiers=("priority",), uses=((WEB, 1),)).beside_tokens
    affordable = priced(**PRIORITY, web_search_per_thousand="1").affordable_output_tokens(
        input_tokens=100, available_nano_usd=350_000 + 1_000_000 + 2 * 14_000, **beside
    )
    assert affordable == 2
    assert CallBound(100, 5, extendable=True).beside_tokens == {}


@pytest.mark.parametrize(
    "terms",
    [
        {"input_per_million_at_flex": "1"},
        {**FLEX, "input_per_million_at_": "1"},
        {**FLEX, "input_per_million_at_default": "1"},
        {**FLEX, "input_per_million_at_auto": "1"},
        {**FLEX, "input_per_million_at_Flex": "1"},
        {**FLEX, "per_request_at_flex": "1"},
        {**FLEX, "web_search_per_thousand_at_flex": "1"},
        {**FLEX, "input_per_million_at_flex_at_flex": "1"},
        {**FLEX, "input_per_million_at_flex": "-1"},
        {f"{name}_per_million_at_t{n}": "1" for name in ("input", "output") for n in range(9)},
        {"web_search_per_thousand": "-1"},
        {"searches_per_thousand": "1"},
    ],
)
def test_what_is_no_price_of_a_tier_or_a_use(terms: dict[str, str]) -> None:
    """Refused, whatever stands beside it (P10)."""
    with pytest.raises(InvalidPriceError):
        PriceTerms.parse({**BASE, **terms})


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10_000))
def test_uses_cost_their_thousandth(hundredths: int, tokens: int, count: int) -> None:
    """Exactly, within the bound of so many (P4, money rule 1, money rule 2)."""
    stated = format(Decimal(hundredths) / 100, "f")
    price = priced(web_search_per_thousand=stated)
    cost = price.cost(Usage(tokens, 0, uses=((WEB, count),)))
    assert Decimal(cost.exact_nano_usd) == tokens * 2_000 + count * Decimal(stated) * 10**6
    assert price.bound(input_tokens=tokens, output_tokens=0, uses=((WEB, count),)) >= cost.nano_usd
    assert list(price.uses) == [WEB]
    assert price.prices_term("web_search_per_thousand")
    assert not price.prices_term("file_search_per_thousand")
    assert priced(audio_input_per_million="3").prices_term(HEARD.term)
    assert not price.prices_term(HEARD.term)


def test_what_a_price_lacks_is_named() -> None:
    """Of extras, uses and the tier (P10)."""
    usage = Usage(1, 1, extras=("speed",), uses=((WEB, 1),), service_tier="flex")
    assert priced().lacks(usage) == ["speed", WEB, "service_tier:flex"]
    whole = priced(**FLEX, web_search_per_thousand="10", extra_speed="1")
    assert whole.lacks(usage) == []
    told = usage.as_dict()
    assert (told["uses"], told["service_tier"]) == ({WEB: 1}, "flex")
    assert usage_of(told) == usage
    for wrong in ({"uses": {WEB: -1}}, {"uses": [WEB]}, {"uses": {WEB: True}}):
        assert "cannot be" in str(usage_of(told | wrong))
    assert "cannot be" in str(usage_of(told | {"service_tier": 5}))


@pytest.mark.parametrize(
    ("told", "paid"),
    [
        ({WEB: 3}, ((WEB, 3),)),
        ({WEB: 0}, ()),
        ({}, ((WEB, 1),)),
        ({WEB: -1}, ((WEB, 1),)),
        ({WEB: 10**18}, ((WEB, 5),)),
        ({WEB: 2, FILES: 9}, ((WEB, 2),)),
    ],
)
def test_the_uses_that_are_paid(told: dict[str, int], paid: tuple[tuple[str, int], ...]) -> None:
    """Never more than was held for, and one where nobody counts (money rule 6, P1)."""
    assert uses_paid(((WEB, 5),), told) == paid


TOOL = {"type": "web_search_20250305", "name": "web_search"}
ASKED: list[tuple[dict[str, Any], list[Any], str, int | None]] = [
    ({}, [{**TOOL, "max_uses": 3}], WEB, 3),
    ({}, [TOOL], WEB, None),
    ({}, [{**TOOL, "max_uses": 3}, TOOL], WEB, None),
    ({}, [{**TOOL, "max_uses": -3}], WEB, None),
    ({}, [{**TOOL, "max_uses": True}], WEB, None),
    ({}, [{**TOOL, "max_uses": "3"}], WEB, None),
    ({}, [{**TOOL, "max_uses": 3}, "x", {"type": 5}, {"type": "function"}], WEB, 3),
    ({}, [{"type": "openrouter:web_search"}], WEB, None),
    ({"max_tool_calls": 4}, [{"type": "web_search"}], WEB, 4),
    ({"max_tool_calls": 0}, [{"type": "web_search"}], WEB, None),
    ({"max_tool_calls": 2}, [{**TOOL, "max_uses": 3}], WEB, 2),
    ({"search_parameters": {"max_search_results": 7}}, [], WEB, 7),
    ({"search_parameters": {}}, [], WEB, None),
    ({"search_parameters": "on"}, [], WEB, None),
    ({"web_search_options": {}}, [], WEB, None),
    ({"web_search_options": {}}, [{**TOOL, "max_uses": 3}], WEB, None),
    ({"plugins": [{"id": "web"}]}, [{**TOOL, "max_uses": 3}], WEB, None),
    ({}, [{"type": "code_interpreter"}], CODE, 1),
    ({}, [{"type": "file_search"}], FILES, None),
    ({}, [{**TOOL, "max_uses": 1}] * (SERVER_TOOLS_MAX + 1), WEB, None),
]


@pytest.mark.parametrize(("members", "tools", "name", "most"), ASKED)
def test_the_most_that_a_body_allows(
    members: dict[str, Any], tools: list[Any], name: str, most: int | None
) -> None:
    """What the provider enforces; else the operator's maximum (money rule 2, rule: bounded)."""
    assert uses_asked(members, tools, (name,), 1) == ((name, most),)
    asked = Asked(uses=uses_asked(members, tools, (name,), 1))
    assert asked.most_uses((name,), 10) == ((name, 10 if most is None else most),)
    assert asked.most_uses((), 10) == ()


def test_each_choice_may_search() -> None:
    """As many times as there are choices (money rule 2)."""
    assert uses_asked({}, [{**TOOL, "max_uses": 3}], (WEB,), 2) == ((WEB, 6),)


def test_what_the_output_of_a_response_shows() -> None:
    """Searches, not pages that are opened; containers, not runs of code (money rule 6)."""
    items = [
        {"type": "web_search_call", "action": {"type": "search"}},
        {"type": "web_search_call"},
        {"type": "web_search_call", "action": {"type": "open_page"}},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "message"},
        "x",
        {},
    ]
    assert counted_uses(items) == {WEB: 2, FILES: 1, CODE: 1}
    assert counted_uses([]) == {WEB: 0, FILES: 0, CODE: 0}
