"""Hang-ups that find the call between attempts, or before its provider has said a word."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.test_failover import providers_toml
from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    USD,
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
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

PIECES = 12
HELLO = chunk({"content": "Hello"})


@contextmanager
def asking(gateway: RunningGateway, user: NewUser, **body: Any) -> Iterator[socket.socket]:
    """A caller who has asked and not heard anything; hangs up at the end of the block."""
    raw = json.dumps({**ASK, **body}).encode()
    with gateway.client(user) as client:
        request = client.build_request("POST", "/v1/chat/completions", content=raw)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with _connected(gateway) as caller:
        caller.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + raw)
        yield caller


def _connected(gateway: RunningGateway) -> socket.socket:
    host, _, port = gateway.url.rpartition("//")[2].partition(":")
    return socket.create_connection((host, int(port)))


def test_a_hang_up_leaves_another_customers_call_alone(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The connection of an attempt that failed belongs to whoever took it from the pool
    (money rule 5, rule: contract).
    """
    first, second = ScriptedUpstream(), ScriptedUpstream()
    failed: list[Request] = []
    waiting, going = threading.Event(), threading.Event()

    def refuse_then_answer(connection: socket.socket, request: Request) -> None:
        if not failed:
            failed.append(request)
            reply(connection, b'{"error":{"message":"later"}}', status=503)
            return
        begin_stream(connection)
        for _ in range(PIECES):
            send_piece(connection, HELLO)
            going.set()
            time.sleep(0.05)
        send_piece(connection, USAGE + DONE)
        connection.sendall(b"0\r\n\r\n")

    def silent(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        send_piece(connection, chunk({"role": "assistant", "content": ""}))
        waiting.set()
        connection.settimeout(5)
        connection.recv(1)
        return "close"

    first.answer, second.answer = refuse_then_answer, silent
    providers = providers_toml({"first": first, "second": second})
    with (
        running_gateway(database, tmp_path / "home", upstream, providers=providers) as gateway,
        ThreadPoolExecutor(1) as pool,
    ):
        leaver, bystander = gateway.user(), gateway.user()
        with asking(gateway, leaver, model="org/model", stream=True):
            assert waiting.wait(5)
            body = {"model": "first/org/model", "stream": True}
            answer = pool.submit(gateway.chat, bystander, body)
            assert going.wait(5)
            assert first.connections == 1, "the bystander's call took the same connection"
        got = answer.result()
        assert got.text.count("Hello") == PIECES
        assert gateway.story(bystander, got)["settled_nano_usd"] == 10 * 1_000 + 5 * 1_000
        eventually(lambda: gateway.open_holds() == 0)
        assert gateway.balance(leaver)["available_nano_usd"] == 10 * USD
        gateway.verified()
    first.close()
    second.close()


def test_a_hang_up_before_the_providers_head_is_cancelled_and_void(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The provider sees the connection close, and nothing is charged (P11, money rule 5)."""
    asked, gone = threading.Event(), threading.Event()

    def thinking(connection: socket.socket, _: Request) -> str:
        asked.set()
        connection.settimeout(5)
        if connection.recv(1) == b"":
            gone.set()
        return "close"

    upstream.answer = thinking
    user = gateway.user()
    with asking(gateway, user, stream=True):
        assert asked.wait(5)
    assert gone.wait(2)
    eventually(lambda: gateway.open_holds() == 0, 2)
    assert gateway.balance(user)["available_nano_usd"] == 10 * USD
    story = gateway.story(user, last_call(gateway))
    assert (story["status"], story["reason"]) == ("voided", "client_disconnected")
    assert [each["error"] for each in story["attempts"]] == ["client_disconnected"]
    gateway.verified()


def test_json_and_keyed_calls_outlive_a_hang_up_before_the_head(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """They run to their end and settle exactly (money rule 5)."""
    asked = threading.Event()

    def late(connection: socket.socket, request: Request) -> None:
        asked.set()
        time.sleep(0.3)
        if request.body.get("stream"):
            begin_stream(connection)
            send_piece(connection, HELLO + USAGE + DONE)
            connection.sendall(b"0\r\n\r\n")
        else:
            reply(connection, completion())

    upstream.answer = late
    user = gateway.user()
    with asking(gateway, user):
        assert asked.wait(5)
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.story(user, last_call(gateway))["settled_nano_usd"] == 4_500
    with (
        gateway.client(user, **{"Idempotency-Key": "k"}) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post("/v1/chat/completions", json={**ASK, "stream": True}, timeout=0.1)
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.story(user, last_call(gateway))["settled_nano_usd"] == 4_500


def test_a_hang_up_during_a_hedge_cancels_every_attempt(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Whoever was asked is told that nobody waits; nothing is charged (P3, money rule 5)."""
    fleet = {name: ScriptedUpstream() for name in ("first", "second")}
    asked = threading.Semaphore(0)
    gone = threading.Semaphore(0)

    def thinking(connection: socket.socket, _: Request) -> str:
        asked.release()
        connection.settimeout(5)
        if connection.recv(1) == b"":
            gone.release()
        return "close"

    for each in fleet.values():
        each.answer = thinking
    providers = providers_toml(fleet, "[routing]\nhedge_after_ms = 50\n")
    with running_gateway(database, tmp_path / "home", upstream, providers=providers) as gateway:
        user = gateway.user()
        with asking(gateway, user, model="org/model", stream=True):
            assert asked.acquire(timeout=5)
            assert asked.acquire(timeout=5)
        assert gone.acquire(timeout=2)
        assert gone.acquire(timeout=2)
        eventually(lambda: gateway.open_holds() == 0, 2)
        assert gateway.balance(user)["available_nano_usd"] == 10 * USD
        story = gateway.story(user, last_call(gateway))
        assert {each["error"] for each in story["attempts"]} <= {"client_disconnected", "cancelled"}
        gateway.verified()
    for each in fleet.values():
        each.close()


def last_call(gateway: RunningGateway) -> str:
    """The id of the call whose hold was placed last."""
    with gateway.database.connect() as connection:
        row = connection.execute(
            "SELECT originator_id FROM events WHERE topic = 'ledger.hold_placed.v1' "
            "ORDER BY notification_id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        return str(row[0])
