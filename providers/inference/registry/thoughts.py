"""Which thoughts of earlier turns a provider takes back in a chat, and what it is not sent.

Replies hand out thoughts as members of an assistant message that OpenAI's API does not have, and
clients send messages back as they came, to another provider, too. Some providers refuse a body for
a member that they do not know, and some refuse one without the thoughts that they gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Taken = Mapping[str, tuple[str, ...]]
    """By member, how the ids begin of the models that are sent it; "" is all of them."""

DETAILS = "reasoning_details"
SIGNED_CALLS = "extra_content"
"""Stands in calls of tools: Gemini's signatures."""
THOUGHTS = ("reasoning", "reasoning_content", DETAILS, SIGNED_CALLS)
ALL = ("",)
EVERYTHING: Taken = dict.fromkeys(THOUGHTS, ALL)
"""Aggregators pass thoughts on to who made them; Anthropic and Gemini are sent a translation."""
USUAL: Taken = {name: ALL for name in THOUGHTS if name != DETAILS}
"""DeepSeek and xAI give `reasoning_content` (DeepSeek refuses calls of tools without it), vLLM and
Together `reasoning`, Google's own OpenAI form `extra_content`; each takes back what it gives.
"""
STRICT: Mapping[str, Taken] = {
    "openai": {},
    # Its reference has it for models that reason, and others refuse it.
    "groq": {"reasoning": ("openai/gpt-oss", "qwen/qwen3")},
    # It wants thoughts in the content, and refuses members that it does not know.
    "cerebras": {},
}
"""Built-in providers that refuse a body for a member that they do not know."""

_decode_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_ASSISTANT = "assistant"


def said_to_take(names: Iterable[str]) -> Taken:
    """What the providers file says; raises ValueError for another name."""
    wrong = next((each for each in names if each not in THOUGHTS), None)
    if wrong is not None:
        message = f"thoughts: {wrong!r} is none; they are {', '.join(THOUGHTS)}"
        raise ValueError(message)
    return dict.fromkeys(names, ALL)


def with_taken_thoughts(messages: msgspec.Raw, taken: Taken, model_id: str) -> msgspec.Raw:
    """A chat's messages without the thoughts that a provider does not take; else as they came."""
    dropped = [each for each in THOUGHTS if not model_id.startswith(taken.get(each, ()))]
    raw = bytes(messages)
    if not any(each.encode() in raw for each in dropped):
        return messages
    try:
        turns: list[dict[str, msgspec.Raw]] = _decode_messages(raw)
    except msgspec.MsgspecError:
        return messages
    left_out = False
    for turn in turns:
        if _read(turn.get("role")) != _ASSISTANT:
            continue
        for name in dropped:
            left_out |= name != SIGNED_CALLS and turn.pop(name, None) is not None
        if SIGNED_CALLS in dropped and SIGNED_CALLS.encode() in bytes(turn.get("tool_calls", b"")):
            turn["tool_calls"] = _unsigned(turn["tool_calls"])
            left_out = True
    return msgspec.Raw(_encode(turns)) if left_out else messages


def _unsigned(calls: msgspec.Raw) -> msgspec.Raw:
    try:
        listed: list[dict[str, msgspec.Raw]] = _decode_messages(calls)
    except msgspec.MsgspecError:
        return calls
    for each in listed:
        each.pop(SIGNED_CALLS, None)
    return msgspec.Raw(_encode(listed))


def _read(raw: msgspec.Raw | None) -> Any:
    try:
        return None if raw is None else _decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
