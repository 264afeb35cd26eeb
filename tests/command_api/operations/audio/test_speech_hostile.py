"""Providers that lie, break off or never end; callers who leave, or never read."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.test_hang_ups import last_call
from tests.command_api.operations.audio.conftest import (
    ASK,
    SPEECH_PATH,
    audio,
    begin_audio,
    delta,
    done,
    event,
    told,
)
from tests.support.harness import eventually, reply, send_piece

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

CHARGE = len(ASK["input"]) * 15_000
"""Nano-USD of the text at local/tts."""
EVENTS = "text/event-stream"


def only_call(gateway: RunningGateway, user: NewUser) -> dict[str, Any]:
    """The user's only call, once it has ended."""

    def ended() -> dict[str, Any] | None:
        story = gateway.story(user, last_call(gateway))
        return story if story["status"] != "held" else None

    found: dict[str, Any] = eventually(ended)
    return found


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"error": {"message": "no voice"}}'),
        ("application/json", b'{"audio": "AAAA"}'),
        ("text/html", b"<html>Sorry</html>"),
        ("", b"abc"),
        ("audio/mpeg", b""),
        (EVENTS, delta(b"events that nobody can charge for")),
    ],
)
def test_what_is_no_audio_is_nobodys(speech: RunningGateway, kind: str, body: bytes) -> None:
    """A 200 with something else fails before the first byte: free (P10, money rule 4)."""
    speech.upstream.answer = lambda connection, _: reply(
        connection, body, headers={"content-type": kind}
    )
    user = speech.user()
    with speech.client(user) as client:
        got = client.post(SPEECH_PATH, json=ASK)
    assert (got.status_code, got.headers["content-type"]) == (502, "application/json")
    assert got.json()["error"]["code"]
    assert speech.balance(user)["settled_nano_usd"] == 0
    assert speech.open_holds() == 0


@pytest.mark.parametrize(
    "body",
    [
        done(),
        event({"error": {"message": "busy"}}),
        event({"type": "error", "message": "busy"}),
        event({"type": "speech.audio.delta", "audio": "no base64!"}),
        event({"type": "speech.audio.delta", "audio": 7}),
        event({"type": "speech.audio.delta"}),
        b"data: {half\n\n",
        b"data: [1]\n\n",
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_events_without_audio_are_nobodys(speech: RunningGateway, body: bytes) -> None:
    """Nothing was heard, so nothing is paid (money rule 4)."""
    speech.upstream.answer = lambda connection, _: audio(
        connection, *[body] * bool(body), kind=EVENTS
    )
    user = speech.user()
    with speech.client(user) as client:
        got = client.post(SPEECH_PATH, json={**ASK, "model": "second/tells"})
    assert got.status_code >= 500, got.content
    assert "no base64!" not in got.text
    assert (speech.balance(user)["settled_nano_usd"], speech.open_holds()) == (0, 0)


def cut(connection: socket.socket, *pieces: bytes, kind: str = "audio/mpeg") -> str:
    """A reply without its end."""
    begin_audio(connection, kind)
    for piece in pieces:
        send_piece(connection, piece)
    return "close"


def short(connection: socket.socket, *pieces: bytes) -> str:
    """A reply that has fewer bytes than its length says."""
    size = sum(map(len, pieces)) + 1
    head = f"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: {size}\r\n\r\n"
    connection.sendall(head.encode() + b"".join(pieces))
    return "close"


@pytest.mark.parametrize("lies", [cut, short])
@pytest.mark.parametrize("wait_s", [0, 0.2])
def test_half_of_an_audio_never_looks_whole(
    speech: RunningGateway, lies: Any, wait_s: float
) -> None:
    """The answer breaks off too, and what was heard is paid (money rule 4, rule: wire)."""

    def answer(connection: socket.socket, _: Any) -> str:
        if wait_s:
            begin_audio(connection)
            send_piece(connection, b"half")
            time.sleep(wait_s)
            return "close"
        made: str = lies(connection, b"half")
        return made

    speech.upstream.answer = answer
    user = speech.user()
    with speech.client(user) as client, pytest.raises(httpx.RemoteProtocolError):
        client.post(SPEECH_PATH, json=ASK)
    story = only_call(speech, user)
    assert (story["status"], story["settled_nano_usd"]) == ("settled", CHARGE)
    assert story["reason"] != "completed"


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
@pytest.mark.parametrize(
    "tail",
    [
        b"",
        event({"error": {"message": "overloaded"}}),
        event({"type": "speech.audio.delta", "audio": "%%%"}),
        b"data: {half",
    ],
)
def test_events_that_fail_in_the_middle_say_so(
    speech: RunningGateway, stream_format: str, tail: bytes
) -> None:
    """By an error where there are events, else by the missing end (rule: wire, money rule 4)."""
    speech.upstream.answer = lambda connection, _: audio(
        connection, delta(bytes(4_800)), *[tail] * bool(tail), kind=EVENTS
    )
    user = speech.user()
    body = {**ASK, "model": "second/tells", "response_format": "pcm"}
    with speech.client(user) as client:
        if stream_format == "audio":
            with pytest.raises(httpx.RemoteProtocolError):
                client.post(SPEECH_PATH, json=body)
        else:
            got = client.post(SPEECH_PATH, json={**body, "stream_format": "sse"})
            first, last = told(got.content)
            assert first["type"] == "speech.audio.delta"
            assert last["error"]["code"]
    story = only_call(speech, user)
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")
    assert story["usage"]["output_tokens"] == 2
    assert story["settled_nano_usd"] == 3 * 600 + 2 * 12_000


@pytest.mark.parametrize("kind", ["audio/mpeg", EVENTS])
def test_a_provider_that_never_ends_is_ended(speech: RunningGateway, kind: str) -> None:
    """A text of twelve characters is never three megabytes of audio (rule: bounded)."""
    sent = 0

    def answer(connection: socket.socket, _: Any) -> str:
        nonlocal sent
        begin_audio(connection, kind)
        piece = bytes(49_152)
        while True:
            send_piece(connection, piece if kind != EVENTS else delta(piece))
            sent += len(piece)

    speech.upstream.answer = answer
    user = speech.user()
    model = "second/tells" if kind == EVENTS else "local/tts"
    with speech.client(user) as client, pytest.raises(httpx.RemoteProtocolError):
        client.post(SPEECH_PATH, json={**ASK, "model": model})
    story = only_call(speech, user)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]
    assert sent < 16 * 2**20, "it was left to send on"


def test_a_line_that_never_ends_is_ended(speech: RunningGateway) -> None:
    """An event larger than any is none (rule: bounded)."""

    def answer(connection: socket.socket, _: Any) -> None:
        begin_audio(connection, EVENTS)
        send_piece(connection, b'data: {"type": "speech.audio.delta", "audio": "')
        while True:
            send_piece(connection, b"A" * 65_536)

    speech.upstream.answer = answer
    user = speech.user()
    with speech.client(user) as client:
        got = client.post(SPEECH_PATH, json={**ASK, "model": "second/tells"})
    assert got.status_code == 502
    assert speech.balance(user)["settled_nano_usd"] == 0


def connected(gateway: RunningGateway, user: NewUser, body: dict[str, Any]) -> socket.socket:
    """A caller who has asked."""
    raw = json.dumps(body).encode()
    host, _, port = gateway.url.rpartition("//")[2].partition(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    caller.connect((host, int(port)))
    head = (
        f"POST {SPEECH_PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {user.api_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    caller.sendall(head.encode() + raw)
    return caller


def test_a_caller_who_never_reads_holds_the_provider_up(speech: RunningGateway) -> None:
    """Little is kept for him, and when he leaves he pays for the text (rule: bounded, P11)."""
    sent = 0

    def answer(connection: socket.socket, _: Any) -> None:
        nonlocal sent
        begin_audio(connection)
        for _ in range(800):
            send_piece(connection, bytes(65_536))
            sent += 65_536

    speech.upstream.answer = answer
    user = speech.user()
    caller = connected(speech, user, {**ASK, "input": "x" * 4_096})
    with caller:
        eventually(lambda: sent > 0)
        before = -1
        while before != sent:
            before = sent
            time.sleep(0.5)
        assert sent < 24 * 2**20, f"{sent} bytes went somewhere"
    story = only_call(speech, user)
    assert (story["status"], story["reason"]) == ("settled", "client_disconnected")
    assert story["settled_nano_usd"] == 4_096 * 15_000


def test_a_caller_who_leaves_pays_for_what_was_made(speech: RunningGateway) -> None:
    """By tokens that is our own count, and before any audio nothing (P11, money rule 5)."""

    def answer(connection: socket.socket, request: Any) -> None:
        begin_audio(connection, EVENTS)
        if request.body["input"] != "silence":
            send_piece(connection, delta(bytes(4_800)))
        connection.settimeout(10)
        connection.recv(1)

    speech.upstream.answer = answer
    user = speech.user()
    body = {**ASK, "model": "second/tells", "response_format": "pcm"}
    with connected(speech, user, body) as caller:
        caller.recv(4_096)
    story = only_call(speech, user)
    assert (story["reason"], story["usage"]["output_tokens"]) == ("client_disconnected", 2)
    calls = speech.upstream.calls
    with connected(speech, user, {**body, "input": "silence"}):
        eventually(lambda: speech.upstream.calls > calls)
        time.sleep(0.2)
    story = eventually(lambda: (found := only_call(speech, user))["status"] == "voided" and found)
    assert story["settled_nano_usd"] == 0
    assert speech.open_holds() == 0


def test_a_key_never_gets_half_of_an_audio(speech: RunningGateway) -> None:
    """What broke off is charged once, and is not told again as if it were whole (P3)."""
    speech.upstream.answer = lambda connection, _: cut(connection, b"half")
    user = speech.user()
    with speech.client(user, **{"Idempotency-Key": "k"}) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(SPEECH_PATH, json=ASK)
        story = only_call(speech, user)
        got = client.post(SPEECH_PATH, json=ASK)
    assert (got.status_code, speech.upstream.calls) == (409, 1)
    assert story["id"] in got.text
    assert speech.balance(user)["settled_nano_usd"] == CHARGE


def test_a_key_of_an_audio_that_is_too_long_names_its_call(speech: RunningGateway) -> None:
    """Charged once; its bytes are not kept (P3, rule: bounded)."""
    speech.upstream.answer = lambda connection, _: audio(connection, bytes(2**20 + 1))
    user = speech.user()
    with speech.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again = (client.post(SPEECH_PATH, json=ASK) for _ in range(2))
    assert len(first.content) == 2**20 + 1
    assert (again.status_code, speech.upstream.calls) == (409, 1)
    assert first.headers["x-gatewayz-call-id"] in again.text


def test_a_caller_with_a_key_may_leave_and_ask_again(speech: RunningGateway) -> None:
    """The call runs to its end, and its audio is the answer (P3, money rule 5)."""

    def answer(connection: socket.socket, _: Any) -> None:
        begin_audio(connection)
        send_piece(connection, b"one")
        time.sleep(0.3)
        send_piece(connection, b"two")
        connection.sendall(b"0\r\n\r\n")

    speech.upstream.answer = answer
    user = speech.user()
    raw = json.dumps(ASK).encode()
    with speech.client(user, **{"Idempotency-Key": "k"}) as client:
        with client.stream("POST", SPEECH_PATH, content=raw) as left:
            assert next(left.iter_raw()) == b"one"
        assert only_call(speech, user)["reason"] == "completed"
        again = client.post(SPEECH_PATH, content=raw)
    assert (again.content, speech.upstream.calls) == (b"onetwo", 1)


@pytest.mark.parametrize(
    "kind", ["audio/x\x01y", "audio/" + "x" * 200, "audio/ä", "application/octet-stream"]
)
def test_a_type_that_cannot_be_told_is_ours(speech: RunningGateway, kind: str) -> None:
    """No header of a provider's breaks the answer (rule: wire)."""

    def answer(connection: socket.socket, _: Any) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 1\r\n\r\n"
        connection.sendall(head.encode("latin-1") + b"x")

    speech.upstream.answer = answer
    with speech.client(speech.user()) as client:
        got = client.post(SPEECH_PATH, json={**ASK, "response_format": "flac"})
    if got.status_code == 200:
        assert (got.content, got.headers["content-type"]) == (b"x", "audio/flac")
    else:
        assert (got.status_code, kind) == (502, "audio/x\x01y")
