"""What the simulator makes is bounded, whatever it is asked for."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from providers.inference.adapters.simulator.answers import (
    OUTPUT_BYTES_MAX,
    OUTPUT_TOKENS_MAX,
    VECTOR_NUMBERS_MAX,
)
from providers.inference.adapters.simulator.speaking import WORDS_MAX
from providers.inference.adapters.simulator.upstream import Simulator
from providers.inference.port import Operation


def asked(content: str, **more: Any) -> bytes:
    """A chat request."""
    return json.dumps(
        {"model": "echo", "messages": [{"role": "user", "content": content}], **more}
    ).encode()


def whole(body: bytes, operation: Operation = Operation.CHAT) -> tuple[int, Any]:
    """Status and reply."""

    async def ask() -> tuple[int, Any]:
        reply = await Simulator().send(operation, body)
        return reply.status, json.loads(await reply.whole())

    return asyncio.run(ask())


LONG: dict[str, dict[str, Any]] = {
    "many words": {"content": "a " * (OUTPUT_TOKENS_MAX + 1)},
    "one word": {"content": "a" * (OUTPUT_BYTES_MAX + 1)},
    "wide characters": {"content": "\N{GRINNING FACE}" * OUTPUT_BYTES_MAX},
    "repeated": {"content": "a" * 100_000, "simulator": {"output_tokens": 1_000}},
    "many tokens": {"content": "a", "simulator": {"output_tokens": 10**9}},
    "many choices": {"content": "a" * 100_000, "n": 128},
}


@pytest.mark.parametrize("what", LONG)
def test_a_long_reply_is_cut(what: str) -> None:
    """In tokens and in bytes, all choices together (rule: bounded)."""
    status, reply = whole(asked(**LONG[what]))
    assert status == 200
    choices = reply["choices"]
    assert {each["finish_reason"] for each in choices} == {"length"}
    texts = [each["message"]["content"] for each in choices]
    assert sum(len(each.encode()) for each in texts) <= OUTPUT_BYTES_MAX
    assert reply["usage"]["completion_tokens"] <= OUTPUT_TOKENS_MAX


def test_a_reply_that_fits_is_whole() -> None:
    """Nothing is cut without need (rule: bounded)."""
    status, reply = whole(asked("one two three"))
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "one two three")
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_a_stream_is_made_as_it_is_read() -> None:
    """The longest of them keeps no memory for what nobody has read yet (rule: bounded)."""
    body = asked("a", simulator={"output_tokens": OUTPUT_TOKENS_MAX}, stream=True)

    async def begin() -> int:
        reply = await Simulator().send(Operation.CHAT, body, stream=True)
        tracemalloc.start()
        for _ in range(100):
            assert await reply.piece()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert asyncio.run(begin()) < 2**20


def test_too_many_numbers_are_refused() -> None:
    """Vectors cannot be cut (rule: bounded)."""
    inputs = ["a"] * 2_048
    fits = VECTOR_NUMBERS_MAX // len(inputs)
    for dimensions, expected in ((fits, 200), (fits + 1, 400)):
        body = json.dumps({"model": "embed", "input": inputs, "dimensions": dimensions}).encode()
        assert whole(body, Operation.EMBEDDINGS)[0] == expected


@pytest.mark.parametrize(("form", "head"), [("pcm", 0), ("wav", 44), ("mp3", 44)])
def test_a_long_text_is_not_read_to_its_end(form: str, head: int) -> None:
    """A tenth of a second for each of its first words (rule: bounded)."""

    async def ask() -> bytes:
        body = json.dumps({"model": "speak", "input": "a " * 4_096, "response_format": form})
        reply = await Simulator().send(Operation.SPEECH, body.encode(), stream=True)
        return await reply.whole()

    made = asyncio.run(ask())
    assert len(made) == head + WORDS_MAX * 4_800
    assert made[:4] == b"RIFF" or not head
