"""Thoughts that others made, in a body for Anthropic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.inference.adapters.anthropic.foreign import has_foreign, without_foreign
from providers.inference.adapters.details import GEMINI, packed

THEIRS = packed([{"type": "reasoning.encrypted", "format": GEMINI, "id": "a", "data": "S"}])
TEXT = {"type": "text", "text": "Hi"}
OWN = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
HIDDEN = {"type": "redacted_thinking", "data": "own"}
FOREIGN = {"type": "redacted_thinking", "data": THEIRS}
PLAIN = {"type": "thinking", "thinking": "Hm.", "signature": ""}


def _left(*messages: Any) -> Any:
    raw = json.dumps(messages).encode()
    return without_foreign(raw) if has_foreign(raw) else None


def test_what_others_thought_is_left_out() -> None:
    """Unsigned or packed here; what is Anthropic's own stays (rule: translation)."""
    turn = {"role": "assistant", "content": [PLAIN, FOREIGN, OWN, HIDDEN, TEXT]}
    user = {"role": "user", "content": "Hi"}
    assert _left(user, turn) == [user, {**turn, "content": [OWN, HIDDEN, TEXT]}]
    assert _left(user, {**turn, "content": [PLAIN]}, user) == [user, user]


@pytest.mark.parametrize(
    "content",
    [
        "text",
        [],
        [TEXT, OWN, HIDDEN],
        [{"type": "text", "text": json.dumps(PLAIN)}],
        [{"type": "tool_use", "input": {"signature": ""}}],
        ["gwd1.", None, 1],
        [{"type": "redacted_thinking", "data": {"gwd1.": 1}}],
    ],
)
def test_a_body_without_any_passes_as_it_is(content: Any) -> None:
    """Nothing is written anew that only looks so (rule: refuse clearly)."""
    assert _left({"role": "assistant", "content": content}) is None
