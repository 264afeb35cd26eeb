"""A fake OpenAI upstream that costs next to nothing: canned replies on an asyncio.Protocol.

`python -m bench.upstream PORT` answers every POST with 1 KiB of JSON, or, when the body asks for
a stream, with 50 chunks, a usage chunk and [DONE].
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

CHUNKS = 50
REPLY_BYTES = 1_024
USAGE = {"prompt_tokens": 11, "completion_tokens": 256, "total_tokens": 267}


def _sized(body: bytes, content_type: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


def _json_reply() -> bytes:
    message = {"role": "assistant", "content": "x" * REPLY_BYTES}
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    return _sized(json.dumps(body).encode(), b"application/json")


def _stream_reply() -> bytes:
    def chunk(choices: list[object], **more: object) -> bytes:
        body = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "bench",
            "choices": choices,
            **more,
        }
        return b"data: %b\n\n" % json.dumps(body).encode()

    parts = [chunk([{"index": 0, "delta": {"content": f"tok{n} "}}]) for n in range(CHUNKS)]
    parts += [chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]), chunk([], usage=USAGE)]
    parts.append(b"data: [DONE]\n\n")
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


JSON_REPLY, STREAM_REPLY = _json_reply(), _stream_reply()


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Get ready for the first request."""
        self.transport = cast("asyncio.Transport", transport)
        self._begin()

    def _begin(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Answer."""
        streamed = b'"stream":true' in self.body
        self.transport.write(STREAM_REPLY if streamed else JSON_REPLY)
        asyncio.get_running_loop().call_soon(self._begin)


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
