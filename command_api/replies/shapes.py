"""OpenAI's types of replies and chunks, as far as a reply is held against them.

They are msgspec structures, which cost next to nothing to check. What nobody forbids, such as
members that OpenAI does not know, passes.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from command_api.replies.usage_report import FullUsage  # noqa: TC001 - read at run time.

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Role = Literal["developer", "system", "user", "assistant", "tool"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority"]


class Function(msgspec.Struct):
    """Part of a called function."""

    name: str | None = None
    arguments: str | None = None


class DeltaCall(msgspec.Struct):
    """Part of a tool call in a stream."""

    index: int
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: Function | None = None
    custom: dict[str, Any] | None = None


class Delta(msgspec.Struct):
    """What a chunk adds; everything here but the role is output."""

    content: str | None = None
    role: Role | None = None
    refusal: str | None = None
    tool_calls: list[DeltaCall] | None = None
    function_call: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_details: Any = None
    audio: Any = None
    images: Any = None


class Choice(msgspec.Struct):
    """One choice of a chunk."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: dict[str, Any] | None = None


class Chunk(msgspec.Struct):
    """One chunk of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[Choice]
    usage: FullUsage | None = None
    service_tier: ServiceTier | None = None
    system_fingerprint: str | None = None
    error: Any = None


class CalledFunction(msgspec.Struct):
    """A function that was called."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A whole tool call."""

    id: str
    type: Literal["function", "custom"]
    function: CalledFunction | None = None
    custom: dict[str, Any] | None = None


class Message(msgspec.Struct):
    """The message of a whole reply."""

    role: Literal["assistant"]
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    annotations: list[dict[str, Any]] | None = None


class WholeChoice(msgspec.Struct):
    """One choice of a whole reply."""

    index: int
    message: Message
    finish_reason: FinishReason
    logprobs: dict[str, Any] | None = None


class Completion(msgspec.Struct):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[WholeChoice]
    usage: FullUsage | None = None
    service_tier: ServiceTier | None = None
    system_fingerprint: str | None = None
    error: Any = None


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no JSON, no UTF-8, or nested beyond reason."""

decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_completion = msgspec.json.Decoder(Completion).decode
