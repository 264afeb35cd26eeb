"""Providers that are at their limit: the next offer, a bounded wait, or an honest refusal."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.test_failover import NAMES, Fleet, good, providers_toml, status
from tests.support.admins import ask, new_admin
from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    ScriptedUpstream,
    begin_stream,
    chunk,
    eventually,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

ONE = "concurrency = {{ least = 1, most = {most} }}\n"


def limited(upstreams: dict[str, ScriptedUpstream], **most: int) -> str:
    """The providers file, with limits."""
    text = providers_toml(upstreams)
    for name, count in most.items():
        line = f'name = "{name}"\n'
        text = text.replace(line, line + ONE.format(most=count))
    return text


class Held:
    """A provider's answer that waits for the test, a stream behind its first output."""

    def __init__(self, name: str) -> None:
        self.go_on, self.came, self._name = threading.Event(), 0, name

    def has_come(self) -> bool:
        """Whether one request came."""
        return self.came == 1

    def __call__(self, connection: socket.socket, request: Request) -> None:
        self.came += 1
        if not request.body.get("stream"):
            self.go_on.wait(30)
            good(self._name)(connection, request)
            return
        begin_stream(connection)
        send_piece(connection, chunk({"content": self._name}))
        self.go_on.wait(30)
        for each in (chunk({}, finish="stop"), USAGE, DONE):
            send_piece(connection, each)
        connection.sendall(b"0\r\n\r\n")


@pytest.fixture
def upstreams() -> Iterator[dict[str, ScriptedUpstream]]:
    """Three of them."""
    made = {name: ScriptedUpstream(good(name)) for name in NAMES}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def narrow(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> Iterator[Fleet]:
    """One call at each of the first two, which is all that there is to choose from."""
    pair = {name: upstreams[name] for name in NAMES[:2]}
    text = limited(pair, first=1, second=1)
    home = tmp_path / "home"
    with running_gateway(
        *(database, home, upstream), providers=text, provider_wait_s=3.0, breaker_failures=1_000
    ) as made:
        yield Fleet(made, pair)
        made.verified()


def at(gateway: RunningGateway, provider: str) -> dict[str, float]:
    """What Prometheus is told of the calls at a provider."""
    text = httpx.get(f"{gateway.url}/metrics", timeout=20).text
    found = {}
    for line in text.splitlines():
        if line.startswith("gatewayz_provider_") and f'provider="{provider}"' in line:
            name, _, value = line.rpartition(" ")
            found[name.partition("{")[0].removeprefix("gatewayz_provider_")] = float(value)
    return found


def occupied(
    narrow: Fleet, pool: ThreadPoolExecutor, held: dict[str, Held], *, stream: bool
) -> list[Future[httpx.Response]]:
    """A call at each of them, one after the other, that waits for the test."""
    calls = []
    for each in held.values():
        calls.append(pool.submit(narrow.call, stream=stream))
        assert eventually(each.has_come)
    return calls


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_a_full_provider_is_passed_over_without_a_request(narrow: Fleet, streamed: bool) -> None:
    """A stream counts until its end. Where nobody has room the call waits, and is refused: nothing
    is held any more, nothing was charged (money rule 4, P2, rule: bounded).
    """
    held = {name: Held(name) for name in NAMES[:2]}
    narrow.answers(**held)
    with ThreadPoolExecutor() as pool:
        calls = occupied(narrow, pool, held, stream=streamed)
        began = time.monotonic()
        refused = narrow.call(stream=streamed)
        assert 2.9 < time.monotonic() - began < 10
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (503, "providers_busy"), refused.text
        assert refused.headers["retry-after"] == "2"
        assert "Nothing was charged" in error["message"]
        story = narrow.gateway.story(narrow.user, refused)
        assert (story["status"], story["settled_nano_usd"]) == ("voided", 0)
        assert story["attempts"] == []
        assert narrow.gateway.open_holds() == 2
        assert {name: each.came for name, each in held.items()} == {"first": 1, "second": 1}
        for each in held.values():
            each.go_on.set()
        first, second = (each.result() for each in calls)
        assert narrow.settled_by(first) == ("first", [("first", None)])
        assert narrow.settled_by(second) == ("second", [("second", None)])
    assert narrow.settled_by(narrow.call())[0] == "first"
    eventually(lambda: at(narrow.gateway, "first")["calls_in_flight"] == 0)
    found = at(narrow.gateway, "first")
    assert (found["calls_limit"], found["calls_waiting"]) == (1, 0)
    assert found["calls_passed_over_total"] == 1


def test_a_call_that_waits_goes_where_room_comes_first(narrow: Fleet) -> None:
    """Before its time is over; it is charged once, for who answered (P3)."""
    held = {name: Held(name) for name in NAMES[:2]}
    narrow.answers(**held)
    with ThreadPoolExecutor() as pool:
        calls = occupied(narrow, pool, held, stream=True)
        third = pool.submit(narrow.call)
        assert eventually(lambda: at(narrow.gateway, "second")["calls_waiting"] == 1)
        held["second"].go_on.set()
        assert narrow.settled_by(third.result()) == ("second", [("second", None)])
        held["first"].go_on.set()
        assert [each.result().status_code for each in calls] == [200, 200]
    assert eventually(lambda: at(narrow.gateway, "first")["calls_in_flight"] == 0)
    assert at(narrow.gateway, "first")["calls_waiting"] == 0


def test_a_caller_who_hangs_up_while_he_waits_is_let_go_at_once(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """His hold is released long before the wait would end (money rule 5)."""
    only = {"first": upstreams["first"]}
    held = Held("first")
    upstreams["first"].answer = held
    with running_gateway(
        *(database, tmp_path / "home", upstream),
        providers=limited(only, first=1),
        provider_wait_s=60.0,
    ) as gateway:
        user = gateway.user()
        with ThreadPoolExecutor() as pool, gateway.client(user) as client:
            body = {**ASK, "model": "org/model", "stream": True}
            busy = pool.submit(gateway.chat, user, body)
            assert eventually(lambda: held.came == 1)
            sent = client.build_request("POST", "/v1/chat/completions", json=body)
            raw = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
            head = "".join(f"{k}: {v}\r\n" for k, v in sent.headers.items())
            raw.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + sent.read())
            assert eventually(lambda: gateway.open_holds() == 2)
            raw.close()
            assert eventually(lambda: gateway.open_holds() == 1)
            assert eventually(lambda: at(gateway, "first")["calls_waiting"] == 0)
            held.go_on.set()
            assert busy.result().status_code == 200
        gateway.verified()


def test_refusals_lower_the_limit_and_answers_raise_it(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """Told to admins and Prometheus; never below its least (rule: bounded, rule: observable)."""
    only = {"first": upstreams["first"]}
    with running_gateway(
        *(database, tmp_path / "home", upstream),
        providers=limited(only, first=9),
        breaker_failures=1_000,
    ) as gateway:
        user, admin = gateway.user(), new_admin(gateway)
        body = {"model": "org/model"}
        upstreams["first"].answer = status(429, **{"retry-after": "0"})
        for _ in range(5):
            assert gateway.chat(user, body).status_code == 429

        def calls() -> dict[str, Any]:
            found: dict[str, Any] = ask(gateway, admin, "/health/gateways").json()["data"]["first"]
            shown: dict[str, Any] = found["calls"]
            return shown

        told = calls()
        assert (told["limit"], told["limit_least"], told["limit_most"]) == (1, 1, 9)
        assert told["decreases"] == {"refused": 5, "slow": 0}
        upstreams["first"].answer = good("first")
        for _ in range(6):
            assert gateway.chat(user, body).status_code == 200
        assert calls()["limit"] == 9
        pools = ask(gateway, admin, "/health/optimizations/connection-pools").json()
        assert pools["providers"]["first"]["calls"]["limit"] == 9
        assert at(gateway, "first")["limit_decreases_total"] == 0  # The last line is `slow`.
        gateway.verified()


def test_a_hedge_counts_at_both_providers_until_one_has_won(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    upstreams: dict[str, ScriptedUpstream],
) -> None:
    """Who lost has room again at once; a full one is not tried beside (P3, rule: bounded)."""
    pair = {name: upstreams[name] for name in NAMES[:2]}
    text = limited(pair, first=1, second=1) + "[routing]\nhedge_after_ms = 50\n"
    held = {name: Held(name) for name in NAMES[:2]}
    upstreams["first"].answer = lambda *_: held["first"].go_on.wait(30) and "close"
    upstreams["second"].answer = held["second"]
    with running_gateway(
        *(database, tmp_path / "home", upstream), providers=text, provider_wait_s=0.3
    ) as gateway:
        user = gateway.user()
        with ThreadPoolExecutor() as pool:
            won = pool.submit(gateway.chat, user, {"model": "org/model", "stream": True})
            assert eventually(lambda: held["second"].came == 1)
            assert eventually(lambda: at(gateway, "first").get("calls_in_flight") == 0)
            assert at(gateway, "second")["calls_in_flight"] == 1
            held["second"].go_on.set()
            assert "second" in won.result().text
        assert eventually(lambda: at(gateway, "second")["calls_in_flight"] == 0)
        held["first"].go_on.set()
        gateway.verified()
