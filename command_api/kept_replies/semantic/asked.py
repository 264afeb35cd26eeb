"""What of a request is compared by meaning: its last text. All else must be equal, by digest.

Requests whose answers may act, or whose texts are not all that was sent, are never compared.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.kept_replies.digests import digest_of
from command_api.kept_replies.response_cache import ONLY_THE_FORM
from edge.body import decode_members
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMPARED: Mapping[Operation, str] = {
    Operation.CHAT: "messages",
    Operation.MESSAGES: "messages",
    Operation.COMPLETIONS: "prompt",
    Operation.RESPONSES: "input",
}
"""The operations that are, and where their texts stand."""
ACTS = ("tools", "functions", "tool_choice", "function_call", "mcp_servers")
"""Members with which an answer may do something, at a caller's who believes that he was read."""
STORED = ("previous_response_id", "conversation", "prompt")
"""Members of Responses that stand for more than was sent."""
TEXTS = frozenset({"text", "input_text", "output_text"})
TEXT_ROLES = frozenset({"system", "developer", "user", "assistant"})
_NUMBER = re.compile(r"[-\u2212]?\d+(?:[.,]\d+)*")
"""In the digits of any script; a sign is another number."""


class Split(NamedTuple):
    """A request's last text, and the digest of all that must be equal beside it."""

    text: str
    digest: bytes


async def split_of(raw: bytes, operation: Operation, *, text_bytes_max: int) -> Split | str:
    """What is compared of a checked request; else the reason why it is not."""
    name = COMPARED.get(operation)
    if name is None:
        return "operation"
    members = decode_members(raw)
    messages = _said(members[name])
    if messages is None:
        return "parts"
    text = (_text_of(messages[-1].get("content")) if messages else None) or ""
    why_not = _state_of(members, operation) or _why_not(members, messages)
    if not why_not and (not text.strip() or messages[-1].get("role") != "user"):
        why_not = "no_text"
    # What is not known to be short is not encoded to be measured.
    if len(text) > text_bytes_max or len(text.encode("utf-8", "replace")) > text_bytes_max:
        why_not = why_not or "text_too_long"
    if why_not:
        return why_not
    return Split(text, await _digest(members, name, messages, _numbers_of(text)))


def _said(raw: msgspec.Raw) -> list[dict[str, Any]] | None:
    """The messages of a prompt, of which a text is one; None for what has none."""
    given = msgspec.json.decode(raw)
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str):
        (given,) = given
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        return None
    return given


def _state_of(members: dict[str, msgspec.Raw], operation: Operation) -> str:
    """Why an answer is bound to its own request, whatever its text; empty for nothing."""
    if operation is Operation.COMPLETIONS and bytes(members.get("echo", b"")).strip() == b"true":
        return "echo"
    if operation is not Operation.RESPONSES:
        return ""
    # One that is stored is gone on from by its id, with the texts of its own request.
    kept = bytes(members.get("store", b"")) != b"false"
    return "stored" if kept or _any(members, STORED) else ""


def _any(members: dict[str, msgspec.Raw], names: Iterable[str]) -> bool:
    return any(bytes(members.get(each, b"null")) not in {b"null", b"[]"} for each in names)


def _why_not(members: dict[str, msgspec.Raw], messages: list[dict[str, Any]]) -> str:
    """What of a request keeps it from being compared; empty for nothing."""
    if _any(members, ACTS):
        return "tools"
    for each in messages:
        role, kind = each.get("role"), each.get("type", "message")
        if not isinstance(role, str) or role not in TEXT_ROLES or each.get("tool_calls"):
            return "tools"
        if kind != "message" or _text_of(each.get("content")) is None:
            return "parts"
    return ""


async def _digest(
    members: dict[str, msgspec.Raw],
    name: str,
    messages: list[dict[str, Any]],
    numbers: Iterable[str],
) -> bytes:
    """Of all but the last text; the numbers in it must be equal too, in their order."""
    for each in ONLY_THE_FORM:
        members.pop(each, None)
    last = {name: each for name, each in messages[-1].items() if name != "content"}
    encode = msgspec.json.encode
    members[name] = msgspec.Raw(encode([*messages[:-1], last]))
    beside = await digest_of(encode(members))
    return hashlib.sha256(beside + encode(list(numbers))).digest()


def _numbers_of(text: str) -> list[str]:
    """Its numbers, in their order; then what is a number without a digit, such as ½, Ⅳ, 五."""
    others = [each for each in text if each.isnumeric() and not each.isdecimal()]
    return [*_NUMBER.findall(text), *others]


def _text_of(content: Any) -> str | None:
    """A message's text; None where it has anything but text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts = []
    for part in content:
        kind, text = (part.get("type"), part.get("text")) if isinstance(part, dict) else ("", None)
        if not isinstance(kind, str) or kind not in TEXTS or not isinstance(text, str):
            return None
        texts.append(text)
    return "\n".join(texts)
