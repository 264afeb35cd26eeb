"""What the log and the list of providers say of failed attempts; the trace that goes upstream."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from edge.asgi import trace_of
from tests.support.harness import ASK, completion, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Request, RunningGateway

LOGGER = "gatewayz.attempts"
PROMPT = "a prompt that nobody else may read"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def answers(status: int, said: str) -> Callable[[socket.socket, Request], None]:
    """An upstream that says so to everything."""
    body = b'{"error":{"message":"%b"}}' % said.encode()
    return lambda connection, _: reply(connection, body, status=status)


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The lines of failed attempts."""
    return [each for each in caplog.records if each.name == LOGGER]


def standing(gateway: RunningGateway) -> dict[str, Any]:
    """What the list of providers says of the upstream."""
    with gateway.client(gateway.user(0)) as client:
        found = client.get("/v1/provider", params={"limit": 100}).json()["data"]
    return next(each for each in found if each["slug"] == "local")


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_every_failed_attempt_is_a_line(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, streamed: bool
) -> None:
    """Provider, model, status, call and why; loud where our own key was refused; never the prompt
    (rule: observable).
    """
    user = gateway.user()
    for status, level, shown in (
        (401, logging.ERROR, "credentials"),
        (403, logging.ERROR, "credentials"),
        (500, logging.WARNING, "said so"),
        (429, logging.WARNING, "said so"),
        (400, logging.WARNING, "status_400"),
    ):
        caplog.clear()
        said = PROMPT if status == 400 else "said so " + "x" * 5_000
        gateway.upstream.answer = answers(status, said)
        body = {**ASK, "messages": [{"role": "user", "content": PROMPT}], "stream": streamed}
        got = gateway.chat(user, body, traceparent=TRACE)
        (line,) = lines(caplog)
        text = line.getMessage()
        assert line.levelno == level
        for part in (got.headers["x-gatewayz-call-id"], "local", " m", str(status), shown, TRACE):
            assert part in text
        assert PROMPT not in text
        assert user.api_key not in text
        assert len(text) < 500
        assert "\n" not in text


def test_a_stream_that_breaks_after_output_is_a_line(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """The call is charged, and the log says who broke it (rule: observable)."""

    def breaks(connection: socket.socket, _: Request) -> str:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        chunk = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
        connection.sendall(head + chunk + b'data: {"error":{"code":503,"message":"over"}}\n\n')
        return "close"

    gateway.upstream.answer = breaks
    assert "over" in gateway.chat(gateway.user(), {"stream": True}).text
    (line,) = lines(caplog)
    assert "status_503" in line.getMessage()


def test_the_list_of_providers_tells_configured_reachable_and_refused_apart(
    gateway: RunningGateway,
) -> None:
    """As the last answers had it; what was mended is ready again (rule: observable)."""
    user = gateway.user()
    ready = {"configured": True, "reachable": True, "refused": False, "status": "ready"}
    assert standing(gateway).items() >= {**ready, "trouble": None}.items()
    gateway.upstream.answer = answers(401, "no")
    gateway.chat(user, ASK)
    found = standing(gateway)
    assert found.items() >= {**ready, "refused": True, "status": "refused"}.items()
    assert found["trouble"]["code"] == "status_401"
    gateway.upstream.answer = answers(500, "no")
    gateway.chat(user, ASK)
    assert standing(gateway)["status"] == "refused", "another failure proves no key"

    def once(connection: socket.socket, _: Request) -> str:
        reply(connection, completion())
        return "close"

    gateway.upstream.answer = once
    assert gateway.chat(user, ASK).status_code == 200
    assert standing(gateway)["status"] == "ready"
    gateway.upstream._listener.shutdown(socket.SHUT_RDWR)
    gateway.chat(user, ASK)
    found = standing(gateway)
    assert found.items() >= {**ready, "reachable": False, "status": "unreachable"}.items()


def test_a_trace_goes_upstream_with_its_own_call_only(gateway: RunningGateway) -> None:
    """As it came, where it is one; the next call of the connection has none (rule: wire)."""
    user = gateway.user()
    with gateway.client(user) as client:
        for sent, seen in ((TRACE, TRACE), ("nonsense", None), (None, None)):
            headers = {"traceparent": sent} if sent else {}
            got = client.post("/v1/chat/completions", json=ASK, headers=headers)
            assert got.status_code == 200
            assert gateway.upstream.requests[-1].headers.get("traceparent") == seen


@pytest.mark.parametrize(
    "given",
    [
        TRACE[:-1],
        TRACE + "0",
        TRACE.upper(),
        TRACE.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        TRACE + "\r\nx: y",
    ],
)
def test_what_is_no_traceparent_goes_nowhere(given: str) -> None:
    """By the letter of W3C Trace Context, 3.2 (rule: wire)."""
    assert trace_of(given.encode()) == b""
    assert trace_of(TRACE.encode()) == TRACE.encode()
