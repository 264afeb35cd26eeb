"""A read route, asked from inside with the caller's own key: nothing is decided a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from edge.asgi import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge.asgi import Message, Receive, Scope, Send

    Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

ANSWER_BYTES_MAX = 8 * 2**20
"""Largest answer of a route that a tool passes on."""
KEPT = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path", REQUEST_ID)
"""What of a request's scope says who asks, and where; the framework adds the rest anew."""
OF_THE_MESSAGE = (b"accept", b"content-", b"if-", b"mcp-", b"range", b"transfer-encoding")
"""Beginnings of the headers that speak of the message itself, not of who sends it."""


class AnswerTooLargeError(Exception):
    """A route answered with more than a tool passes on."""


class Answer(NamedTuple):
    """What a route answered."""

    status: int
    body: bytes


async def ask(endpoint: Endpoint, scope: Scope, path: str, query: str) -> Answer:
    """What a GET of the path answers to who sent the request of `scope`.

    Key, addresses and referrers are theirs, so the route admits or refuses as it always does.
    Raises AnswerTooLargeError.
    """
    asked: Scope = {
        **{name: scope[name] for name in KEPT if name in scope},
        "method": "GET",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode(),
        "headers": [each for each in scope["headers"] if not each[0].startswith(OF_THE_MESSAGE)],
    }
    status, parts, size = 0, list[bytes](), 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, size
        if message["type"] == "http.response.start":
            status = message["status"]
            return
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > ANSWER_BYTES_MAX:
            raise AnswerTooLargeError

    await endpoint(asked, receive, send)
    return Answer(status, b"".join(parts))
