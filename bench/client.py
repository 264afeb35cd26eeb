"""A connection that calls the gateway, and takes as little CPU as a client can."""

from __future__ import annotations

import asyncio
import time

CHAT = "/v1/chat/completions"
STREAM_WAIT_S = 120
"""Longest wait for the first output of a stream, seconds."""
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection, and what became of its calls."""

    def __init__(self, port: int, key: str, body: bytes, path: str = CHAT) -> None:
        """Not connected yet."""
        self._port = port
        self._request = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}"
            f"\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._came = b""
        self._first = False
        self.answered, self.shed = list[float](), list[float]()
        """How long the calls took, seconds."""

    async def connect(self) -> None:
        """One connection for all calls."""
        loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[bytes] = loop.create_future()
        self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def data_received(self, data: bytes) -> None:
        """More of a reply."""
        self._came += data
        if not self._reply.done() and self._whole():
            self._reply.set_result(self._came)

    def _whole(self) -> bool:
        if self._first:
            return b"data: " in self._came
        head, ended, body = self._came.partition(b"\r\n\r\n")
        told = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return bool(ended) and (len(body) >= int(told) if told else body.endswith(LAST_CHUNK))

    def connection_lost(self, error: Exception | None) -> None:
        """No reply will come."""
        if not self._reply.done():
            self._reply.set_exception(error or ConnectionResetError())

    async def _ask(self) -> bytes:
        self._came, self._reply = b"", asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return await self._reply

    async def call(self) -> None:
        """One call, whole."""
        began = time.perf_counter()
        came = await self._ask()
        took = time.perf_counter() - began
        if came.startswith(b"HTTP/1.1 200"):
            self.answered.append(took)
        elif b'"overloaded"' in came:
            self.shed.append(took)
        else:
            raise RuntimeError(came)

    async def begin_stream(self) -> None:
        """One stream, as far as its first output; it goes on unread."""
        self._first = True
        await self.connect()
        async with asyncio.timeout(STREAM_WAIT_S):
            came = await self._ask()
        if not came.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(came)
        self._transport.pause_reading()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    async def every(self, pause_s: float, until: float) -> None:
        """Call again and again, as often as the pause says, or as the replies come."""
        due = time.perf_counter() + pause_s * (id(self) % 97) / 97
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self.call()
            due = max(due + pause_s, time.perf_counter())
