"""A Messages body: what it is bounded and counted by, and what its headers may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.operations.messages.request import forward, parse_count, parse_messages
from command_api.settings.calls import RequestSettings
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from edge.asgi import Headers
from edge.errors import ApiError
from providers.inference.port import FORWARDED, Forwarded, UnsupportedError
from providers.inference.registry.offers import Model, Provider
from tests.command_api.calls.messages import HELLO, ask

LIMITS = RequestSettings()
PRICE = {"input_per_million": "1", "output_per_million": "2"}
DATA = "A" * 100_000


def offer(**terms: str) -> Model:
    """A model."""
    return Model(
        id="m",
        provider="anthropic",
        price=PriceVersion(
            version="v",
            source="test",
            effective_at="2026-01-01T00:00:00.000000Z",
            terms=PriceTerms.parse({**PRICE, **terms}),
        ),
    )


def provider(*, native: bool = True) -> Provider:
    """A provider, whose upstream is not asked."""
    upstream: Any = None
    return Provider(name="anthropic", base_url="", upstream=upstream, takes_messages=native)


def parsed(**more: Any) -> Any:
    """A request."""
    return parse_messages(json.dumps(ask(**more)).encode(), LIMITS)


def size(**more: Any) -> int:
    """The most input tokens of a body."""
    tokens: int = parsed(**more)._size.tokens_bound(None)
    return tokens


def block(**members: Any) -> int:
    """What a block adds to an empty message."""
    empty = size(messages=[{"role": "user", "content": []}])
    return size(messages=[{"role": "user", "content": [members]}]) - empty


SOURCE = {"type": "base64", "media_type": "image/png", "data": DATA}
BOUNDS: list[tuple[dict[str, Any], int, int]] = [
    ({"type": "text", "text": "a" * 100}, 50, 50),
    ({"type": "text", "text": "é" * 50, "cache_control": {"type": "ephemeral"}}, 50, 50),
    ({"type": "text", "text": "a" * 100, "secret": "b" * 1_000}, 550, 600),
    ({"type": "image", "source": SOURCE}, 16_386, 16_386),
    ({"type": "document", "source": SOURCE}, 460_000, 460_000),
    (
        {"type": "document", "source": {"type": "text", "data": "a" * 100}, "title": "b" * 10},
        55,
        55,
    ),
    ({"type": "document", "source": {"type": "content", "content": "a" * 100}}, 50, 80),
    ({"type": "document", "source": 7}, 460_000, 460_000),
    ({"type": "tool_use", "id": "t", "name": "f" * 10, "input": {"x": "a" * 100}}, 55, 70),
    ({"type": "tool_result", "tool_use_id": "t", "content": "a" * 100}, 50, 50),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "a" * 100}, {"type": "image", "source": SOURCE}],
        },
        16_436,
        16_436,
    ),
    ({"type": "thinking", "thinking": "a" * 100, "signature": "b" * 1_000}, 50, 50),
    ({"type": "redacted_thinking", "data": "a" * 100}, 50, 50),
    ({"type": "hologram", "scene": "a" * 100}, 50, 80),
    ({"type": "image", "source": SOURCE, "prompt": "a"}, 50_000, 50_100),
]


@pytest.mark.parametrize(("members", "least", "most"), BOUNDS)
def test_what_a_block_can_cost(members: dict[str, Any], least: int, most: int) -> None:
    """By what it says, or by its bytes where somebody could hide something (money rule 2)."""
    assert least <= block(**members) <= most


def test_blocks_in_blocks_have_an_end() -> None:
    """Deeper than any of Anthropic's they are measured by their bytes (rule: bounded)."""
    nested: dict[str, Any] = {"type": "text", "text": "a" * 100}
    for _ in range(200):
        nested = {"type": "tool_result", "tool_use_id": "t", "content": [nested]}
    assert block(**nested) > 50


def test_all_that_is_prompt_is_bounded() -> None:
    """System, tools, schemas, and members that nobody knows (money rule 2)."""
    plain = size()
    costly: tuple[dict[str, Any], ...] = (
        {"system": "a" * 1_000},
        {"system": [{"type": "text", "text": "a" * 1_000}]},
        {"tools": [{"name": "f", "description": "a" * 1_000, "input_schema": {}}]},
        {"output_config": {"format": {"schema": {"title": "a" * 1_000}}}},
        {"novel": "a" * 1_000},
        {"mcp_servers": [{"name": "a" * 1_000}]},
    )
    free: tuple[dict[str, Any], ...] = (
        {"temperature": 1},
        {"metadata": {"user_id": "u" * 64}},
        {"top_k": 5},
    )
    for more in costly:
        assert plain + 500 <= size(**more) <= plain + 600
    for more in free:
        assert size(**more) == plain


def test_the_hold_is_for_the_callers_maximum() -> None:
    """He must give one, so that it never grows (money rule 2)."""
    bound = parsed(max_tokens=7, stream=True).bound(offer(), _holds())
    assert (bound.output_tokens, bound.extendable) == (7, False)


def _holds() -> Any:
    from command_api.settings.calls import HoldSettings

    return HoldSettings()


def test_a_count_needs_no_maximum() -> None:
    """And is the one of a call (money rule 6)."""
    raw = json.dumps({"model": "m", "messages": HELLO}).encode()
    counted = parse_count(raw, LIMITS).estimated_input_tokens()
    assert counted == parsed().estimated_input_tokens() == 5


def headers(*given: tuple[bytes, bytes]) -> dict[str, Any]:
    """A scope."""
    return {"headers": list(given)}


GOOD: list[tuple[list[tuple[bytes, bytes]], Forwarded]] = [
    ([], Forwarded()),
    ([(b"anthropic-version", b"2023-06-01")], Forwarded("2023-06-01")),
    ([(b"anthropic-beta", b"a-1,b_2")], Forwarded("", "a-1,b_2")),
    ([(b"anthropic-beta", b"a"), (b"anthropic-beta", b"b, c")], Forwarded("", "a,b, c")),
]


@pytest.mark.parametrize(("given", "told"), GOOD)
def test_headers_that_go_on(given: list[tuple[bytes, bytes]], told: Forwarded) -> None:
    """Those of one name are one list (rule: wire)."""
    scope = headers(*given)
    forward(scope, Headers(scope))
    assert FORWARDED.get() == told


BAD: list[tuple[bytes, bytes]] = [
    (b"anthropic-version", b"2023-6-1"),
    (b"anthropic-version", b"2023-06-01 "),
    (b"anthropic-version", "²023-06-01".encode()),
    (b"anthropic-beta", b","),
    (b"anthropic-beta", b"a,,b"),
    (b"anthropic-beta", b"a\r\nx-api-key: theirs"),
    (b"anthropic-beta", b"\xff"),
    (b"anthropic-beta", b"a," * 10_000 + b"!"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_headers_that_do_not(name: bytes, value: bytes) -> None:
    """Nothing that could be another header, or more than a list of names (rule: bounded)."""
    scope = headers((name, value))
    with pytest.raises(ApiError) as found:
        forward(scope, Headers(scope))
    assert (found.value.status, found.value.code) == (400, "invalid_header")


def test_a_long_context_wants_a_tier() -> None:
    """Elsewhere than at Anthropic the beta means nothing (P10)."""
    scope = headers((b"anthropic-beta", b"x,context-1m-2025-08-07"))
    forward(scope, Headers(scope))
    request = parsed()
    tiered = offer(input_per_million_above_200000="2")
    refused = request.unpriced(offer(), provider())
    assert refused is not None
    assert refused.param == "anthropic-beta"
    assert request.unpriced(tiered, provider()) is None
    assert request.unpriced(offer(extra_context_1m="1"), provider()) is None
    assert request.unpriced(offer(), provider(native=False)) is None
    FORWARDED.set(Forwarded())
    assert parsed().unpriced(offer(), provider()) is None


def test_a_body_is_read_in_the_form_of_its_provider() -> None:
    """As it is, or translated when it is sent, and not before (rule: translation)."""
    request = parsed(model="m", container="c")
    assert request.at(provider(), offer()) is request
    elsewhere = request.at(provider(native=False), offer())
    assert elsewhere is request.at(provider(native=False), offer())
    with pytest.raises(UnsupportedError, match="container"):
        elsewhere.upstream_body(offer(), provider(native=False))
    assert json.loads(request.upstream_body(offer(), provider()))["container"] == "c"
