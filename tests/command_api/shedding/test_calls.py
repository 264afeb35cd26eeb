"""Calls that are too many for a process, as their callers see it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from command_api.shedding.queue import CallQueue
from tests.support.admins import new_admin
from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    USD,
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
    from pathlib import Path

    from domain.overload.priorities import Priority
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream


class Held:
    """A provider that answers when the test says so."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.go_on = threading.Event()
        upstream.answer = self._answer

    def _answer(self, connection: socket.socket, request: Request) -> None:
        if request.body.get("stream"):
            begin_stream(connection)
            send_piece(connection, chunk({"content": "a"}))
            self.go_on.wait(30)
            for each in (chunk({}, finish="stop"), USAGE, DONE):
                send_piece(connection, each)
            connection.sendall(b"0\r\n\r\n")
        else:
            self.go_on.wait(30)
            reply(connection, completion())


@pytest.fixture
def narrow(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One call at a time, and one that waits."""
    sizes: dict[str, Any] = {"calls_max": 1, "queue_max": 1, "queue_wait_s": 20}
    with running_gateway(database, tmp_path / "home", upstream, **sizes) as made:
        yield made


def waiting(gateway: RunningGateway, admin: Any) -> dict[str, Any]:
    """What the gateway says of its queue."""
    with gateway.client(admin) as client:
        told: dict[str, Any] = client.get("/health/optimizations/prioritization").json()
        return told


def test_a_call_waits_its_turn_and_its_story_says_so(narrow: RunningGateway) -> None:
    """The second is made when the first has ended, a stream too; a third is refused, in the
    envelope of its API, and charged nothing (rule: calls first, rule: refuse clearly).
    """
    held, user, admin = Held(narrow.upstream), narrow.user(), new_admin(narrow, 10 * USD)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(narrow.chat, user, {"stream": True})
        eventually(lambda: waiting(narrow, admin)["under_way"] == 1)
        second = pool.submit(narrow.chat, user, {})
        eventually(lambda: waiting(narrow, admin)["waiting"]["medium"] == 1)
        third = narrow.chat(user, {})
        error = third.json()["error"]
        assert (third.status_code, error["code"]) == (503, "overloaded")
        assert third.headers["retry-after"] == "2"
        with narrow.client(user) as client:
            told = client.post("/v1/messages", json={**ASK, "max_tokens": 5})
        assert (told.status_code, told.json()["error"]["type"]) == (503, "overloaded_error")
        assert len([each for each in narrow.upstream.requests if each.body]) == 1
        held.go_on.set()
        assert (first.result().status_code, second.result().status_code) == (200, 200)
    assert narrow.story(user, first.result())["queued_ms"] == 0
    assert narrow.story(user, second.result())["queued_ms"] > 0
    metrics = metrics_of(narrow)
    assert 'gatewayz_calls_shed_total{priority="medium",reason="full"} 2.0' in metrics
    assert "gatewayz_calls_waited_seconds_count 1.0" in metrics
    assert "gatewayz_calls_under_way 0.0" in metrics
    assert "gatewayz_calls_waiting 0.0" in metrics
    assert narrow.open_holds() == 0
    narrow.verified()


def metrics_of(gateway: RunningGateway) -> str:
    """What Prometheus is told."""
    return httpx.get(f"{gateway.url}/metrics", timeout=20).text


def test_an_admins_call_comes_before_others(narrow: RunningGateway) -> None:
    """It takes the place of one that waits (rule: calls first)."""
    held, user, admin = Held(narrow.upstream), narrow.user(), new_admin(narrow, 10 * USD)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(narrow.chat, user, {})
        eventually(lambda: waiting(narrow, admin)["under_way"] == 1)
        second = pool.submit(narrow.chat, user, {})
        eventually(lambda: waiting(narrow, admin)["waiting"]["medium"] == 1)
        third = pool.submit(narrow.chat, admin, {})
        assert second.result().status_code == 503
        held.go_on.set()
        assert (first.result().status_code, third.result().status_code) == (200, 200)
    assert waiting(narrow, admin)["shed"]["medium"] == 1


def test_a_sure_refusal_is_told_before_anything_is_made_of_the_call(
    narrow: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the API's envelope with the call's id; counted once; the connection goes on. A call that
    may take another's place, or whose key is not known, goes the usual way (rule: calls first).
    """
    made: list[int] = []
    sheds = CallQueue.sheds

    def seen(queue: CallQueue, priority: Priority) -> bool:
        found = sheds(queue, priority)
        made.append(found)
        return found

    monkeypatch.setattr(CallQueue, "sheds", seen)
    held, user, admin = Held(narrow.upstream), narrow.user(), new_admin(narrow, 10 * USD)
    stranger = narrow.user()
    with ThreadPoolExecutor() as pool, narrow.client(user) as client:
        first = pool.submit(narrow.chat, user, {})
        eventually(lambda: waiting(narrow, admin)["under_way"] == 1)
        second = pool.submit(narrow.chat, user, {})
        eventually(lambda: waiting(narrow, admin)["waiting"]["medium"] == 1)
        assert narrow.chat(stranger, {}).json()["error"]["code"] == "overloaded"
        assert made == []
        for path, words in (
            ("/v1/chat/completions", "overloaded"),
            ("/v1/messages", "overloaded_error"),
        ):
            refused = client.post(path, json={**ASK, "max_tokens": 5, "metadata": {"a": "x" * 9}})
            error = refused.json()["error"]
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert words in (error.get("code"), error.get("type"))
            assert refused.headers["x-gatewayz-call-id"]
            assert refused.headers["cache-control"] == "no-store"
        assert made == [True, True]
        assert waiting(narrow, admin)["shed"]["medium"] == 3
        third = pool.submit(narrow.chat, admin, {})
        assert second.result().status_code == 503
        held.go_on.set()
        assert (first.result().status_code, third.result().status_code) == (200, 200)
        assert client.post("/v1/chat/completions", json=ASK).status_code == 200
    assert 'gatewayz_calls_shed_total{priority="medium",reason="full"} 4.0' in metrics_of(narrow)
    narrow.verified()
