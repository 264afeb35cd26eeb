"""Failover, hedging and the caller's say in them: one charge whatever happens (P3)."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    DONE,
    USAGE,
    RunningGateway,
    ScriptedUpstream,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    send_piece,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

    Answer = Callable[[socket.socket, Request], Any]

NAMES = ("first", "second", "third")
OUTPUT_PRICES = {"first": "1", "second": "2", "third": "4"}


class Fleet:
    """A gateway with three providers of one model, each with an upstream of its own."""

    def __init__(self, gateway: RunningGateway, upstreams: dict[str, ScriptedUpstream]) -> None:
        """Keep both."""
        self.gateway, self.upstreams = gateway, upstreams
        self.user = gateway.user()

    def answers(self, **by_name: Answer) -> None:
        """Let upstreams answer so; all others answer well, with their own name."""
        for name, upstream in self.upstreams.items():
            upstream.requests.clear()
            upstream.answer = by_name.get(name) or good(name)

    def asked(self) -> str:
        """Which upstreams were asked, by their first letters."""
        return "".join(name[0] for name, each in self.upstreams.items() if each.requests)

    def call(self, **body: Any) -> Any:
        """One call of the model that all three offer."""
        return self.gateway.chat(self.user, {"model": "org/model", **body})

    def settled_by(self, answer: Any) -> tuple[str, list[tuple[str, str | None]]]:
        """Who is charged for, and every attempt with its error."""
        story = self.gateway.story(self.user, answer)
        assert story["status"] == "settled"
        price = int(OUTPUT_PRICES[story["provider"]])
        assert story["settled_nano_usd"] == 10 * 1_000 + 5 * price * 1_000
        assert story["held_nano_usd"] >= story["settled_nano_usd"]
        assert story["price"]["output_per_million"] == OUTPUT_PRICES[story["provider"]]
        assert story["attempts"][-1]["cost_nano_usd"] == story["settled_nano_usd"]
        tried = [(each["provider"], each.get("error")) for each in story["attempts"]]
        return story["provider"], tried


def good(name: str) -> Answer:
    """A good answer, whole or streamed, that says who gave it."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.body.get("stream"):
            stream(connection, chunk({"role": "assistant"}), chunk({"content": name}), USAGE, DONE)
        else:
            reply(connection, completion(name))

    return answer


def status(code: int, **headers: str) -> Answer:
    """An error status."""
    body = json.dumps({"error": {"message": "no", "type": "x"}}).encode()
    return lambda connection, _: reply(connection, body, status=code, headers=headers)


def providers_toml(upstreams: dict[str, ScriptedUpstream], routing: str = "") -> str:
    """The providers file."""
    return (
        "".join(
            f"""
[[provider]]
name = "{name}"
base_url = "{each.base_url}"
[[provider.model]]
id = "org/model"
input_per_million = "1"
output_per_million = "{OUTPUT_PRICES[name]}"
max_output_tokens = 1000
"""
            for name, each in upstreams.items()
        )
        + routing
    )


@pytest.fixture
def upstreams() -> Iterator[dict[str, ScriptedUpstream]]:
    """Three upstreams."""
    made = {name: ScriptedUpstream(good(name)) for name in NAMES}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def fleet(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> Iterator[Fleet]:
    """All of it, with breakers that do not get in the way."""
    with running_gateway(
        database,
        tmp_path / "home",
        upstream,
        providers=providers_toml(upstreams),
        breaker_failures=1_000,
        breaker_open_s=0.5,
    ) as made:
        yield Fleet(made, upstreams)
        made.verified()


def broken(connection: socket.socket, _: Request) -> str:
    """The reply breaks off."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    return "close"


FAILURES: list[tuple[str, Answer]] = [
    *((f"status_{code}", status(code)) for code in (401, 402, 403, 404, 408, 409, 500, 503, 529)),
    ("broken_reply", broken),
    ("unusable_reply", lambda connection, _: reply(connection, b"")),
    ("unusable_reply", lambda connection, _: reply(connection, b"<html>")),
    (
        "status_502",
        lambda connection, _: reply(connection, b'{"error":{"code":502,"message":"no"}}'),
    ),
    ("error", lambda connection, _: reply(connection, b'{"error":"no"}')),
    # The last one, for it lets the first provider cool down.
    ("status_429", status(429)),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_each_failure_before_output_is_answered_by_the_next(fleet: Fleet, streamed: bool) -> None:
    """The failed attempt is on record and free; who answered sets the price (P3, money rule 4)."""
    for error, answer in FAILURES:
        fleet.answers(first=answer)
        got = fleet.call(stream=streamed)
        assert got.status_code == 200, got.text
        assert "second" in got.text
        assert got.headers["x-gatewayz-provider"] == "second"
        assert fleet.settled_by(got) == ("second", [("first", error), ("second", None)])


def test_a_provider_that_is_away_is_passed_over(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """Nobody listens at the first address: the next is asked (P3, rule: routing)."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = upstreams["first"].base_url
    text = providers_toml(upstreams).replace(address, f"http://127.0.0.1:{port}/v1")
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        fleet = Fleet(made, upstreams)
        got = fleet.call()
        assert fleet.settled_by(got) == ("second", [("first", "connect_error"), ("second", None)])


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_request_that_is_wrong_is_nobody_elses(fleet: Fleet, code: int) -> None:
    """The caller's fault goes back to him; the call is free (money rule 4, rule: routing)."""
    fleet.answers(first=status(code))
    got = fleet.call()
    assert (got.status_code, fleet.asked()) == (code, "f")
    story = fleet.gateway.story(fleet.user, got)
    assert (story["status"], story["settled_nano_usd"]) == ("voided", 0)


def test_a_bad_key_said_with_400_is_ours_to_mend(fleet: Fleet) -> None:
    """xAI and Gemini say so; another provider is asked (rule: routing)."""
    body = b'{"code":"x","error":"Incorrect API key provided: sk***."}'
    fleet.answers(first=lambda connection, _: reply(connection, body, status=400))
    assert fleet.settled_by(fleet.call())[0] == "second"


def test_comments_and_roles_are_no_output(fleet: Fleet) -> None:
    """A stream that breaks before output fails over, its beginning kept back (money rule 4)."""

    def silent(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        send_piece(connection, b": PROCESSING\n\n")
        send_piece(connection, chunk({"role": "assistant", "content": ""}))
        return "close"

    fleet.answers(first=silent)
    got = fleet.call(stream=True)
    assert fleet.settled_by(got)[0] == "second"
    assert "PROCESSING" not in got.text
    assert got.text.count('"role"') == 1


def test_after_output_there_is_no_going_back(fleet: Fleet) -> None:
    """An error chunk ends the stream; what was made is charged, once (P3, money rule 4)."""

    def half(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        send_piece(connection, chunk({"content": "half"}))
        return "close"

    fleet.answers(first=half)
    got = fleet.call(stream=True)
    assert fleet.asked() == "f"
    assert "half" in got.text
    assert '"error"' in got.text
    assert got.text.endswith("data: [DONE]\n\n")
    story = fleet.gateway.story(fleet.user, got)
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")


def test_when_all_fail_the_last_failure_is_told_and_nothing_charged(fleet: Fleet) -> None:
    """Three attempts on record, one void (P3, money rule 4)."""
    fleet.answers(first=status(500), second=status(503), third=status(429, **{"retry-after": "7"}))
    got = fleet.call()
    assert (got.status_code, got.headers["retry-after"]) == (429, "7")
    story = fleet.gateway.story(fleet.user, got)
    assert story["status"] == "voided"
    assert [each["status"] for each in story["attempts"]] == [500, 503, 429]


def test_a_named_provider_is_the_only_one(fleet: Fleet) -> None:
    """`provider/model` pins the call: no failover, no alias (rule: routing)."""
    fleet.answers(first=status(500))
    got = fleet.call(model="first/org/model")
    assert (got.status_code, fleet.asked()) == (502, "f")


def test_a_list_of_models_is_tried_in_its_order(fleet: Fleet) -> None:
    """`models` are fallbacks, and do not reach the provider (rule: routing)."""
    fleet.answers(third=status(500))
    got = fleet.call(model="third/org/model", models=["second/org/model"])
    assert fleet.settled_by(got) == ("second", [("third", "status_500"), ("second", None)])
    assert "models" not in fleet.upstreams["second"].requests[-1].body
    unknown = fleet.call(models=["no/such"])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


WISHES: list[tuple[Any, str]] = [
    ("second", "second"),
    ({"order": ["third", "first"]}, "third"),
    ({"only": ["second"]}, "second"),
    ({"ignore": ["first"]}, "second"),
    ({"sort": "price"}, "first"),
    ({"order": ["third"], "max_price": {"completion": 2}}, "first"),
    ({"order": ["anthropic", "second"], "allow_fallbacks": False}, "second"),
]


@pytest.mark.parametrize(("wish", "expected"), WISHES)
def test_the_caller_has_a_say(fleet: Fleet, wish: Any, expected: str) -> None:
    """OpenRouter's `provider` object, or a name; it does not reach the provider (rule: routing)."""
    fleet.answers()
    got = fleet.call(provider=wish, portkey_provider="openai")
    assert fleet.settled_by(got)[0] == expected
    assert "portkey_provider" not in fleet.upstreams[expected].requests[-1].body
    assert "provider" not in fleet.upstreams[expected].requests[-1].body


BAD_WISHES: list[tuple[Any, int, str]] = [
    ("nobody", 400, "unknown_provider"),
    ("groq", 400, "unknown_provider"),
    ({"order": ["anthropic"], "allow_fallbacks": False}, 404, "no_provider_fits"),
    ({"max_price": {"prompt": "0.5"}}, 404, "no_provider_fits"),
    ({"sort": "beauty"}, 400, "invalid_value"),
    ({"order": "first"}, 400, "invalid_type"),
    (7, 400, "invalid_type"),
]


@pytest.mark.parametrize(("wish", "code", "name"), BAD_WISHES)
def test_wishes_that_cannot_be_met_are_told(fleet: Fleet, wish: Any, code: int, name: str) -> None:
    """With what is wrong, before anything is held (rule: refuse clearly)."""
    fleet.answers()
    got = fleet.call(provider=wish)
    assert (got.status_code, got.json()["error"]["code"]) == (code, name)
    assert fleet.asked() == ""
    assert fleet.gateway.open_holds() == 0


def test_a_named_provider_is_stronger_than_the_models_id(fleet: Fleet) -> None:
    """`first/org/model` may be a model of the named provider; if not, 404 (rule: routing)."""
    fleet.answers()
    assert fleet.settled_by(fleet.call(model="first/org/model", provider="first"))[0] == "first"
    got = fleet.call(model="first/org/model", provider="second")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "no_provider_fits")
    assert fleet.asked() == "f"


def test_a_provider_that_is_limited_is_left_alone_for_as_long_as_it_says(fleet: Fleet) -> None:
    """Retry-After puts it last; afterwards it is first again (rule: routing)."""
    fleet.answers(first=status(429, **{"retry-after": "1"}))
    assert fleet.settled_by(fleet.call())[1][0] == ("first", "status_429")
    fleet.answers()
    assert fleet.settled_by(fleet.call())[0] == "second"
    eventually(lambda: fleet.settled_by(fleet.call())[0] == "first", 5)


def test_the_only_provider_is_asked_even_when_it_is_limited(fleet: Fleet) -> None:
    """A pinned call has nobody else: the provider's own answer goes through (rule: routing)."""
    fleet.answers(first=status(429, **{"retry-after": "60"}))
    assert fleet.call(model="first/org/model").status_code == 429
    fleet.answers()
    assert fleet.call(model="first/org/model").status_code == 200


def test_a_breaker_keeps_calls_from_a_broken_provider(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """Open after two failures, one probe after a while, closed after a success (rule: routing)."""
    with running_gateway(
        database,
        tmp_path / "home",
        upstream,
        providers=providers_toml(upstreams),
        breaker_failures=2,
        breaker_open_s=3,
        breaker_successes=1,
    ) as made:
        fleet = Fleet(made, upstreams)
        fleet.answers(first=status(500))
        for _ in range(2):
            assert len(fleet.settled_by(fleet.call())[1]) == 2
        assert fleet.settled_by(fleet.call()) == ("second", [("second", None)])
        time.sleep(3.1)
        assert len(fleet.settled_by(fleet.call())[1]) == 2, "the probe"
        assert fleet.settled_by(fleet.call()) == ("second", [("second", None)])
        fleet.answers()
        time.sleep(3.1)
        assert fleet.settled_by(fleet.call())[0] == "first"


def test_attempts_have_a_cap_and_a_call_a_deadline(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """Two of three are tried; a silent stream's turn ends in time, and its call (rule: bounded)."""

    def silent(connection: socket.socket, _: Request) -> None:
        time.sleep(4)
        connection.close()

    with running_gateway(
        database,
        tmp_path / "home",
        upstream,
        providers=providers_toml(upstreams),
        attempts_max=2,
        first_output_s=0.3,
        call_deadline_s=1.0,
    ) as made:
        fleet = Fleet(made, upstreams)
        fleet.answers(first=status(500), second=status(500))
        assert fleet.call().status_code == 502
        assert fleet.asked() == "fs"
        fleet.answers(first=silent)
        got = fleet.call(stream=True)
        assert fleet.settled_by(got) == ("second", [("first", "timeout"), ("second", None)])
        fleet.answers(first=silent, second=silent)
        began = time.monotonic()
        got = fleet.call(stream=True)
        assert got.status_code == 504
        assert time.monotonic() - began < 3, "the deadline is a second, the silence four"
        assert fleet.gateway.story(fleet.user, got)["status"] == "voided"


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_a_hedge_asks_the_next_when_the_first_is_slow(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
    streamed: bool,
) -> None:
    """The quicker one wins, the other is given up, and one of them is charged (P3)."""

    def slow(connection: socket.socket, request: Request) -> None:
        time.sleep(3)
        good("first")(connection, request)

    routing = "[routing]\nhedge_after_ms = 100\n"
    with running_gateway(
        database, tmp_path / "home", upstream, providers=providers_toml(upstreams, routing)
    ) as made:
        fleet = Fleet(made, upstreams)
        fleet.answers(first=slow)
        began = time.monotonic()
        got = fleet.call(stream=streamed)
        assert time.monotonic() - began < 2.5, "the first is silent for three seconds"
        found = fleet.settled_by(got)
        assert found == ("second", [("first", "cancelled"), ("second", None)])
        assert fleet.asked() == "fs"
        fleet.answers()
        assert fleet.settled_by(fleet.call(stream=streamed)) == ("first", [("first", None)])
        assert fleet.asked() == "f"
        made.verified()


def test_the_hold_covers_the_dearest_that_may_answer_and_narrows_when_it_must(
    fleet: Fleet,
) -> None:
    """Never more than was held; few credits narrow what is tried (P1, money rule 2)."""
    fleet.answers(first=status(500), second=status(500))
    got = fleet.call(max_tokens=100)
    story = fleet.gateway.story(fleet.user, got)
    assert story["provider"] == "third"
    assert story["held_nano_usd"] >= 100 * 4_000
    assert [each["provider"] for each in story["alternatives"]] == ["second", "third"]
    poor = fleet.gateway.user(grant=150_000)
    fleet.answers()
    got = fleet.gateway.chat(poor, {"model": "org/model", "max_tokens": 100})
    assert got.status_code == 200
    story = fleet.gateway.story(poor, got)
    assert (story["provider"], story["alternatives"]) == ("first", [])


def test_a_key_is_one_charge_over_failover(fleet: Fleet) -> None:
    """The replay is the answer of the one that gave it, and costs nothing (P3, money rule 8)."""
    fleet.answers(first=status(500))
    first = fleet.gateway.chat(fleet.user, {"model": "org/model"}, **{"idempotency-key": "k"})
    again = fleet.gateway.chat(fleet.user, {"model": "org/model"}, **{"idempotency-key": "k"})
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-gatewayz-provider"] == "second"
    assert fleet.settled_by(first) == fleet.settled_by(again)


def test_a_providers_words_never_hold_its_key(
    gateway: RunningGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Before output and after it, in the answer and in the log (rule: access)."""
    quoted = b'{"error":{"message":"bad key sk-up here","code":500}}'
    user = gateway.user()
    upstream.answer = lambda connection, _: reply(connection, quoted, status=500)
    whole, before = gateway.chat(user, {}), gateway.chat(user, {"stream": True})
    upstream.answer = lambda connection, _: stream(
        connection, chunk({"content": "a"}), b"data: %b\n\n" % quoted, pause_s=0.02
    )
    after = gateway.chat(user, {"stream": True})
    for each in (whole, before, after):
        assert "bad key [hidden] here" in each.text
        assert "sk-up" not in each.text
    assert "sk-up" not in caplog.text


def test_what_an_event_keeps_of_a_providers_id_is_short(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """200 kB of it do not become part of the log, nor do control characters (rule: bounded)."""
    body = completion(id="up\x00-" + "x" * 200_000)
    upstream.answer = lambda connection, _: reply(connection, body)
    user = gateway.user()
    kept = gateway.story(user, gateway.chat(user, {}))["provider_request_id"]
    assert kept.startswith("up-x")
    assert len(kept) <= 200
