"""Equal calls at the same time: one asks the provider, and each gets the whole answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.kept_replies.test_response_cache import ON, result, text_of
from tests.support.admins import new_admin
from tests.support.harness import (
    ASK,
    DONE,
    TIMEOUT_S,
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
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request

CALLERS = 6
WAITERS_MAX = 5


class Gated:
    """An upstream that answers once it is let, and fails as often as it is told."""

    def __init__(self) -> None:
        """Nothing failed yet."""
        self.let = threading.Event()
        self.failures, self.calls = 0, 0

    def answer(self, connection: socket.socket, request: Request) -> str | None:
        """One answer."""
        self.calls += 1
        fails = self.calls <= self.failures
        if request.body.get("stream") and not fails:
            begin_stream(connection)
            send_piece(connection, chunk({"role": "assistant", "content": "One "}))
            self.let.wait(TIMEOUT_S)
            for piece in (chunk({"content": "answer"}), chunk({}, finish="stop"), USAGE, DONE):
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
            return None
        self.let.wait(TIMEOUT_S)
        if fails:
            reply(connection, b'{"error":{"message":"no"}}', status=500)
        else:
            reply(connection, completion("One answer"))
        return None


@pytest.fixture
def gated() -> Gated:
    """Who answers."""
    return Gated()


@pytest.fixture
def flown(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, gated: Gated
) -> Iterator[RunningGateway]:
    """A gateway without Redis, on the gated upstream."""
    upstream.answer = gated.answer
    options = {"response_cache_waiters_max": WAITERS_MAX, "response_cache_wait_s": TIMEOUT_S}
    with running_gateway(database, tmp_path / "home", upstream, **options) as made:
        yield made
        gated.let.set()
        eventually(lambda: made.open_holds() == 0)
        made.verified()


def waited_for(gateway: RunningGateway, count: int) -> None:
    """Until so many wait for another's answer."""
    gateway_calls = {"gatewayz_calls_under_way"}

    def there() -> bool:
        lines = httpx.get(f"{gateway.url}/metrics", timeout=TIMEOUT_S).text.splitlines()
        found = {line.split(" ")[0]: line.split(" ")[1] for line in lines if line[0] != "#"}
        return all(float(found[name]) == count for name in gateway_calls)

    eventually(there)


def asked(
    pool: ThreadPoolExecutor, gateway: RunningGateway, user: NewUser, count: int, **body: Any
) -> list[Future[Any]]:
    """So many equal calls."""
    return [pool.submit(gateway.chat, user, body, **ON) for _ in range(count)]


@pytest.mark.parametrize("streams", [False, True])
def test_one_calls_and_all_are_answered(
    flown: RunningGateway, gated: Gated, *, streams: bool
) -> None:
    """The first pays; whole and streamed ones wait for either (P3, money rule 1)."""
    user = flown.user()
    with ThreadPoolExecutor(CALLERS) as pool:
        first = asked(pool, flown, user, 1, stream=streams)
        waited_for(flown, 1)
        others = asked(pool, flown, user, 3) + asked(pool, flown, user, 2, stream=True)
        waited_for(flown, CALLERS)
        gated.let.set()
        told = [each.result() for each in first + others]
    assert {text_of(each) for each in told} == {"One answer"}
    assert [result(each) for each in told] == ["miss", *["hit"] * 5]
    assert gated.calls == 1
    charged = [flown.story(user, each)["charged_nano_usd"] for each in told]
    assert charged[0] > 0
    assert charged[1:] == [0] * 5
    sources = {flown.story(user, each)["cached_from"] for each in told[1:]}
    assert sources == {told[0].headers["x-gatewayz-call-id"]}


def test_more_than_may_wait_call_themselves(flown: RunningGateway, gated: Gated) -> None:
    """Those beyond the maximum, and those of another account (rule: bounded)."""
    user, other = flown.user(), flown.user()
    with ThreadPoolExecutor(CALLERS + 3) as pool:
        first = asked(pool, flown, user, 1)
        waited_for(flown, 1)
        others = asked(pool, flown, user, WAITERS_MAX + 1)
        foreign = asked(pool, flown, other, 1)
        waited_for(flown, WAITERS_MAX + 3)
        eventually(lambda: gated.calls == 3)
        gated.let.set()
        told = [each.result() for each in first + others + foreign]
    assert sorted(map(result, told)) == ["hit"] * WAITERS_MAX + ["miss"] * 3


def test_the_next_leads_when_one_fails(flown: RunningGateway, gated: Gated) -> None:
    """One after the other, never all at once (P2, rule: bounded)."""
    gated.failures = 1
    user = flown.user()
    with ThreadPoolExecutor(CALLERS) as pool:
        first = asked(pool, flown, user, 1)
        waited_for(flown, 1)
        others = asked(pool, flown, user, 4)
        waited_for(flown, 5)
        gated.let.set()
        told = [each.result() for each in first + others]
    assert [each.status_code for each in told] == [502, 200, 200, 200, 200]
    assert sorted(map(result, told[1:])) == ["hit"] * 3 + ["miss"]
    assert gated.calls == 2


def test_after_three_failures_the_others_hear_of_it(flown: RunningGateway, gated: Gated) -> None:
    """A provider that is down is not asked by each of them (rule: bounded)."""
    gated.failures = 100
    user = flown.user()
    with ThreadPoolExecutor(CALLERS) as pool:
        first = asked(pool, flown, user, 1)
        waited_for(flown, 1)
        others = asked(pool, flown, user, 5)
        waited_for(flown, 6)
        gated.let.set()
        told = [each.result() for each in first + others]
    assert {each.status_code for each in told} <= {502, 503}
    assert gated.calls <= 3


def test_hang_ups(flown: RunningGateway, gated: Gated) -> None:
    """A leader who leaves takes nobody along, and a follower changes nothing (P11, P3)."""
    user = flown.user()
    body = {**ASK, "stream": True}
    with ThreadPoolExecutor(CALLERS) as pool, flown.client(user, **ON) as leaving:
        with leaving.stream("POST", "/v1/chat/completions", json=body) as leader:
            pieces = leader.iter_raw()  # Kept: without it the client would hang up at once.
            assert next(pieces)
            with flown.client(user, **ON) as follower:
                assert _gives_up(follower)
            others = asked(pool, flown, user, 2, stream=True)
            waited_for(flown, 3)
        waited_for(flown, 3)
        gated.let.set()
        told = [each.result() for each in others]
    assert [(result(each), text_of(each)) for each in told] == [("hit", "One answer")] * 2
    made = [(each.method, each.body.get("stream")) for each in flown.upstream.requests]
    assert made == [("POST", True)]
    source = flown.story(user, flown.story(user, told[0])["cached_from"])
    assert (source["reason"], source["status"]) == ("completed", "settled")


def _gives_up(client: httpx.Client) -> bool:
    try:
        client.post("/v1/chat/completions", json=ASK, timeout=2)
    except httpx.ReadTimeout:
        return True
    return False


def test_what_was_cleared_meanwhile_is_not_kept(flown: RunningGateway, gated: Gated) -> None:
    """Who waited has the answer; nobody else does (rule: contract)."""
    user, admin = flown.user(), new_admin(flown)
    with ThreadPoolExecutor(CALLERS) as pool:
        first = asked(pool, flown, user, 1)
        waited_for(flown, 1)
        others = asked(pool, flown, user, 1)
        waited_for(flown, 2)
        with flown.client(admin) as client:
            done = client.post("/health/optimizations/cache/clear")
            assert done.status_code == 200, done.text
        gated.let.set()
        assert [result(each.result()) for each in first + others] == ["miss", "hit"]
    assert result(flown.chat(user, {}, **ON)) == "miss"
    assert gated.calls == 2
