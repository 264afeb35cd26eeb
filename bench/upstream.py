"""A fake upstream that costs next to nothing: canned replies on an asyncio.Protocol.

`python -m bench.upstream PORT` answers every POST in the form of OpenAI's chat or Responses or of
Anthropic's Messages, as the path says: with 1 KiB of text, or, when the body asks for a stream,
with 50 pieces of it, the usage and the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count
from typing import cast

import httptools
import uvloop

CHUNKS = 50
REPLY_BYTES = 1_024
RESPONSE_ID = "resp_00000000"
NUMBERS = count()
"""Of responses: each has an id of its own, as it may be stored."""
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
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
    return (
        STREAM_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    )


def _stream(*events: dict[str, object]) -> bytes:
    parts = [
        b"event: %b\ndata: %b\n\n" % (str(each["type"]).encode(), json.dumps(each).encode())
        for each in events
    ]
    return STREAM_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


def _messages() -> tuple[bytes, bytes]:
    usage = {"input_tokens": 11, "output_tokens": 256}
    body: dict[str, object] = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "bench",
        "content": [{"type": "text", "text": "x" * REPLY_BYTES}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    begun = {**body, "content": [], "stop_reason": None}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    at, text = {"index": 0}, {"type": "text", "text": ""}
    told = [{"type": "text_delta", "text": f"tok{n} "} for n in range(CHUNKS)]
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", **at, "content_block": text},
        *({"type": "content_block_delta", **at, "delta": each} for each in told),
        {"type": "content_block_stop", **at},
        {"type": "message_delta", "delta": ended, "usage": usage},
        {"type": "message_stop"},
    ]
    return _sized(json.dumps(body).encode(), b"application/json"), _stream(*events)


def _responses() -> tuple[bytes, bytes]:
    part: dict[str, object] = {"type": "output_text", "text": "x" * REPLY_BYTES, "annotations": []}
    item: dict[str, object] = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 256,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 267,
    }
    body: dict[str, object] = {
        "id": RESPONSE_ID,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "bench",
        "output": [item],
        "error": None,
        "incomplete_details": None,
        "usage": usage,
    }
    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
    told = [f"tok{n} " for n in range(CHUNKS)]
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": each} for each in told),
        {"type": "response.output_text.done", **at, "text": "".join(told)},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": body},
    ]
    numbered = [{**each, "sequence_number": number} for number, each in enumerate(events)]
    return _sized(json.dumps(body).encode(), b"application/json"), _stream(*numbered)


JSON_REPLY = _json_reply()
REPLIES = {
    b"/messages": _messages(),
    b"/responses": _responses(),
    b"/completions": (JSON_REPLY, _stream_reply()),
}
"""Whole and streamed, by how the path ends."""


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Get ready for the first request."""
        self.transport = cast("asyncio.Transport", transport)
        self._begin()

    def _begin(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body = self.path = b""

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep how the path ends."""
        self.path = b"/" + url.partition(b"?")[0].rpartition(b"/")[2]

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Answer."""
        streamed = b'"stream":true' in self.body
        reply = REPLIES[self.path][streamed]
        if self.path == b"/responses":
            reply = reply.replace(RESPONSE_ID.encode(), b"resp_%08x" % next(NUMBERS))
        self.transport.write(reply)
        asyncio.get_running_loop().call_soon(self._begin)


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
