"""The bound of a call's output: held, watched, cut, and never charged beyond (money rule 2)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    DONE,
    USAGE,
    USD,
    begin_stream,
    chunk,
    completion,
    reply,
    running_gateway,
    send_piece,
    stream,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

WORDS = chunk({"content": "word " * 400})
"""2,000 characters: 500 tokens by our count."""
END = chunk({}, finish="stop")


def told(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    """A report of usage."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        **more,
    }


def endless(pieces: int = 200) -> Any:
    """A stream that goes on whatever maximum it was told; 100,000 tokens of it."""

    def answer(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        for _piece in range(pieces):
            send_piece(connection, WORDS)
            time.sleep(0.002)
        send_piece(connection, END + chunk(None, usage=told(10, 100_000)) + DONE)
        connection.sendall(b"0\r\n\r\n")
        return "close"

    return answer


@pytest.mark.parametrize("names", [("max_completion_tokens", "max_tokens")])
def test_the_larger_of_two_maxima_is_held(
    gateway: RunningGateway, upstream: ScriptedUpstream, names: tuple[str, str]
) -> None:
    """Both reach the provider, who may obey either (money rule 2)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    user = gateway.user()
    one, two = names
    for small, large in (names, (two, one)):
        got = gateway.chat(user, {small: 1, large: 1_000})
        assert gateway.story(user, got)["held_nano_usd"] >= 1_000 * 600
        assert (upstream.requests[-1].body[small], upstream.requests[-1].body[large]) == (1, 1_000)


@pytest.mark.parametrize("most", [1, 100])
def test_a_stream_that_ignores_its_maximum_is_cut_and_charged_up_to_it(
    gateway: RunningGateway, upstream: ScriptedUpstream, most: int
) -> None:
    """The caller pays for what he asked for; the rest is the attempt's cost, and on record
    (P1, money rule 2).
    """
    upstream.answer = endless()
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "max_tokens": most})
    events = [line[6:] for line in got.content.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"
    assert len(got.content) < 40_000, "the provider would have sent 400,000"
    story = gateway.story(user, got)
    usage = story["usage"]
    assert (usage["output_tokens"], usage["source"]) == (most, "estimated")
    assert story["settled_nano_usd"] <= story["held_nano_usd"]
    assert story["house_loss_nano_usd"] == 0
    (attempt,) = story["attempts"]
    assert attempt["error"] == "maximum_ignored"
    assert attempt["cost_nano_usd"] > story["settled_nano_usd"]
    gateway.verified()


def test_one_piece_that_holds_it_all_is_cut_too(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """However the bytes come, and even with the stream's end in them (money rule 2)."""
    body = chunk({"content": "Hello"}) + WORDS * 100 + END + USAGE + DONE
    upstream.answer = lambda connection, _: stream(connection, body)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "max_tokens": 5})
    assert b"Hello" in got.content
    assert got.content.endswith(DONE)
    assert len(got.content) < 4_000
    assert gateway.story(user, got)["usage"]["output_tokens"] == 5


REPORTS: list[tuple[str, dict[str, Any], int]] = [
    ("beyond what can be", told(10, 16_000), 10),
    ("a little more", told(10, 40), 10),
    ("what ends it", told(10, 13), 13),
    ("as asked", told(10, 10), 10),
    (
        "reasoning inside",
        told(10, 295, completion_tokens_details={"reasoning_tokens": 287}),
        295,
    ),
    (
        "reasoning beside",
        {
            **told(10, 8),
            "total_tokens": 305,
            "completion_tokens_details": {"reasoning_tokens": 287},
        },
        295,
    ),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("report", "charged"), [each[1:] for each in REPORTS])
def test_an_answer_is_charged_at_most_its_maximum(
    gateway: RunningGateway,
    upstream: ScriptedUpstream,
    report: dict[str, Any],
    charged: int,
    streamed: bool,
) -> None:
    """Reasoning beside it is the provider's own count (money rule 2, money rule 6)."""
    text = "four" * 10
    pieces = (chunk({"content": text}), END, chunk(None, usage=report), DONE)
    upstream.answer = lambda connection, request: (
        stream(connection, *pieces)
        if request.body.get("stream")
        else reply(connection, completion(text, usage=report))
    )
    user = gateway.user()
    got = gateway.chat(user, {"max_tokens": 10, "stream": streamed})
    story = gateway.story(user, got)
    assert story["usage"]["output_tokens"] == charged
    if not streamed:
        assert round(got.json()["usage"]["cost"] * USD) == story["settled_nano_usd"]
    assert story["attempts"][0]["cost_nano_usd"] >= story["settled_nano_usd"]


def test_a_long_reasoning_is_not_cut_by_the_answers_maximum(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """It passes up to what the model can make (money rule 2)."""
    thought = chunk({"reasoning_content": "hm " * 700})
    usage = told(10, 5_000, completion_tokens_details={"reasoning_tokens": 4_990})
    upstream.answer = lambda connection, _: stream(
        connection, *[thought] * 10, chunk({"content": "yes"}), END, chunk(None, usage=usage), DONE
    )
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "max_tokens": 10})
    assert b"yes" in got.content
    assert gateway.story(user, got)["usage"]["output_tokens"] == 5_000


THOUGHT = chunk({"reasoning_content": "hm " * 40})
"""30 tokens by our count."""


def reasoned(pieces: int, usage: dict[str, Any] | None) -> Any:
    """A stream of so many thoughts, an answer, and a report."""

    def answer(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        for _piece in range(pieces):
            send_piece(connection, THOUGHT)
            time.sleep(0.002)
        send_piece(connection, chunk({"content": "yes"}) + END)
        send_piece(connection, (chunk(None, usage=usage) if usage else b"") + DONE)
        connection.sendall(b"0\r\n\r\n")
        return "close"

    return answer


def extensions(story: dict[str, Any]) -> int:
    """How often more was held."""
    return sum("extended" in each["type"].lower() for each in story["events"])


@pytest.mark.parametrize("reported", [True, False], ids=["reported", "counted"])
def test_reasoning_beside_a_maximum_is_held_for(
    gateway: RunningGateway, upstream: ScriptedUpstream, reported: bool
) -> None:
    """Whoever set the maximum: the hold grows with it, and covers the charge (P1, money rule 2)."""
    usage = told(10, 9_001, completion_tokens_details={"reasoning_tokens": 9_000})
    upstream.answer = reasoned(300, usage if reported else None)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "max_tokens": 1})
    assert b"yes" in got.content
    story = gateway.story(user, got)
    assert (story["usage"]["output_tokens"], story["usage"]["reasoning_tokens"]) == (9_001, 9_000)
    assert 1 <= extensions(story) <= 4
    assert story["house_loss_nano_usd"] == 0
    assert story["held_nano_usd"] >= story["settled_nano_usd"] >= 9_001 * 600
    gateway.verified()


def test_reasoning_that_the_credits_do_not_cover_ends_the_stream(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """With an error chunk, settled for what was made; little is the house's (P1, money rule 2)."""
    usage = told(10, 16_001, completion_tokens_details={"reasoning_tokens": 16_000})
    upstream.answer = reasoned(530, usage)
    for grant, cut_after in ((20_000, 300), (600_000, 1_300)):
        user = gateway.user(grant=grant)
        got = gateway.chat(user, {"stream": True, "max_tokens": 1})
        last, done = [line[6:] for line in got.content.split(b"\n\n") if line][-2:]
        assert (json.loads(last)["error"]["code"], done) == ("insufficient_credits", b"[DONE]")
        story = gateway.story(user, got)
        assert story["usage"]["source"] == "estimated"
        assert 0.9 * grant < story["settled_nano_usd"] <= grant
        assert story["usage"]["reasoning_tokens"] == story["usage"]["output_tokens"] < cut_after
        assert story["house_loss_nano_usd"] < 300 * 600
        assert story["attempts"][0]["error"] == "insufficient_credits"
    gateway.verified()


def test_reasoning_within_a_maximum_needs_no_further_credits(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Most providers count it against the maximum: who obeys is not cut (money rule 2)."""
    usage = told(10, 1_000, completion_tokens_details={"reasoning_tokens": 999})
    upstream.answer = reasoned(40, usage)
    user = gateway.user(grant=10_000 * 150 + 1_000 * 600)
    story = gateway.story(user, gateway.chat(user, {"stream": True, "max_tokens": 1_000}))
    assert (story["usage"]["output_tokens"], extensions(story)) == (1_000, 0)


def test_a_maximum_is_sent_when_the_account_could_not_pay_for_the_whole_output(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Under the name that the model understands, and only then (money rule 2)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    providers = f"""
[[provider]]
name = "theirs"
base_url = "{upstream.base_url}"
[[provider.model]]
id = "gpt-5-mini"
input_per_million = "0.15"
output_per_million = "0.60"
max_output_tokens = 100000
"""
    with running_gateway(database, tmp_path / "home", upstream, providers=providers) as gateway:
        rich, poor = gateway.user(), gateway.user(grant=4_000_000)
        for user, model, expected in (
            (rich, "local/m", {}),
            (poor, "local/m", {"max_tokens": 4_096}),
            (rich, "theirs/gpt-5-mini", {}),
            (poor, "theirs/gpt-5-mini", {"max_completion_tokens": 4_096}),
            (poor, "local/free", {}),
        ):
            assert gateway.chat(user, {"model": model}).status_code == 200
            sent = upstream.requests[-1].body
            assert {name: sent[name] for name in sent if name.startswith("max_")} == expected
        gateway.chat(poor, {"max_tokens": 7})
        assert upstream.requests[-1].body["max_tokens"] == 7


def test_an_account_that_costs_the_house_too_much_is_refused_for_the_day(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """By name, and nobody else with it; what it costs beyond its credits has a limit too
    (money rule 3, rule: bounded).
    """
    usage = told(10, 180)
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    with running_gateway(
        database, tmp_path / "home", upstream, house_loss_day_max_nano_usd=90_000
    ) as gateway:
        poor, other = gateway.user(), gateway.user()
        got = gateway.chat(poor, {"max_tokens": 100})
        assert got.status_code == 200
        story = gateway.story(poor, got)
        assert story["settled_nano_usd"] == 10 * 150 + 100 * 600
        assert story["attempts"][0]["cost_nano_usd"] == 10 * 150 + 180 * 600
        assert gateway.chat(poor, {"max_tokens": 100}).status_code == 200
        got = gateway.chat(poor, {"max_tokens": 100})
        assert (got.status_code, got.json()["error"]["code"]) == (429, "house_loss_limit")
        assert 0 < int(got.headers["retry-after"]) <= 86_400
        assert gateway.chat(other, {"max_tokens": 100}).status_code == 200
        gateway.verified()


def test_a_cost_above_hold_and_credits_counts_as_a_loss_of_the_day(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """What is named on the event is counted (money rule 3)."""
    upstream.answer = lambda connection, _: reply(connection, completion(usage=told(100_000, 10)))
    with running_gateway(
        database, tmp_path / "home", upstream, house_loss_day_max_nano_usd=1
    ) as gateway:
        user = gateway.user(grant=100_000)
        got = gateway.chat(user, {"max_tokens": 100})
        assert gateway.story(user, got)["house_loss_nano_usd"] > 0
        got = gateway.chat(user, {"max_tokens": 1})
        assert (got.status_code, got.json()["error"]["code"]) == (429, "house_loss_limit")
        gateway.verified()
