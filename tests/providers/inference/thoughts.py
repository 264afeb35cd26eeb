"""Which thoughts of earlier turns a provider is sent in a chat: one table, tested and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from providers.inference.registry.thoughts import (
    EVERYTHING,
    STRICT,
    USUAL,
    with_taken_thoughts,
)
from tests.providers.inference.translations import CARRIED, LEFT_OUT, Line, To

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.inference.registry.thoughts import Taken

    Translate = Callable[[dict[str, Any]], dict[str, Any]]


def sent_to(taken: Taken, model: str = "m") -> Translate:
    """What a provider is sent of a chat."""

    def translate(body: dict[str, Any]) -> dict[str, Any]:
        raw = msgspec.Raw(msgspec.json.encode(body["messages"]))
        return {**body, "messages": with_taken_thoughts(raw, taken, model)}

    return translate


THOUGHTS_TO: dict[str, Translate] = {
    "Aggregators": sent_to(EVERYTHING),
    "Groq": sent_to(STRICT["groq"]),
    "Groq's `openai/gpt-oss…`, `qwen/qwen3…`": sent_to(STRICT["groq"], "qwen/qwen3-32b"),
    "OpenAI, Cerebras": sent_to(STRICT["openai"]),
    "Others": sent_to(USUAL),
}


def _line(member: str, said: dict[str, Any], *passes: bool) -> Line:
    asked = {"role": "user", "content": "Hi"}
    shown = f'"{member}":'
    tos = [To(CARRIED, "", (shown,)) if each else To(LEFT_OUT, "", (), shown) for each in passes]
    return Line(f"`{member}`", {"messages": [asked, {"role": "assistant", **said}]}, tuple(tos))


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED_CALL = {**CALL, "extra_content": {"google": {"thought_signature": "SIG"}}}
THOUGHTS: tuple[Line, ...] = (
    _line(
        "reasoning_content",
        {"content": "So.", "reasoning_content": "Hm."},
        *(True, False, False, False, True),
    ),
    _line("reasoning", {"content": "So.", "reasoning": "Hm."}, *(True, False, True, False, True)),
    _line(
        "reasoning_details",
        {"content": "So.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        *(True, False, False, False, False),
    ),
    _line(
        "extra_content",
        {"content": None, "tool_calls": [SIGNED_CALL]},
        *(True, False, False, False, True),
    ),
)
