"""Cached answers: the same account's same request, at the share of the price, encrypted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from command_api.kept_replies.response_cache import NAMED
from tests.support.harness import (
    DONE,
    USAGE,
    RunningGateway,
    ScriptedUpstream,
    chunk,
    completion,
    reply,
    running_gateway,
    stream,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

ON = {"x-gatewayz-cache": "on"}
KEYS = "gatewayz:cache:response:*"


def answers(upstream: ScriptedUpstream) -> None:
    """The upstream numbers its answers, whole and streamed."""
    numbers = iter(range(1, 1_000))

    def answer(connection: socket.socket, request: Request) -> None:
        text = f"secret answer {next(numbers)}"
        if request.body.get("stream"):
            first, last = chunk({"role": "assistant", "content": text}), chunk({}, finish="stop")
            stream(connection, first, last, USAGE, DONE)
        elif request.path.endswith("/embeddings"):
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            item = {"object": "embedding", "index": 0, "embedding": [float(len(text))]}
            told = {"object": "list", "data": [item], "model": "m", "usage": usage}
            reply(connection, json.dumps(told).encode())
        else:
            reply(connection, completion(text))

    upstream.answer = answer


@pytest.fixture
def cached(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, empty_redis: str
) -> Iterator[RunningGateway]:
    """A gateway that caches in Redis what asks for it."""
    answers(upstream)
    with running_gateway(database, tmp_path / "home", upstream, redis_url=empty_redis) as made:
        yield made
        made.verified()


def result(answer: Any) -> str:
    """What the cache was to a call."""
    return str(answer.headers["x-gatewayz-cache"])


def text_of(answer: Any) -> str:
    """What was answered, whole or streamed."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    lines = [line[6:] for line in answer.text.split("\n") if line.startswith("data: {")]
    told = [json.loads(line)["choices"] for line in lines]
    return "".join(each[0]["delta"].get("content") or "" for each in told if each)


def test_the_same_request_is_answered_again_for_nothing(
    cached: RunningGateway, upstream: ScriptedUpstream, empty_redis: str
) -> None:
    """Two events, no charge, its story names the first; for its account alone
    (P2, P3, P5, rule: access).
    """
    user, other = cached.user(), cached.user()
    first = cached.chat(user, {}, **ON)
    events, spent = cached.events(), cached.balance(user) | {"position": 0}
    second = cached.chat(user, {}, **ON)
    assert (result(first), result(second)) == ("miss", "hit")
    assert int(second.headers["age"]) >= 0
    assert second.headers["x-gatewayz-provider"] == "local"
    told, again = first.json(), second.json()
    assert told["usage"].pop("cost") > 0
    assert again["usage"].pop("cost") == 0
    assert told == again
    assert (cached.events() - events, upstream.calls) == (2, 1)
    assert cached.balance(user) | {"position": 0} == spent
    story = cached.story(user, second)
    assert story["cached_from"] == first.headers["x-gatewayz-call-id"]
    assert cached.story(user, first)["cached_from"] is None
    assert (story["status"], story["held_nano_usd"], story["charged_nano_usd"]) == ("settled", 0, 0)
    assert (story["provider"], story["model"], story["attempts"]) == ("cache", "local/m", [])
    # Another account or body, or a caller who wants none: a call of its own.
    assert text_of(cached.chat(other, {}, **ON)) != text_of(first)
    assert result(cached.chat(user, {"temperature": 1}, **ON)) == "miss"
    off = cached.chat(user, {}, **{"x-gatewayz-cache": "off"})
    assert (result(off), text_of(off) != text_of(first)) == ("bypass", True)
    assert "x-gatewayz-cache" not in cached.chat(user, {}).headers
    assert "x-gatewayz-cache" not in cached.chat(user, {}, **{"Cache-Control": "no-cache"}).headers
    assert upstream.calls == 6
    with redis.Redis.from_url(empty_redis) as client:
        kept = {name: client.get(name) or b"" for name in client.keys(KEYS)}
        assert len(kept) == 3
        assert b"secret" not in b"".join(kept.values())
        # Damaged, cut, another's entry in its place: each is a miss.
        for spoilt in (b"", b"x" * 5, b"x" * 500, *kept.values()):
            for name, sealed in kept.items():
                if spoilt != sealed:
                    client.set(name, spoilt)
            if spoilt not in kept.values():
                assert result(cached.chat(user, {}, **ON)) == "miss"


def test_wishes_are_kept(cached: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Refresh, age, only what is cached, a life that ends; nonsense is a 400 (rule: contract)."""
    user = cached.user()
    only = cached.chat(user, {}, **{"Cache-Control": "only-if-cached"})
    assert (only.status_code, only.json()["error"]["code"]) == (504, "not_cached")
    assert (upstream.calls, cached.open_holds()) == (0, 0)
    first = cached.chat(user, {}, **ON)
    hit = cached.chat(user, {}, **{"Cache-Control": "only-if-cached"})
    assert (result(hit), text_of(hit)) == ("hit", text_of(first))
    newer = cached.chat(user, {}, **{"x-gatewayz-cache": "refresh"})
    assert (result(newer), text_of(newer) != text_of(first)) == ("miss", True)
    assert text_of(cached.chat(user, {}, **ON)) == text_of(newer)
    cached.chat(user, {}, **{"x-gatewayz-cache": "refresh"})
    aged = cached.chat(user, {}, **ON, **{"Cache-Control": "max-age=0"})
    assert result(aged) == "miss"
    assert text_of(cached.chat(user, {}, **ON)) == text_of(aged)
    short = cached.chat(user, {"seed": 1}, **{"x-gatewayz-cache": "ttl=1"})
    time.sleep(1.1)
    assert text_of(cached.chat(user, {"seed": 1}, **ON)) != text_of(short)
    for wrong in ("ttl=1000000000000000000", "ttl=-1", "ttl=soon", "maybe"):
        refused = cached.chat(user, {}, **{"x-gatewayz-cache": wrong})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_cache_wish")
    long = {"x-gatewayz-cache": "on", "idempotency-key": "k"}
    replayed = [cached.chat(user, {}, **long) for _ in range(2)]
    assert replayed[0].content == replayed[1].content
    assert replayed[1].headers["idempotent-replayed"] == "true"
    large = {"messages": [{"role": "user", "content": "x" * 900_000}]}
    assert [result(cached.chat(user, large, **ON)) for _ in range(2)] == ["miss", "hit"]


def test_streams_and_whole_answers_are_one(
    cached: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Each fills the cache for both; usage only where it was asked for (P3, rule: wire)."""
    user, streamed = cached.user(), {"stream": True}
    first = cached.chat(user, streamed, **ON)
    whole = cached.chat(user, {}, **ON)
    again = cached.chat(user, streamed, **ON)
    asked = cached.chat(user, {**streamed, "stream_options": {"include_usage": True}}, **ON)
    assert [result(each) for each in (first, whole, again, asked)] == ["miss", "hit", "hit", "hit"]
    assert len({text_of(each) for each in (first, whole, again, asked)}) == 1
    assert whole.json()["usage"]["prompt_tokens"] == 10
    assert (b'"usage"' in again.content, b'"prompt_tokens":10' in asked.content) == (False, True)
    assert again.content.endswith(b"data: [DONE]\n\n")
    other = cached.chat(user, {"seed": 2}, **ON)
    assert text_of(cached.chat(user, {"seed": 2, **streamed}, **ON)) == text_of(other)
    assert upstream.calls == 2
    ended = cached.story(user, again)
    assert (ended["stream"], ended["charged_nano_usd"]) == (True, 0)


def test_what_did_not_end_well_fills_nothing(
    cached: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Broken, an error in the stream, without a reason to end: the next is a call (P3)."""
    user = cached.user()
    begun = chunk({"role": "assistant", "content": "Half"})
    error = b'data: {"error": {"message": "no"}}\n\n'

    def plays(*pieces: bytes) -> None:
        def answer(connection: socket.socket, _: Request) -> str:
            stream(connection, *pieces)
            return "close"

        upstream.answer = answer

    for number, pieces in enumerate(
        ((begun,), (begun, error, DONE), (begun, DONE), (begun, b"data: {\n\n", DONE))
    ):
        plays(*pieces)
        for _ in range(2):
            answer = cached.chat(user, {"seed": number, "stream": True}, **ON)
            assert (answer.status_code, result(answer)) == (200, "miss")
    assert (
        cached.chat(user, {"seed": 0}, **ON, **{"Cache-Control": "only-if-cached"}).status_code
        == 504
    )


def test_other_apis_are_cached_too(cached: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Responses, Messages, completions and embeddings, each for itself (P3, rule: wire)."""
    user = cached.user()
    hello = [{"role": "user", "content": "Hi"}]
    with cached.client(user, **ON) as client:
        for path, body, end in (
            ("/v1/responses", {"input": "Hi"}, "response.completed"),
            ("/v1/messages", {"messages": hello, "max_tokens": 50}, "message_stop"),
            ("/v1/completions", {"prompt": "Hi", "max_tokens": 50}, "[DONE]"),
        ):
            told = [
                client.post(path, json={"model": "local/m", **body, "stream": streamed})
                for streamed in (True, False, True)
            ]
            assert [result(each) for each in told] == ["miss", "hit", "hit"], told[0].text
            assert all("secret answer" in each.text for each in told)
            assert end in told[2].text
        embed = {"model": "local/m", "input": "Hi"}
        vectors = [client.post("/v1/embeddings", json=embed) for _ in range(2)]
        assert [result(each) for each in vectors] == ["miss", "hit"]
        assert vectors[0].json()["data"] == vectors[1].json()["data"]
        behind = {"model": "local/m", "input": "Hi", "background": True}
        assert result(client.post("/v1/responses", json=behind)) == "bypass"


def test_a_share_of_the_price_is_held_and_charged(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Exactly, each term with its line; for all calls where the operator says so (P4)."""
    answers(upstream)
    options = {"response_cache_price_percent": 50, "response_cache_s": 60.0}
    with running_gateway(database, tmp_path / "home", upstream, **options) as gateway:
        user = gateway.user()
        first, second = gateway.chat(user, {}), gateway.chat(user, {"stream": True})
        assert (result(first), result(second)) == ("miss", "hit")
        story = gateway.story(user, second)
        whole = gateway.story(user, first)["charged_nano_usd"]
        assert story["charged_nano_usd"] * 2 == whole
        assert story["held_nano_usd"] == story["charged_nano_usd"]
        assert [each["usd_per_million"] for each in story["arithmetic"]["terms"]] == [
            "0.075",
            "0.3",
        ]
        assert "50 of 100" in story["price"]["source"]
        gateway.verified()


def test_two_gateways_find_each_others_answers(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, empty_redis: str
) -> None:
    """Where Redis keeps them, and one forgets for both (rule: bounded)."""
    answers(upstream)
    options = {"redis_url": empty_redis}
    with (
        running_gateway(database, tmp_path / "a", upstream, **options) as one,
        running_gateway(database, tmp_path / "b", upstream, **options) as two,
    ):
        user = one.user()
        assert [result(each.chat(user, {}, **ON)) for each in (one, two)] == ["miss", "hit"]
        assert upstream.calls == 1
        with redis.Redis.from_url(empty_redis) as client:
            assert [name.decode().count(NAMED) for name in client.keys(KEYS)] == [1]


def test_nothing_is_cached_unless_it_is_set(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Off by default: every request is a call (rule: contract)."""
    user = gateway.user()
    assert "x-gatewayz-cache" not in gateway.chat(user, {}).headers
    gateway.chat(user, {})
    assert len(upstream.requests) == 2
