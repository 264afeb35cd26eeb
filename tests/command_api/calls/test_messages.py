"""Anthropic's Messages at Anthropic: its bytes pass, and the call is held, charged and told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.messages import (
    CLAUDE,
    END,
    PING,
    STOP,
    ask,
    asked_last,
    call,
    message,
    plays,
    says,
    serving,
    stream_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with Anthropic, played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


def test_a_body_goes_to_anthropic_as_it_was_sent(served: RunningGateway) -> None:
    """Byte for byte but for the model's id, and so comes the answer (rule: wire)."""
    raw = (
        b'{ "max_tokens":100,\n "messages": [ {"role":"user","content":[{"type":"text",'
        b'"text":"\\u00e9 \\"model\\": 1"}]} ], "tools":[{"name":"f","input_schema":'
        b'{"type":"object","properties":{"model":{"type":"string"}}}}],'
        b'"model" : "anthropic/claude-test" ,"top_k": 5, "metadata":{"user_id":"u"}}\n'
    )
    answer = message()[:-1] + b'  , "more": {"a" : 1} }\n'
    served.upstream.answer = says(answer)
    user = served.user()
    got = call(served, user, raw)
    assert (got.status_code, got.content) == (200, answer)
    request = asked_last(served)
    assert request.raw == raw.replace(b"anthropic/claude-test", b"claude-test")
    assert (request.path, request.headers["x-api-key"]) == ("/v1/messages", "sk-ant-up")
    assert "authorization" not in request.headers
    assert got.headers["x-gatewayz-provider"] == "anthropic"
    assert got.headers["request-id"] == got.headers["x-request-id"]


def test_a_call_is_held_and_charged(served: RunningGateway) -> None:
    """By Anthropic's own report, its cache beside its input, and told by its story
    (P2, P4, money rule 1, money rule 6).
    """
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 7,
    }
    served.upstream.answer = says(message(usage=usage))
    user = served.user()
    got = call(served, user, ask())
    story = served.story(user, got)
    assert (story["status"], story["provider"], story["model"]) == (
        "settled",
        "anthropic",
        "claude-test",
    )
    assert story["usage"] == {
        "input_tokens": 60,
        "output_tokens": 7,
        "cached_input_tokens": 30,
        "cache_write_tokens": 20,
        "reasoning_tokens": 0,
        "source": "provider",
    }
    assert story["settled_nano_usd"] == 10 * 3_000 + 20 * 3_750 + 30 * 300 + 7 * 15_000
    assert story["held_nano_usd"] >= 100 * 15_000
    told = [each["type"] for each in story["events"]]
    assert told == ["ledger.hold_placed.v1", "ledger.hold_settled.v1"]


def test_a_stream_passes_as_it_came(served: RunningGateway) -> None:
    """Events, pings and white space; the end waits for the charge (P2, rule: wire)."""
    pieces = [each.replace(b"}\n\n", b"}   \n\n") for each in stream_of("Hel", "lo.")]
    served.upstream.answer = plays(*pieces, b"\n")
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.content == b"".join(pieces)
    assert got.headers["content-type"].startswith("text/event-stream")
    story = served.story(user, got)
    assert (story["status"], story["settled_nano_usd"]) == ("settled", 10 * 3_000 + 5 * 15_000)
    assert PING[:11] in got.content
    assert END[:20] in got.content
    assert STOP[:20] in got.content


@pytest.mark.parametrize("how", ["x-api-key", "authorization", "both", "other-token"])
def test_either_header_brings_the_key(served: RunningGateway, how: str) -> None:
    """Anthropic's clients send `x-api-key`, or a token, or both (rule: contract)."""
    served.upstream.answer = says(message())
    key = served.user().api_key
    headers = {
        "x-api-key": {"x-api-key": key},
        "authorization": {"authorization": f"Bearer {key}"},
        "both": {"x-api-key": "sk-ant-of-the-caller", "authorization": f"Bearer {key}"},
        "other-token": {"x-api-key": key, "authorization": "Bearer sk-ant-of-the-caller"},
    }[how]
    got = httpx.post(f"{served.url}/v1/messages", json=ask(), headers=headers)
    assert got.status_code == 200
    assert "of-the-caller" not in json.dumps(asked_last(served).headers)


def test_versions_and_betas_go_on(served: RunningGateway) -> None:
    """To Anthropic; without any it gets the version that we know (rule: wire)."""
    served.upstream.answer = says(message())
    user = served.user()
    call(served, user, ask())
    plain = asked_last(served).headers
    assert plain["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in plain
    betas = "interleaved-thinking-2025-05-14, fine-grained-tool-streaming-2025-05-14"
    call(served, user, ask(), anthropic_version="2023-01-01", anthropic_beta=betas)
    told = asked_last(served).headers
    assert (told["anthropic-version"], told["anthropic-beta"]) == ("2023-01-01", betas)


@pytest.mark.parametrize(
    "headers",
    [
        {"anthropic_version": "latest"},
        {"anthropic_beta": "a b"},
        {"anthropic_beta": "a;b"},
        {"anthropic_beta": "a" * 3_000},
    ],
)
def test_headers_that_are_none_are_refused(served: RunningGateway, headers: dict[str, str]) -> None:
    """Before anything is sent (rule: refuse clearly)."""
    got = call(served, served.user(), ask(), **headers)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_header")


def test_an_idempotency_key_answers_again(served: RunningGateway) -> None:
    """One charge, the first bytes again, whole and streamed; another body is refused (P3)."""
    user = served.user()
    for body, answer in (
        (ask(), says(message())),
        (ask(stream=True), plays(*stream_of("Hi"))),
    ):
        served.upstream.answer = answer
        key = f"key-{len(json.dumps(body))}"
        first = call(served, user, body, idempotency_key=key)
        again = call(served, user, body, idempotency_key=key)
        assert (again.content, again.status_code) == (first.content, 200)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-gatewayz-call-id"] == first.headers["x-gatewayz-call-id"]
        other = call(served, user, {**body, "max_tokens": 7}, idempotency_key=key)
        assert (other.status_code, other.json()["error"]["code"]) == (
            422,
            "idempotency_key_reused",
        )
        assert other.json()["error"]["type"] == "invalid_request_error"
        assert asked_last(served).body["max_tokens"] == 100


def test_too_few_credits_are_told_in_anthropics_words(served: RunningGateway) -> None:
    """402 with the amounts beside its type, and the id of the request (P1, rule: contract)."""
    user = served.user(grant=1_000)
    got = call(served, user, ask(), x_request_id="mine")
    body = got.json()
    assert (got.status_code, body["type"], body["request_id"]) == (402, "error", "mine")
    assert body["error"]["type"] == "billing_error"
    assert body["error"]["code"] == "insufficient_credits"
    assert body["error"]["available_nano_usd"] == 1_000


FAILURES = [
    (529, "overloaded_error", 529, "overloaded_error"),
    (503, "api_error", 529, "overloaded_error"),
    (500, "api_error", 502, "api_error"),
    (400, "invalid_request_error", 400, "invalid_request_error"),
    (401, "authentication_error", 502, "api_error"),
    (403, "permission_error", 502, "api_error"),
    (404, "not_found_error", 404, "not_found_error"),
    (413, "request_too_large", 413, "request_too_large"),
    (429, "rate_limit_error", 429, "rate_limit_error"),
    (504, "timeout_error", 504, "timeout_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("theirs", "kind", "status", "told"), FAILURES)
def test_failures_have_anthropics_types(
    served: RunningGateway, theirs: int, kind: str, status: int, told: str, stream: bool
) -> None:
    """Each is free, and what is ours to mend is not the caller's (money rule 4, rule: contract)."""
    error = {"type": "error", "error": {"type": kind, "message": "No: sk-ant-up."}}
    headers = {"retry-after": "7"}
    served.upstream.answer = says(json.dumps(error).encode(), theirs, headers)
    user = served.user()
    got = call(served, user, ask(stream=stream))
    body = got.json()
    assert (got.status_code, body["type"], body["error"]["type"]) == (status, "error", told)
    assert body["request_id"] == got.headers["request-id"]
    assert "sk-ant-up" not in got.text
    if status in (429, 529):
        assert got.headers["retry-after"] == "7"
    assert served.story(user, got)["status"] == "voided"


def test_server_tools_are_priced_or_refused_by_name(served: RunningGateway) -> None:
    """A search has a price here, code has none; what the caller runs costs nothing more (P10)."""
    served.upstream.answer = says(message())
    user = served.user()

    def with_tools(*kinds: str) -> Any:
        tools = [{"type": each, "name": each} for each in kinds]
        return call(served, user, ask(tools=tools))

    plain = served.story(user, with_tools("bash_20250124", "text_editor_20250728"))
    searched = served.story(user, with_tools("web_search_20250305"))
    assert searched["settled_nano_usd"] == plain["settled_nano_usd"] + 10_000_000
    refused = with_tools("code_execution_20250825")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "extra_unpriced")
    assert refused.json()["error"]["param"] == "tools"


@pytest.mark.parametrize(
    ("more", "headers", "param"),
    [
        ({"speed": "fast"}, {}, "speed"),
        ({"inference_geo": "us"}, {}, "inference_geo"),
        ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, {}, "mcp_servers"),
        ({}, {"anthropic_beta": "context-1m-2025-08-07"}, "anthropic-beta"),
        (
            {"system": [{"type": "text", "text": "S", "cache_control": {"ttl": "1h"}}]},
            {},
            "cache_control",
        ),
    ],
)
def test_what_costs_extra_is_refused_by_name(
    served: RunningGateway, more: dict[str, Any], headers: dict[str, str], param: str
) -> None:
    """Rather than charged at a price that is another thing's (P10)."""
    got = call(served, served.user(), ask(**more), **headers)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "extra_unpriced")
    assert got.json()["error"]["param"] == param


def test_bare_ids_find_their_model(served: RunningGateway) -> None:
    """As Anthropic's clients write them (rule: routing)."""
    served.upstream.answer = says(message())
    user = served.user()
    got = call(served, user, ask(model="claude-test"))
    assert (got.status_code, asked_last(served).body["model"]) == (200, "claude-test")
    assert served.story(user, got)["provider"] == "anthropic"
    assert CLAUDE.endswith("/claude-test")


def test_the_routing_stays_here(served: RunningGateway) -> None:
    """`provider` in a body is not Anthropic's (rule: routing)."""
    served.upstream.answer = says(message())
    got = call(served, served.user(), ask(model="claude-test", provider="anthropic", models=[]))
    assert got.status_code == 200
    assert not {"provider", "models"} & asked_last(served).body.keys()
