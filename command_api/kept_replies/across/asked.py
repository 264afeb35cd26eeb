"""Which requests may be shared: those of which every member is known to say nothing of its caller.

What is not in these lists is never shared, so that a member of tomorrow is not by mistake.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLING = frozenset({"model", "stream", "temperature", "top_p"})
_PENALTIES = frozenset({"frequency_penalty", "logit_bias", "presence_penalty", "seed", "stop", "n"})
SHARED: Mapping[Operation, frozenset[str]] = {
    Operation.CHAT: _SAMPLING
    | _PENALTIES
    | {
        *("messages", "stream_options", "max_tokens", "max_completion_tokens", "logprobs"),
        *("top_logprobs", "response_format", "reasoning_effort", "verbosity"),
    },
    Operation.COMPLETIONS: _SAMPLING
    | _PENALTIES
    | {"prompt", "stream_options", "max_tokens", "suffix", "echo", "best_of", "logprobs"},
    Operation.MESSAGES: _SAMPLING
    | {"messages", "system", "max_tokens", "stop_sequences", "top_k", "thinking"},
    Operation.RESPONSES: _SAMPLING
    | {
        *("input", "instructions", "max_output_tokens", "store", "text", "reasoning"),
        *("truncation", "top_logprobs"),
    },
    Operation.EMBEDDINGS: frozenset({"model", "input", "dimensions", "encoding_format"}),
}
"""The members of each API that a shared request may have."""
_TEXTS = frozenset({"text", "input_text", "output_text"})
_SAYS = frozenset({"role", "content", "type"})
_PART = frozenset({"type", "text", "annotations", "cache_control"})
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_PROMPTS = ("messages", "system", "input")
BODY_BYTES_MAX = 64 * 1024
"""What is longer is hardly asked by two; so much is read again on the way of a call."""


class _TwiceError(ValueError):
    """An object has a member twice."""


def why_not_shared(raw: bytes, operation: Operation) -> str:
    """Why a checked request is never shared; empty for one that may be."""
    known = SHARED.get(operation)
    if known is None:
        return "operation"
    if len(raw) > BODY_BYTES_MAX:
        return "too_long"
    try:
        members: dict[str, Any] = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        # A provider may read the other one of two: its answer were that to another request.
        return "member"
    return _why_not(members, operation) if members.keys() <= known else "member"


def _why_not(members: dict[str, Any], operation: Operation) -> str:
    if operation is Operation.RESPONSES and members.get("store") is not False:
        return "stored"
    texts = operation is Operation.EMBEDDINGS or all(_plain(members.get(e)) for e in _PROMPTS)
    return "" if texts else "parts"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _TwiceError
    return made


def _plain(prompt: Any) -> bool:
    """Whether a prompt is text alone: said by a role, without a name, an id, a call or a file."""
    if prompt is None or isinstance(prompt, str):
        return True
    return isinstance(prompt, list) and all(map(_says, prompt))


def _says(each: Any) -> bool:
    if not isinstance(each, dict):
        return False
    if "role" not in each:
        return _text(each)
    role, content = each["role"], each.get("content")
    if not each.keys() <= _SAYS or each.get("type", "message") != "message":
        return False
    if not isinstance(role, str) or role not in _ROLES:
        return False
    return isinstance(content, str) or (isinstance(content, list) and all(map(_text, content)))


def _text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() <= _PART
        and isinstance(part.get("type"), str)
        and part["type"] in _TEXTS
        and isinstance(part.get("text"), str)
    )
