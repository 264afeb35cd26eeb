"""What the tests of Messages share: bodies, Anthropic's replies and events, and who plays them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.harness import (
    ScriptedUpstream,
    begin_stream,
    reply,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    import httpx
    import pytest

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

CLAUDE = "anthropic/claude-test"
HELLO = [{"role": "user", "content": "Hi"}]
PROVIDER = """
[[provider]]
name = "anthropic"
base_url = "{base_url}"
api_key = "sk-ant-up"
[[provider.model]]
id = "claude-test"
input_per_million = "3"
output_per_million = "15"
cached_input_per_million = "0.3"
cache_write_per_million = "3.75"
context_length = 200000
max_output_tokens = 8192
extra_prices = {{ web_search = "0.01" }}
"""


@contextmanager
def serving(
    server: Database, factory: pytest.TempPathFactory, providers: str = "", **settings: Any
) -> Iterator[RunningGateway]:
    """A gateway for the tests of a module, with Anthropic, played by whoever asks."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(says(b"{}"))
    text = (PROVIDER + providers).format(base_url=upstream.base_url)
    with (
        fresh_database(server) as database,
        running_gateway(
            database, factory.mktemp("home"), upstream, providers=text, **settings
        ) as made,
    ):
        yield made
        made.verified()
    upstream.close()


def asked_last(gateway: RunningGateway) -> Request:
    """The last request that the upstream was sent, without those for lists."""
    return [each for each in gateway.upstream.requests if each.method == "POST"][-1]


def ask(**more: Any) -> dict[str, Any]:
    """A body."""
    return {"model": CLAUDE, "max_tokens": 100, "messages": HELLO, **more}


def message(text: str = "Hello.", **more: Any) -> bytes:
    """A whole message as Anthropic writes it."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-20990101",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **more,
    }
    return json.dumps(body).encode()


def event(kind: str, **more: Any) -> bytes:
    """One event of a stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def delta(text: str, index: int = 0) -> bytes:
    """Some more text."""
    told = {"type": "text_delta", "text": text}
    return event("content_block_delta", index=index, delta=told)


START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-20990101",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    },
)
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
CLOSE = event("content_block_stop", index=0)
END = event(
    "message_delta",
    delta={"stop_reason": "end_turn", "stop_sequence": None},
    usage={"output_tokens": 5},
)
STOP = event("message_stop")


def stream_of(*texts: str) -> list[bytes]:
    """A whole stream."""
    return [START, OPEN, PING, *map(delta, texts), CLOSE, END, STOP]


def plays(*pieces: bytes) -> Callable[[socket.socket, Request], str | None]:
    """An upstream that streams these, and breaks the connection off behind them."""

    def answer(connection: socket.socket, request: Request) -> str | None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return None
        begin_stream(connection)
        for piece in pieces:
            send_piece(connection, piece)
        connection.sendall(b"0\r\n\r\n")
        return None

    return answer


def says(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Callable[[socket.socket, Request], None]:
    """An upstream that answers whole."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        else:
            reply(connection, body, status=status, headers=headers)

    return answer


def call(
    gateway: RunningGateway, user: NewUser, body: dict[str, Any] | bytes, **headers: str
) -> httpx.Response:
    """One call; a header's underscores are hyphens."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with gateway.client(user, **told) as client:
        return client.post("/v1/messages", content=raw)


def events_of(content: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events; each is named as its data says."""
    found = []
    for each in content.decode().split("\n\n"):
        if not each.strip():
            continue
        name, data = each.strip().split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        found.append(told)
    return found
