"""Upgrades that are refused, each before the upgrade, in the envelope of OpenAI's API."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.command_api.realtime.provider import (
    USAGE_NANO_USD,
    Talker,
    answering,
    ask,
    call_of,
    closed,
    greet,
    hear,
    say,
    session,
    talking,
    until,
)
from tests.support.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.server import ServerConnection

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

Served = tuple["RunningGateway", Talker]
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def served(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, Talker]]:
    """A gateway that may have two sessions."""
    with talking(server, tmp_path_factory, realtime_sessions_max=2) as made:
        yield made


def refused(gateway: RunningGateway, user: NewUser | str, model: str, **more: Any) -> Any:
    """The status and the error of an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as failed:
        session(gateway, user, model, **more)
    answer = failed.value.response
    assert answer.body is not None
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("talks/mute", 400, "operation_unpriced"),
        ("local/m", 400, "realtime_not_offered"),
        ("talks/nobody", 404, "model_not_found"),
        ("", 400, None),
        ("talks/voice&model=talks/voice", 400, "invalid_value"),
        ("talks/voice&call_id=rtc_1", 400, "invalid_value"),
        ("talks/voice&voice=alloy", 400, "invalid_value"),
        ("talks/voice&" + "&".join(f"a{n}=1" for n in range(40)), 400, "invalid_value"),
    ],
)
def test_a_model_that_has_no_sessions_is_refused(
    served: Served, model: str, status: int, code: str | None
) -> None:
    """By name, with what to do (P10, rule: refuse clearly)."""
    gateway, _ = served
    told, error = refused(gateway, gateway.user(), model)
    assert told == status
    assert code in (None, error["code"])
    assert error["message"]


def test_a_key_is_needed(served: Served) -> None:
    """None, a wrong one, and one in the address (rule: refuse clearly)."""
    gateway, _ = served
    user = gateway.user()
    assert refused(gateway, "", "talks/voice", additional_headers={})[0] == 401
    assert refused(gateway, "gw_live_wrong", "talks/voice")[0] == 401
    in_url = f"talks/voice&key={user.api_key}"
    assert refused(gateway, user, in_url)[1]["code"] == "key_in_url"


def test_a_session_has_no_idempotency_key(served: Served) -> None:
    """It cannot be replayed (P3, rule: refuse clearly)."""
    gateway, _ = served
    headers = {"Authorization": f"Bearer {gateway.user().api_key}", "Idempotency-Key": "k"}
    told = refused(gateway, "", "talks/voice", additional_headers=headers)
    assert told[1]["code"] == "invalid_idempotency_key"


def test_so_many_sessions_and_no_more(served: Served) -> None:
    """The next is told to try again; nothing is held for it (rule: bounded)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    with session(gateway, user) as one, session(gateway, user) as other:
        until(one, "session.created")
        until(other, "session.created")
        status, error = refused(gateway, user, "talks/voice")
        assert (status, error["code"]) == (503, "too_many_sessions")
        assert gateway.open_holds() == 2
    eventually(lambda: gateway.open_holds() == 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"Upgrade": "h2c"},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Key": "short"},
        {"Connection": "keep-alive"},
    ],
)
def test_no_handshake_is_told_to_upgrade(served: Served, changed: dict[str, str]) -> None:
    """A request that opens no WebSocket is answered as one (rule: refuse clearly)."""
    gateway, _ = served
    headers = HANDSHAKE | changed
    answer = httpx.get(f"{gateway.url}/v1/realtime?model=talks/voice", headers=headers)
    assert answer.status_code == 426
    assert answer.json()["error"]["code"] == "upgrade_required"


@pytest.mark.parametrize(
    "path",
    [
        *("calls", "calls/rtc_1/hangup", "client_secrets", "sessions"),
        *("transcription_sessions", "translations"),
    ],
)
def test_what_is_no_websocket_is_refused_by_name(served: Served, path: str) -> None:
    """WebRTC, SIP, secrets of clients, transcriptions (rule: refuse clearly)."""
    gateway, _ = served
    answer = httpx.post(f"{gateway.url}/v1/realtime/{path}", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "realtime_websockets_only"


def test_other_paths_have_no_websockets(served: Served) -> None:
    """An upgrade there is read as a request without one (rule: refuse clearly)."""
    gateway, _ = served
    for path in ("/v1/responses", "/v1/realtime/calls", "/nowhere"):
        answer = httpx.get(f"{gateway.url}{path}", headers=HANDSHAKE)
        assert answer.status_code in (404, 405)


def test_frames_may_follow_the_handshake_at_once(served: Served) -> None:
    """What came in the same packet is not lost (rule: bounded)."""
    gateway, talker = served
    talker.behave = answering
    user = gateway.user()
    host, _, port = gateway.url.rpartition("//")[2].partition(":")
    head = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
    body = b'{"type":"response.create"}'
    frame = bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body
    with socket.create_connection((host, int(port))) as caller:
        caller.settimeout(20)
        caller.sendall(
            f"GET /v1/realtime?model=talks/voice HTTP/1.1\r\nHost: x\r\n{head}"
            f"Authorization: Bearer {user.api_key}\r\n\r\n".encode()
            + frame
        )
        read = b""
        while b"response.done" not in read:
            piece = caller.recv(65_536)
            assert piece
            read += piece
    assert read.startswith(b"HTTP/1.1 101")
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.balance(user)


def test_an_old_session_ends(server: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its hold outlives the life of a call's, and what was made is charged (money rule 11)."""
    limits = {"realtime_session_s": 7, "call_deadline_s": 1, "hold_grace_s": 1}
    with talking(server, tmp_path_factory, **limits) as (gateway, talker):
        talker.behave = answering
        user = gateway.user()
        with session(gateway, user) as caller:
            call = call_of(caller)
            ask(caller)
            until(caller, "response.done")
            events, code = closed(caller)
        assert (events[-1]["error"]["code"], code) == ("session_expired", 1001)
        story = eventually(
            lambda: (told := gateway.story(user, call))["status"] == "settled" and told
        )
        assert story["settled_nano_usd"] == USAGE_NANO_USD


def test_a_stop_ends_sessions_with_a_word(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After the grace: 1001, and what was made is charged (P2, P11)."""
    with talking(server, tmp_path_factory) as (gateway, talker):

        def slow(connection: ServerConnection) -> None:
            greet(connection)
            hear(connection, "response.create")
            say(connection, "response.created", response={"id": "resp_1"})
            say(connection, "response.output_text.delta", response_id="resp_1", delta="Hello")
            hear(connection, "never")

        talker.behave = slow
        user = gateway.user()
        with session(gateway, user) as caller:
            ask(caller)
            until(caller, "response.output_text.delta")
            began = time.monotonic()
            gateway.stop()
            events, code = closed(caller)
        assert time.monotonic() - began < 15
        assert (events[-1]["error"]["code"], code) == ("gateway_stopping", 1001)
        eventually(lambda: gateway.open_holds() == 0)


def test_a_refused_upgrade_is_no_defect_in_the_log(
    served: tuple[RunningGateway, Talker], caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can ask for one without a key (rule: observable)."""
    gateway, _ = served
    assert refused(gateway, "gw_live_nobody", "talks/voice")[0] == 401
    time.sleep(0.3)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
