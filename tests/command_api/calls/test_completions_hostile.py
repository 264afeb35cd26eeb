"""Completions no honest caller sends, and dishonest upstreams: bounded, refused, or charged."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.completions import (
    INSTRUCT,
    LAST,
    LOCAL,
    USED,
    ask,
    asked,
    asked_last,
    call,
    choice,
    chunks_of,
    piece,
    plays,
    says,
    serving,
    stream_of,
    text_of,
    whole,
)
from tests.support.harness import (
    DONE,
    USAGE,
    USD,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

BOTH = pytest.mark.parametrize("model", [INSTRUCT, LOCAL])


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with several providers, all played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


def without(name: str) -> dict[str, Any]:
    """A body that lacks a member."""
    return {each: value for each, value in ask().items() if each != name}


REFUSED: list[tuple[Any, str, str]] = [
    (ask(prompt=""), "empty_prompt", "prompt"),
    (ask(prompt=[]), "empty_prompt", "prompt"),
    (ask(prompt=["x", ""]), "empty_prompt", "prompt"),
    (ask(prompt=[[1], []]), "empty_prompt", "prompt"),
    (ask(prompt=[[]], suffix="x"), "empty_prompt", "prompt"),
    (ask(prompt=None), "invalid_type", "prompt"),
    (without("prompt"), "missing_required_parameter", "prompt"),
    (without("model"), "missing_required_parameter", "model"),
    (ask(prompt=7), "invalid_type", "prompt"),
    (ask(prompt={"a": 1}), "invalid_type", "prompt"),
    (ask(prompt=[1, "x"]), "invalid_type", "prompt"),
    (ask(prompt=["x", 1]), "invalid_type", "prompt"),
    (ask(prompt=[True, False]), "invalid_type", "prompt"),
    (ask(prompt=[1.5]), "invalid_type", "prompt"),
    (ask(prompt=[-1]), "invalid_type", "prompt"),
    (ask(prompt=[2**31]), "invalid_type", "prompt"),
    (ask(prompt=[10**30]), "invalid_type", "prompt"),
    (ask(prompt=[[[1]]]), "invalid_type", "prompt"),
    (ask(prompt=["x"] * 2_049), "invalid_value", "prompt"),
    (ask(prompt=[[1]] * 2_049), "invalid_value", "prompt"),
    (ask(max_tokens=-1), "invalid_value", "max_tokens"),
    (ask(max_tokens=10**18), "invalid_value", "max_tokens"),
    (ask(max_tokens=10**30), "invalid_value", "max_tokens"),
    (ask(max_tokens=1.5), "invalid_type", "max_tokens"),
    (ask(n=0), "invalid_value", "n"),
    (ask(n=-1), "invalid_value", "n"),
    (ask(n=129), "invalid_value", "n"),
    (ask(best_of=-1), "invalid_value", "best_of"),
    (ask(best_of=10**18), "invalid_value", "best_of"),
    (ask(n=3, best_of=2), "invalid_value", "best_of"),
    (ask(logprobs=-1), "invalid_value", "logprobs"),
    (ask(logprobs=10**18), "invalid_value", "logprobs"),
    (ask(logprobs=True), "invalid_type", "logprobs"),
    (ask(echo="yes"), "invalid_type", "echo"),
    (ask(suffix=7), "invalid_type", "suffix"),
    (ask(stream="yes"), "invalid_type", "stream"),
    (ask(model="m" * 300), "invalid_value", "model"),
    (ask(prompt="\0"), "invalid_text", ""),
    (ask(tools=[{"type": "web_search"}]), "extra_unpriced", "tools"),
    (ask(service_tier="priority"), "extra_unpriced", "service_tier"),
    (
        ask(model="openai/gpt-5-test", prompt=["x"] * 2_048, n=128, max_tokens=10_000_000),
        "call_too_large",
        "",
    ),
    (b"{", "invalid_json", ""),
    (b"[]", "invalid_type", ""),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_body_that_cannot_be_is_refused(served: RunningGateway, number: int) -> None:
    """In OpenAI's envelope, naming what is wrong; nothing is held (rule: refuse clearly)."""
    body, code, param = REFUSED[number]
    before = asked(served)
    user = served.user()
    got = call(served, user, body)
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (400, code), error
    assert (error["param"] or "").startswith(param)
    assert asked(served) == before
    assert served.balance(user)["available_nano_usd"] == 10 * USD


def test_nobody_calls_without_a_key(served: RunningGateway) -> None:
    """The envelope is OpenAI's here, too (rule: access)."""
    got = httpx.post(f"{served.url}/v1/completions", json=ask())
    assert (got.status_code, got.json()["error"]["code"]) == (401, "invalid_api_key")


def test_more_than_there_is_is_refused_with_what_is_affordable(served: RunningGateway) -> None:
    """Of all candidates together (P1)."""
    user = served.user(grant=1_000_000)
    got = call(served, user, ask(prompt=["x"] * 4, best_of=10, n=2, max_tokens=1_000))
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (402, "insufficient_credits")
    assert 0 < error["max_tokens_affordable"] < 13


def test_code_may_be_filled_in_before_what_follows_it(served: RunningGateway) -> None:
    """An empty prompt is one where there is a suffix (rule: contract)."""
    served.upstream.answer = says(whole("import os\n"))
    got = call(served, served.user(), ask(model="vllm/base", prompt="", suffix="os.getcwd()"))
    assert got.status_code == 200
    assert asked_last(served).body["prompt"] == ""


USAGES: list[Any] = [
    {"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 4},
    {"prompt_tokens": 10, "completion_tokens": 10**18, "total_tokens": 10**18},
    {"prompt_tokens": 10**18, "completion_tokens": 5, "total_tokens": 10**18},
    {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10},
    {"prompt_tokens": "many", "completion_tokens": 5, "total_tokens": 5},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    [1, 2],
    "none",
]


@BOTH
@pytest.mark.parametrize("number", range(len(USAGES)))
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_that_cannot_be_is_replaced(
    served: RunningGateway, number: int, stream: bool, model: str
) -> None:
    """By our own count, marked (money rule 6, P1)."""
    usage, text = USAGES[number], "Hello you"
    native = model == INSTRUCT
    parts: list[bytes] = (
        [piece(choice(text, 0, None)), LAST, piece(usage=usage), DONE]
        if native
        else [chunk({"content": text}, finish="stop"), chunk(None, usage=usage), DONE]
    )
    body = whole(text, usage=usage) if native else completion(text, usage=usage)
    served.upstream.answer = plays(*parts) if stream else says(body)
    user = served.user()
    got = call(served, user, ask(model=model, stream=stream))
    assert got.status_code == 200
    story = served.story(user, got)
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")
    assert 0 < story["usage"]["output_tokens"] < 10
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


SAYS = piece(choice("one two three", 0, None))
BROKEN: list[list[bytes]] = [
    [SAYS],
    [SAYS, b'data: {"id":"cmpl-up","choi'],
    [SAYS, b"data: {nothing}\n\n"],
    [SAYS, b"data: [1]\n\n"],
    [SAYS, b'data: {"choices": 7}\n\ndata: {"error": {"message": "No"}}\n\n'],
    [SAYS, b'data: {"error": {"message": "No", "type": "server_error"}}\n\n'],
    [SAYS, b"data: " + b"x" * 17_000_000],
]


@BOTH
@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_half_a_stream_is_charged_for_what_came(
    served: RunningGateway, number: int, model: str
) -> None:
    """With an error before its end; one that ended without [DONE] is over (money rule 4)."""
    first = SAYS if model == INSTRUCT else chunk({"content": "one two three"})
    served.upstream.answer = plays(first, *BROKEN[number][1:])
    user = served.user()
    got = call(served, user, ask(model=model, stream=True))
    told = chunks_of(got.content)
    assert text_of([each for each in told if "choices" in each]) == "one two three"
    if number:
        assert told[-1]["error"]["code"]
    story = served.story(user, got)
    assert (story["status"], story["usage"]["output_tokens"] > 2) == ("settled", True)


NOTHING: list[tuple[bytes, str]] = [
    (b"", "text/event-stream"),
    (b"<html>", "text/html"),
    (b'data: {"error": {"message": "No"}}\n\n', "text/event-stream"),
    (piece(choice("", 0, None)), "text/event-stream"),
    (piece(choice("", 0, None)) * 9_000, "text/event-stream"),
    (b": alive\n\n" * 1_000, "text/event-stream"),
    (whole(), "application/json"),
]


@pytest.mark.parametrize("number", range(len(NOTHING)))
def test_a_stream_without_output_is_an_honest_status(served: RunningGateway, number: int) -> None:
    """And free (money rule 4)."""
    body, kind = NOTHING[number]
    served.upstream.answer = says(body, headers={"content-type": kind})
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.status_code in (502, 503)
    assert got.json()["error"]["message"]
    assert served.story(user, got)["status"] == "voided"


BODIES: list[bytes] = [
    b"",
    b"[]",
    b"<html>",
    b'{"id":"cmpl-1"}',
    b'{"choices":7}',
    b'{"choices":[]}',
    b'{"error":{"message":"No"},"choices":[{"text":"x"}]}',
    b'{"choices":' + b"[" * 100_000,
]


@BOTH
@pytest.mark.parametrize("number", range(len(BODIES)))
def test_a_body_that_is_no_completion_is_a_failure(
    served: RunningGateway, number: int, model: str
) -> None:
    """And free (money rule 4)."""
    served.upstream.answer = says(BODIES[number])
    user = served.user()
    got = call(served, user, ask(model=model))
    assert got.status_code in (502, 503)
    assert served.story(user, got)["status"] == "voided"


@BOTH
def test_a_stream_without_an_end_is_cut_at_its_maximum(served: RunningGateway, model: str) -> None:
    """With the finish reason and usage of one that reached it (money rule 2, P1)."""
    more = (
        piece(choice("word " * 50, 0, None))
        if model == INSTRUCT
        else chunk({"content": "word " * 50})
    )

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return
        begin_stream(connection)
        try:
            for _ in range(100_000):
                send_piece(connection, more)
        except OSError:
            return

    served.upstream.answer = answer
    user = served.user()
    body = ask(model=model, stream=True, stream_options={"include_usage": True})
    got = call(served, user, body)
    told = chunks_of(got.content)
    assert told[-2]["choices"][0]["finish_reason"] == "length"
    assert told[-2]["choices"][0]["text"] == ""
    story = eventually(lambda: (found := served.story(user, got))["status"] == "settled" and found)
    assert told[-1]["usage"]["completion_tokens"] == story["usage"]["output_tokens"] == 20
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


def test_an_echo_that_never_ends_is_cut(served: RunningGateway) -> None:
    """It is allowed for its own prompt's length, and nothing beside (money rule 2, P1)."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return
        begin_stream(connection)
        try:
            for _ in range(100_000):
                send_piece(connection, piece(choice("word " * 50, 0, None)))
        except OSError:
            return

    served.upstream.answer = answer
    user = served.user()
    got = call(served, user, ask(stream=True, echo=True, prompt="word " * 100, max_tokens=0))
    assert len(got.content) < 100_000
    story = eventually(lambda: (found := served.story(user, got))["status"] == "settled" and found)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


@BOTH
@pytest.mark.parametrize("seed", range(6))
def test_it_does_not_matter_where_reads_end(served: RunningGateway, seed: int, model: str) -> None:
    """The same text, ends and usage, split at any bytes (rule: wire, money rule 6)."""
    text = "naïve 東京 😀 \\u0041\n"
    parts = (
        [piece(choice(each, 0, None)) for each in text] + [LAST, USED, DONE]
        if model == INSTRUCT
        else [chunk({"content": each}) for each in text] + [chunk({}, finish="stop"), USAGE, DONE]
    )
    dice, body = random.Random(seed), b"".join(parts)
    cuts = sorted({dice.randrange(1, len(body)) for _ in range(60)})
    served.upstream.answer = plays(
        *(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True))
    )
    user = served.user()
    options = {"include_usage": True}
    got = call(served, user, ask(model=model, stream=True, stream_options=options))
    told = chunks_of(got.content)
    assert text_of(told) == text
    assert told[-2]["choices"][0]["finish_reason"] == "stop"
    assert told[-1]["usage"]["completion_tokens"] == 5
    assert served.story(user, got)["usage"]["source"] == "provider"


def test_the_end_comes_twice_and_is_charged_once(served: RunningGateway) -> None:
    """What comes behind [DONE] is nothing (P3)."""
    parts = [*stream_of("Hello."), piece(choice("more")), piece(usage={}), DONE]
    served.upstream.answer = plays(*parts)
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert text_of(chunks_of(got.content)) == "Hello."
    assert served.story(user, got)["settled_nano_usd"] == 25_000


def test_another_users_call_is_not_told(served: RunningGateway) -> None:
    """Its story is its owner's (P5)."""
    served.upstream.answer = says(whole())
    got = call(served, served.user(), ask())
    with served.client(served.user()) as client:
        assert client.get(f"/v1/calls/{got.headers['x-gatewayz-call-id']}").status_code == 404
