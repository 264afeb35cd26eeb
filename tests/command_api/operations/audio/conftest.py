"""A gateway with models that read aloud, by both prices."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import RunningGateway, ScriptedUpstream, running_gateway, send_piece

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

SPEAKING = """
[[provider.model]]
id = "tts"
per_million_characters = "15"
[[provider.model]]
id = "speaks"
input_per_million = "0.60"
output_per_million = "12"
output_modalities = ["speech"]
[[provider]]
name = "second"
base_url = "{base_url}"
api_key = "k"
speech_events = true
[[provider.model]]
id = "tts"
per_million_characters = "30"
[[provider.model]]
id = "tells"
input_per_million = "0.60"
output_per_million = "12"
output_modalities = ["speech"]
"""
SPEECH_PATH = "/v1/audio/speech"
ASK = {"model": "local/tts", "input": "Hello there.", "voice": "alloy"}


@pytest.fixture
def speech(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """The gateway; its books are right at the end."""
    text = SPEAKING.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


def begin_audio(connection: socket.socket, kind: str = "audio/mpeg", more: str = "") -> None:
    """The head of a chunked reply."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{more}transfer-encoding: chunked\r\n\r\n"
    connection.sendall(head.encode())


def audio(connection: socket.socket, *pieces: bytes, kind: str = "audio/mpeg") -> None:
    """A whole one."""
    begin_audio(connection, kind)
    for piece in pieces:
        send_piece(connection, piece)
    connection.sendall(b"0\r\n\r\n")


def event(said: dict[str, Any]) -> bytes:
    """An event of a provider's."""
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def delta(piece: bytes) -> bytes:
    """A piece of audio."""
    return event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})


def done(heard: int = 14, made: int = 101) -> bytes:
    """The last event."""
    report = {"input_tokens": heard, "output_tokens": made, "total_tokens": heard + made}
    return event({"type": "speech.audio.done", "usage": report})


def told(body: bytes) -> list[dict[str, Any]]:
    """The events of an answer."""
    lines = [line for line in body.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line[5:]) for line in lines if line[5:].strip() != b"[DONE]"]
