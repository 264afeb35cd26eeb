"""Streams of images from a scripted upstream, and one gateway for all tests of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.harness import begin_stream, send_piece

if TYPE_CHECKING:
    import socket

    import httpx

    from tests.support.harness import RunningGateway

GENERATIONS = "/v1/images/generations"
EDIT, GENERATION = "image_edit", "image_generation"
PICTURE = "aGVsbG8="


def event(said: Any, name: str = "") -> bytes:
    """One event as OpenAI sends it."""
    first = f"event: {name}\n".encode() if name else b""
    return first + b"data: " + json.dumps(said).encode() + b"\n\n"


def partial(name: str = GENERATION, place: int = 0, **more: Any) -> bytes:
    """A picture of what is there so far."""
    kind = f"{name}.partial_image"
    said = {"type": kind, "b64_json": PICTURE, "partial_image_index": place, **more}
    return event(said, kind)


def completed(name: str = GENERATION, **more: Any) -> bytes:
    """The whole."""
    kind = f"{name}.completed"
    return event({"type": kind, "b64_json": PICTURE, "created_at": 1, **more}, kind)


def stream_with(gateway: RunningGateway, *pieces: bytes, ends: bool = True) -> None:
    """Let the upstream answer so; one that does not end breaks off."""

    def answer(connection: socket.socket, _: Any) -> str:
        begin_stream(connection)
        for piece in pieces:
            send_piece(connection, piece)
        if ends:
            connection.sendall(b"0\r\n\r\n")
        return "close"

    gateway.upstream.answer = answer


def told(body: bytes) -> list[dict[str, Any]]:
    """The events that a caller got."""
    lines = [each[5:].strip() for each in body.split(b"\n") if each.startswith(b"data:")]
    return [json.loads(each) for each in lines if each != b"[DONE]"]


def generate(gateway: RunningGateway, **more: Any) -> tuple[httpx.Response, dict[str, Any]]:
    """A call, and its story."""
    user = gateway.user()
    body = {"model": "local/gpt-image-1", "prompt": "A cat!!!", "stream": True, **more}
    with gateway.client(user) as client:
        got = client.post(GENERATIONS, json=body)
    return got, gateway.story(user, got) if got.status_code == 200 else {}
