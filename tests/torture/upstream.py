"""An upstream that mostly answers, and else does what a provider should not: by a seed.

`python -m tests.torture.upstream PORT SEED` serves Chat Completions on loopback until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WORDS_MAX = 24
HEAD_BYTES_MAX = 2**16
USUAL_SHARE = 0.7
"""Share of the requests that are answered as they should be."""

INPUT_TOKENS = 10
ABSURD_TOKENS = (10**18, 2**64 - 1, -1, 0, "many", None, 1.5, True)


def _usage(output: Any) -> dict[str, Any]:
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": output}


def _whole(words: int, usage: dict[str, Any] | None) -> bytes:
    message = {"role": "assistant", "content": "word " * words}
    body = {
        "id": "chatcmpl-torture",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    return json.dumps(body).encode()


def _event(delta: dict[str, Any] | None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    body = {"id": "chatcmpl-torture", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    event = b"data: " + json.dumps({**body, "choices": choices, **more}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _sized(body: bytes, status: int = 200, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    )
    return head.encode() + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Upstream:
    """One run's worth of answers; each request draws its own fate."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._whole: list[Callable[[asyncio.StreamWriter], Awaitable[None]]] = [
            self.refuses,
            self.absurd,
            self.silent,
            self.cut_body,
            self.not_http,
            self.not_json,
            self.drops,
        ]
        self._streamed: list[Callable[[asyncio.StreamWriter], Awaitable[None]]] = [
            self.refuses,
            self.absurd_stream,
            self.cut_stream,
            self.slow_stream,
            self.endless_stream,
            self.not_http,
            self.drops,
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                asked = json.loads(await reader.readexactly(length))
                if not await self.answer(asked, writer):
                    break
        writer.close()

    async def answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Answer by what the seed says; whether the connection can go on."""
        streamed = bool(asked.get("stream"))
        if self._random.random() < USUAL_SHARE:
            words = self._random.randint(1, WORDS_MAX)
            if streamed:
                await self.stream(writer, words, pause_s=self._random.choice((0, 0.005, 0.02)))
            else:
                await asyncio.sleep(self._random.choice((0, 0.01, 0.1)))
                writer.write(_sized(_whole(words, _usage(words))))
                await writer.drain()
            return True
        fate = self._random.choice(self._streamed if streamed else self._whole)
        await fate(writer)
        return fate in (self.refuses, self.absurd, self.absurd_stream, self.slow_stream)

    async def stream(
        self, writer: asyncio.StreamWriter, words: int, *, pause_s: float, usage: Any = None
    ) -> None:
        """A whole stream, as it should be."""
        writer.write(STREAM_HEAD)
        for _ in range(words):
            writer.write(_event({"content": "word "}))
            await writer.drain()
            await asyncio.sleep(pause_s)
        writer.write(_event(None, usage=usage or _usage(words)) + DONE)
        await writer.drain()

    async def refuses(self, writer: asyncio.StreamWriter) -> None:
        """An error status, sometimes with details that have another type than one expects."""
        status = self._random.choice((400, 401, 404, 429, 500, 502, 503))
        code = self._random.choice(("x", "\u00b2", 5, None))
        error: dict[str, Any] = {
            "message": "no",
            "code": code,
            "details": self._random.choice((5, [], "x")),
        }
        writer.write(_sized(json.dumps({"error": error}).encode(), status))
        await writer.drain()

    async def absurd(self, writer: asyncio.StreamWriter) -> None:
        """Usage that cannot be."""
        writer.write(_sized(_whole(3, _usage(self._random.choice(ABSURD_TOKENS)))))
        await writer.drain()

    async def absurd_stream(self, writer: asyncio.StreamWriter) -> None:
        """Usage that cannot be, at the end of a stream."""
        usage = _usage(self._random.choice(ABSURD_TOKENS))
        await self.stream(writer, 3, pause_s=0, usage=usage)

    async def silent(self, writer: asyncio.StreamWriter) -> None:
        """No answer for a while, then none at all."""
        await asyncio.sleep(self._random.choice((0.5, 2, 4)))
        writer.transport.abort()

    async def cut_body(self, writer: asyncio.StreamWriter) -> None:
        """Less than was promised."""
        body = _whole(5, _usage(5))
        writer.write(_sized(body[: len(body) // 2], length=len(body)))
        await writer.drain()

    async def cut_stream(self, writer: asyncio.StreamWriter) -> None:
        """The connection dies within a stream."""
        writer.write(STREAM_HEAD + _event({"content": "half "}) * 3)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()

    async def slow_stream(self, writer: asyncio.StreamWriter) -> None:
        """Longer than a worker often lives."""
        await self.stream(writer, 10, pause_s=0.2)

    async def endless_stream(self, writer: asyncio.StreamWriter) -> None:
        """More than was asked for, for as long as somebody reads."""
        writer.write(STREAM_HEAD)
        for _ in range(20_000):
            writer.write(_event({"content": "word " * 20}))
            await writer.drain()

    async def not_http(self, writer: asyncio.StreamWriter) -> None:
        """Bytes that are no reply."""
        writer.write(self._random.randbytes(200))
        await writer.drain()

    async def not_json(self, writer: asyncio.StreamWriter) -> None:
        """A body that cannot be read, in one of several ways."""
        bodies = (b"\xff\xfe{", b"[" * 50_000, b'{"choices": 5}', b"", b"null")
        writer.write(_sized(self._random.choice(bodies)))
        await writer.drain()

    async def drops(self, writer: asyncio.StreamWriter) -> None:
        """Nothing."""
        writer.transport.abort()


async def main(port: int, seed: int) -> None:
    """Serve until killed."""
    upstream = Upstream(seed)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port, limit=HEAD_BYTES_MAX)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
