"""Bodies in OpenAI's form that the tests of translations share."""

from __future__ import annotations

from typing import Any

PNG = "data:image/png;base64,aGk="
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"y": 2}'},
    {"role": "user", "content": "And?"},
]


def ask(**more: Any) -> dict[str, Any]:
    """A body with the conversation."""
    return {"model": "m", "messages": TALK, **more}
