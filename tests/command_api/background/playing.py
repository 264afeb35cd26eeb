"""What the tests of the background share: providers that wait, and what is asked of the gateway."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from tests.command_api.calls.responses import GPT, OPEN, START, call, delta, stream_of
from tests.support.harness import (
    DONE,
    USAGE,
    begin_stream,
    chunk,
    eventually,
    reply,
    send_piece,
)

if TYPE_CHECKING:
    import socket

    import httpx

    from command_api.identity.users import NewUser
    from tests.support.harness import Request, RunningGateway

DONE_STATES = ("completed", "failed", "incomplete", "cancelled")


class Waiting:
    """A provider of Responses or chat that makes some output, waits, and makes the rest."""

    def __init__(self, *texts: str, before: int = 1) -> None:
        """It waits behind so many texts; behind none of them without any."""
        self.texts, self.before = texts or ("one ", "two ", "three"), before
        self.go_on = threading.Event()
        self.begun = threading.Semaphore(0)
        self.gone = threading.Event()
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, connection: socket.socket, request: Request) -> str | None:
        """Answer one request."""
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return None
        self.bodies.append(request.body)
        native = request.path.endswith("/responses")
        pieces = stream_of(*self.texts) if native else _chat(*self.texts)
        begin_stream(connection)
        first = self.before + (2 if native else 0)
        try:
            for piece in pieces[: first if self.before else 0]:
                send_piece(connection, piece)
            self.begun.release()
            while not self.go_on.wait(0.02):
                # A comment now and then, by which it is seen that nobody listens.
                send_piece(connection, b": alive\n\n")
            for piece in pieces[first if self.before else 0 :]:
                send_piece(connection, piece)
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            self.gone.set()
            return "close"
        return None


def endless(connection: socket.socket, request: Request) -> str:
    """A provider that never ends."""
    if request.method == "GET":
        reply(connection, b'{"data":[]}')
        return ""
    begin_stream(connection)
    send_piece(connection, START + OPEN)
    number = 4
    while True:
        send_piece(connection, delta("more ", number))
        number += 1
        threading.Event().wait(0.02)


def _chat(*texts: str) -> list[bytes]:
    return [
        *(chunk({"content": each}) for each in texts),
        chunk({}, finish="stop") + USAGE + DONE,
    ]


def begin(
    gateway: RunningGateway, user: NewUser, *, headers: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A response in the background, as it was answered."""
    body = {"model": GPT, "input": "Hi", "background": True, **more}
    answer = call(gateway, user, body, **(headers or {}))
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def got(
    gateway: RunningGateway, user: NewUser, path: str, method: str = "GET", **more: Any
) -> httpx.Response:
    """A request below /v1/responses."""
    with gateway.client(user) as client:
        return client.request(method, f"/v1/responses/{path}", **more)


def ended(gateway: RunningGateway, user: NewUser, response_id: str) -> dict[str, Any]:
    """The response, once it has ended."""

    def look() -> dict[str, Any] | None:
        answer = got(gateway, user, response_id)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found if found["status"] in DONE_STATES else None

    found: dict[str, Any] = eventually(look)
    return found


def story_of(gateway: RunningGateway, user: NewUser, response_id: str) -> dict[str, Any]:
    """The call behind a response, once it is told."""
    raw = response_id.removeprefix("resp_")
    call_id = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))

    def look() -> dict[str, Any] | None:
        with gateway.client(user) as client:
            answer = client.get(f"/v1/calls/{call_id}")
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 and found["status"] != "held" else None

    found: dict[str, Any] = eventually(look)
    return found


def texts_of(response: dict[str, Any]) -> str:
    """What its messages say."""
    return "".join(
        part["text"]
        for each in response["output"]
        if each["type"] == "message"
        for part in each["content"]
    )


def told(content: str) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    return [
        json.loads(line.removeprefix("data: "))
        for line in content.splitlines()
        if line.startswith("data: ")
    ]
