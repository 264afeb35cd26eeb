"""What has no price is refused by name, what the operator priced or allowed passes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.registry.providers_file import ProvidersFileError
from tests.command_api.operations.test_media import answer_with, vectors
from tests.command_api.routing.test_router import registry_of
from tests.support.harness import (
    DONE,
    USAGE,
    RunningGateway,
    chunk,
    completion,
    reply,
    running_gateway,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

FILE = """
extra_prices = {{ web_search = "0.01" }}
[[provider.model]]
id = "embed"
input_per_million = "0.02"
output_per_million = "0"
output_modalities = ["embedding"]
[[provider.model]]
id = "tiered"
input_per_million = "0.02"
output_per_million = "0"
output_modalities = ["embedding", "image"]
service_tiers = {{ flex = "0.5" }}
web_search_per_thousand = "10"
[[provider.model]]
id = "pixels"
per_megapixel = "0.04"
[[provider.model]]
id = "half"
per_image = "0.04"
input_per_million = "5"
[[provider.model]]
id = "other-half"
per_image = "0.04"
output_per_million = "5"
[[provider.model]]
id = "dearest"
input_per_million = "1000000"
output_per_million = "1000000"
[[provider.model]]
id = "priced"
per_image = "0.04"
extra_prices = {{ quality = "0.04", size = "0.02" }}
[[provider.model]]
id = "stated"
per_image = "0.04"
input_per_million = "5"
output_per_million = "0"
[[provider.model]]
id = "drawn"
input_per_million = "5"
output_per_million = "40"
output_modalities = ["image"]
[[provider]]
name = "lenient"
base_url = "{base_url}"
allow_unpriced = ["service_tier", "server_tools"]
[[provider.model]]
id = "m"
input_per_million = "1"
output_per_million = "1"
"""
CHAT, IMAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/images/generations", "/v1/embeddings"
HI = [{"role": "user", "content": "Hi"}]
SEARCH = {"type": "web_search_preview"}
FUNCTION = {"type": "function", "function": {"name": "f"}}
HOUR = {"type": "ephemeral", "ttl": "1h"}
UNTYPED = {"name": "x", "input_schema": {}}


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway whose last model of the harness, `local/free`, has a price for a search."""
    text = FILE.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


UNITS: list[tuple[str, dict[str, Any]]] = [
    (IMAGES, {"model": "local/m", "prompt": "A"}),
    (IMAGES, {"model": "simulator/echo", "prompt": "A"}),
    (IMAGES, {"model": "local/embed", "prompt": "A"}),
    (EMBEDDINGS, {"model": "local/pixels", "input": "A"}),
    (CHAT, {"model": "local/pixels", "messages": HI}),
    (CHAT, {"model": "local/pixels", "messages": HI, "stream": True}),
    (CHAT, {"model": "local/embed", "messages": HI}),
    (CHAT, {"model": "local/half", "messages": HI}),
    (CHAT, {"model": "local/half", "messages": HI, "stream": True}),
    (CHAT, {"model": "local/other-half", "messages": HI}),
    (EMBEDDINGS, {"model": "local/other-half", "input": "A"}),
    (CHAT, {"model": "simulator/paint", "messages": HI}),
]
EXTRAS: list[tuple[str, str, dict[str, Any]]] = [
    (CHAT, "local/m", {"service_tier": "priority"}),
    (CHAT, "local/m", {"plugins": [{"id": "web"}]}),
    (CHAT, "local/m", {"web_search_options": {}}),
    (CHAT, "local/m", {"modalities": ["text", "audio"]}),
    (CHAT, "local/m", {"tools": [FUNCTION, SEARCH]}),
    (CHAT, "local/m", {"tools": [{"type": "web_search"}, UNTYPED]}),
    (CHAT, "local/m", {"tools": [UNTYPED, {"type": "web_search"}]}),
    (CHAT, "local/m", {"tools": ["web_search", SEARCH]}),
    (CHAT, "local/m", {"tools": [None, UNTYPED]}),
    (CHAT, "local/m", {"tools": [{"google_search": {}}]}),
    (CHAT, "local/m", {"tools": [{"type": 5, "name": "x"}]}),
    (CHAT, "lenient/m", {"plugins": [{"id": "x"}]}),
    (CHAT, "local/m", {"cache_control": HOUR}),
    (IMAGES, "local/pixels", {"service_tier": "flex"}),
    (IMAGES, "local/pixels", {"quality": "hd"}),
    (IMAGES, "local/pixels", {"size": "4K"}),
    (IMAGES, "local/stated", {"quality": "high"}),
    (IMAGES, "local/stated", {"size": "1792x1024"}),
    (EMBEDDINGS, "local/embed", {"service_tier": "flex"}),
    # Neither tells its tier or counts its searches: there even a term for them prices nothing.
    (EMBEDDINGS, "local/tiered", {"service_tier": "flex"}),
    (IMAGES, "local/tiered", {"service_tier": "flex"}),
    (EMBEDDINGS, "local/tiered", {"web_search_options": {}}),
    (IMAGES, "local/tiered", {"web_search_options": {}}),
]
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HI},
    IMAGES: {"prompt": "A"},
    EMBEDDINGS: {"input": "A"},
}


def test_what_has_no_price_is_refused_by_name(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A 400 that names the member; nothing is held, nobody is asked (P10)."""
    refused = [(path, body, "operation_unpriced", "model") for path, body in UNITS]
    refused += [
        (path, {"model": model, **ASKED[path], **more}, "extra_unpriced", next(iter(more)))
        for path, model, more in EXTRAS
    ]
    user = gateway.user(grant=0)
    with gateway.client(user) as client:
        for path, body, code, param in refused:
            got = client.post(path, json=body)
            error = got.json()["error"]
            assert (got.status_code, error["code"], error["param"]) == (400, code, param), body
    assert upstream.requests == []
    assert gateway.open_holds() == 0


PASSES: list[dict[str, Any]] = [
    {"model": "local/m", "service_tier": "auto", "plugins": [], "modalities": ["text"]},
    {"model": "local/m", "service_tier": None, "tools": [FUNCTION], "store": True},
    {"model": "local/m", "tools": None, "web_search_options": None},
    {"model": "local/m", "tools": [UNTYPED, {"function": {"name": "f"}}, FUNCTION]},
    {"model": "local/stated"},
    {"model": "lenient/m", "service_tier": "priority", "tools": [{"type": "mcp"}]},
]


def test_defaults_and_what_the_operator_allows_pass(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """As they were sent (P10, rule: contract)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    user = gateway.user()
    for body in PASSES:
        assert gateway.chat(user, body).status_code == 200
        sent = upstream.requests[-1].body
        assert {name: sent[name] for name in body if name != "model"} == {
            name: value for name, value in body.items() if name != "model"
        }


def test_a_priced_extra_is_held_and_charged(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Whole and streamed, once a call, and the arithmetic names it (money rule 1, money rule 2)."""
    user = gateway.user()
    asked = {"model": "local/free", "web_search_options": {}, "tools": [SEARCH]}
    for streamed in (False, True):
        upstream.answer = lambda connection, _, streamed=streamed: (
            stream(connection, chunk({"content": "Hi"}), USAGE)
            if streamed
            else reply(connection, completion())
        )
        story = gateway.story(user, gateway.chat(user, {**asked, "stream": streamed}))
        assert story["held_nano_usd"] == story["settled_nano_usd"] == 10_000_000
        assert story["usage"]["extras"] == ["web_search"]
        assert story["price"]["extra_web_search"] == "0.01"
        term = {"term": "web_search", "count": 1, "usd": "0.01", "nano_usd": "10000000.00"}
        assert story["arithmetic"]["terms"][-1] == term


def test_another_offer_that_has_the_price_is_chosen(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Of several providers those are asked that can be charged for (P10, rule: routing)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    got = gateway.chat(gateway.user(), {"model": "m", "service_tier": "flex"})
    assert (got.status_code, got.headers["x-gatewayz-provider"]) == (200, "lenient")


def test_images_of_a_model_that_counts_tokens_are_never_free(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Without a report they are charged by our own count (P10, money rule 6)."""
    user = gateway.user()
    for usage in (None, {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}):
        answer_with(upstream, {"created": 1, "data": [{"url": "u"}], "usage": usage})
        with gateway.client(user) as client:
            got = client.post(IMAGES, json={"model": "local/drawn", "prompt": "A cat"})
        story = gateway.story(user, got)
        assert (story["usage"]["source"], story["usage"]["output_tokens"]) == ("estimated", 1_056)
        assert story["settled_nano_usd"] == 2 * 5_000 + 1_056 * 40_000
        assert story["usage"].get("implausible", False) is (usage is not None)
    answer_with(upstream, vectors([0.5], usage={"prompt_tokens": 0, "total_tokens": 0}))
    with gateway.client(user) as client:
        got = client.post(EMBEDDINGS, json={"model": "local/embed", "input": "abcd"})
    assert gateway.story(user, got)["usage"]["implausible"] is True


def test_an_hour_of_cache_is_found_wherever_it_stands(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """In parts and tools, and behind escapes; whole and streamed (P10)."""
    part = {"type": "text", "text": "Hi", "cache_control": HOUR}
    bodies: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": [part]}]},
        {"messages": HI, "tools": [FUNCTION | {"cache_control": HOUR}], "stream": True},
    ]
    raws = [json.dumps({"model": "local/m", **each}).encode() for each in bodies]
    raws.append(raws[0].replace(b"ttl", b"t\\u0074l"))
    with gateway.client(gateway.user()) as client:
        for raw in raws:
            got = client.post(CHAT, content=raw)
            error = got.json()["error"]
            assert (got.status_code, error["param"]) == (400, "cache_control"), raw
    assert upstream.requests == []


IMAGES_ASKED: list[tuple[str, dict[str, Any], int]] = [
    ("stated", {}, 40_000_000),
    ("stated", {"quality": "standard", "size": "512x512"}, 40_000_000),
    ("stated", {"quality": "auto", "size": "auto"}, 40_000_000),
    ("priced", {}, 40_000_000),
    ("priced", {"quality": "hd"}, 80_000_000),
    ("priced", {"quality": "hd", "size": "1792x1024"}, 100_000_000),
    ("pixels", {"size": "2000x1000"}, 80_000_000),
]


def test_images_of_a_better_quality_or_size_cost_what_the_operator_says(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Plain ones cost what they did; a price of pixels tells the size (P10, money rule 1)."""
    user = gateway.user()
    answer_with(upstream, {"created": 1, "data": [{"url": "u"}]})
    for model, asked, cost in IMAGES_ASKED:
        with gateway.client(user) as client:
            got = client.post(IMAGES, json={"model": f"local/{model}", "prompt": "A", **asked})
        story = gateway.story(user, got)
        assert (asked, story["settled_nano_usd"]) == (asked, cost)
        assert story["held_nano_usd"] >= cost


def test_a_cost_that_no_entry_can_be_is_not_free(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Our own count is charged, and where that is too much too, what was held (P2, P10)."""
    user = gateway.user(grant=10**16)
    report = {"prompt_tokens": 10**6, "completion_tokens": 10**6, "total_tokens": 2 * 10**6}
    ask = {"model": "local/dearest", "max_tokens": 10}
    for streamed in (False, True):
        upstream.answer = lambda connection, _, streamed=streamed: (
            stream(connection, chunk({"content": "Hi"}), chunk(None, usage=report), DONE)
            if streamed
            else reply(connection, completion("Hi", usage=report))
        )
        story = gateway.story(user, gateway.chat(user, {**ask, "stream": streamed}))
        assert (story["status"], story["usage"]["implausible"]) == ("settled", True)
        assert 0 < story["settled_nano_usd"] <= story["held_nano_usd"]
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    whole = completion("word " * 900_000, usage=nothing)
    upstream.answer = lambda connection, _: reply(connection, whole)
    story = gateway.story(user, gateway.chat(user, {"model": "local/dearest"}))
    assert story["usage"]["output_tokens"] == gateway.settings.holds.default_output_tokens
    assert 0 < story["settled_nano_usd"] <= story["held_nano_usd"]


WRONG = [
    ('allow_unpriced = ["colour"]', "'colour' is no extra; they are"),
    ('[[provider.model]]\nid = "x"\nextra_prices = { colour = "1" }', "'colour' is no extra"),
    ('[[provider.model]]\nid = "x"\nextra_prices = { speed = 1 }', "decimal strings in USD"),
    ('[[provider.model]]\nid = "x"\nextra_prices = "1"', "decimal strings in USD"),
    ('[[provider.model]]\nid = "x"\nextra_speed = "1"', "decimal strings in USD"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, said: str) -> None:
    """An extra that does not exist is a typing error (P10, rule: refuse clearly)."""
    with pytest.raises(ProvidersFileError, match=said):
        registry_of(tmp_path, f'[[provider]]\nname = "z"\nbase_url = "http://z/v1"\n{text}\n')
