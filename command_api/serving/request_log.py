"""One line of JSON for each request on standard output, where the operator asks for it.

It says who was asked for what, how it ended and what it cost; nothing of a prompt, and no key.
Lines are written by a thread of their own: a reader that stalls costs lines, never a call.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from edge.asgi import CALL, header_of, trace_of
from edge.clients import without_keys
from event_store.ids import now_iso

if TYPE_CHECKING:
    from command_api.front.protocol import Endpoint
    from edge.asgi import Message, Receive, Scope, Send

LINES_MAX = 10_000
"""Most lines that wait to be written; more are dropped, and counted."""
PATH_CHARACTERS_MAX = 200
STDOUT = 1
NAMED = {
    b"x-gatewayz-call-id": "call_id",
    b"x-request-id": "request_id",
    b"x-gatewayz-provider": "provider",
}
"""What the headers of a reply say, and under which name."""


class RequestLog:
    """Writes the lines of one process."""

    def __init__(self, descriptor: int = STDOUT) -> None:
        """Begin to wait for lines."""
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(LINES_MAX)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def tell(self, facts: dict[str, Any]) -> None:
        """Write a line, soon; without waiting."""
        if self._dropped:
            facts["dropped_before"] = self._dropped
        try:
            self._lines.put_nowait(msgspec.json.encode(facts) + b"\n")
        except queue.Full:
            self._dropped += 1
        else:
            self._dropped = 0

    def stop(self, wait_s: float = 1.0) -> None:
        """Write what waits, as long as that takes no longer than this."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(wait_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                return  # Nobody reads any more: what comes now fills the queue, and is dropped.


class Logged:
    """An ASGI endpoint whose requests are told."""

    def __init__(self, endpoint: Endpoint, log: RequestLog, path: str | None = None) -> None:
        """`path` is that of an endpoint whose scope has none."""
        self._endpoint, self._log, self._path = endpoint, log, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as before, and tell how it went."""
        if scope["type"] != "http":
            await self._endpoint(scope, receive, send)
            return
        began = time.perf_counter()
        facts: dict[str, Any] = {
            "at": now_iso(),
            "method": scope["method"],
            "route": self._path or without_keys(scope["path"])[:PATH_CHARACTERS_MAX],
            "status": None,
        }

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
                for name, value in message["headers"]:
                    if name in NAMED:
                        facts[NAMED[name]] = value.decode("latin-1")
            await send(message)

        try:
            await self._endpoint(scope, receive, noted)
        finally:
            facts["duration_ms"] = int((time.perf_counter() - began) * 1_000)
            trace = trace_of(header_of(scope, b"traceparent"))
            if trace:
                facts["traceparent"] = trace.decode()
            self._log.tell(facts | facts_of(scope.get(CALL)))


def facts_of(call: Any) -> dict[str, Any]:
    """What a call says of itself; a request that made none has nothing to say."""
    if call is None:
        return {}
    facts: dict[str, Any] = {
        "call_id": call.id,
        "key_id": call.caller.key_id,
        "account_id": call.caller.account_id,
        "model": call.model.id,
        "provider": call.model.provider,
        "stream": call.request.stream,
        "attempts": len(call.attempts),
    }
    if call.charged is not None:
        usage, cost = call.charged
        facts |= {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_nano_usd": cost,
        }
    return facts
