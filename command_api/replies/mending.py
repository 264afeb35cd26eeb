"""Makes replies fit OpenAI's types, where a provider's do not.

Most replies fit as they are (`shapes`) and pass byte for byte. Only one that does not fit is
decoded into plain values, mended, and written anew.

Measured misfits: unknown `service_tier` (Groq), finish reasons of their own (Together `eos`,
HuggingFace `eos_token`), no `object` (z.ai), `text_completion` (HuggingFace), content as a list of
parts and tool calls without a type (Mistral).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.usage_report import COUNTED_BESIDE, Details, FullUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

DETAILS = ("prompt_tokens_details", "prompt_token_details", "completion_tokens_details")

FINISH_REASONS: dict[str, str] = {
    **{each: each for each in ("stop", "length", "tool_calls", "content_filter", "function_call")},
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "content-filter": "content_filter",
}
"""OpenAI's finish reasons, and other names for them; any other is a plain `stop`."""
ROLES = frozenset({"developer", "system", "user", "assistant", "tool"})
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})


def mend_chunk(value: dict[str, Any], *, call_id: str, model: str) -> dict[str, Any]:
    """The chunk as OpenAI would have written it."""
    mended = mend_top(value, "chat.completion.chunk", call_id, model)
    for place, choice in enumerate(mended["choices"]):
        mend_choice(choice, place)
        delta = choice.get("delta")
        choice["delta"] = delta if isinstance(delta, dict) else _delta_of(choice)
        _mend_message(choice["delta"])
        calls = choice["delta"].get("tool_calls")
        for number, each in enumerate(calls or ()):
            each.setdefault("index", number)
    return mended


def mend_completion(value: dict[str, Any], *, call_id: str, model: str) -> dict[str, Any]:
    """The whole reply as OpenAI would have written it."""
    mended = mend_top(value, "chat.completion", call_id, model)
    for place, choice in enumerate(mended["choices"]):
        mend_choice(choice, place)
        choice["finish_reason"] = choice.get("finish_reason") or "stop"
        message = choice.get("message")
        choice["message"] = message if isinstance(message, dict) else _delta_of(choice)
        choice["message"]["role"] = "assistant"
        _mend_message(choice["message"])
        choice["message"].setdefault("content", None)
        for number, each in enumerate(choice["message"].get("tool_calls") or ()):
            if not isinstance(each.get("id"), str):
                each["id"] = f"call_{number}"
            if each["type"] == "custom":
                continue
            function = each["function"]
            function["name"] = str(function.get("name") or "")
            function.setdefault("arguments", "")
        if not isinstance(choice["message"].get("annotations"), list):
            choice["message"].pop("annotations", None)
    return mended


def _delta_of(choice: dict[str, Any]) -> dict[str, Any]:
    """Completions of the old kind have a bare text."""
    text = choice.get("text")
    return {"content": text} if isinstance(text, str) else {}


def mend_top(value: dict[str, Any], kind: str, call_id: str, model: str) -> dict[str, Any]:
    """What stands around the choices."""
    mended = dict(value)
    if not isinstance(mended.get("id"), str):
        mended["id"] = f"chatcmpl-{call_id}"
    mended["object"] = kind
    created = mended.get("created")
    if not isinstance(created, int):
        mended["created"] = int(created) if isinstance(created, float) else int(time.time())
    if not isinstance(mended.get("model"), str):
        mended["model"] = model
    if mended.get("service_tier") not in SERVICE_TIERS:
        mended.pop("service_tier", None)
    if not isinstance(mended.get("system_fingerprint"), str):
        mended.pop("system_fingerprint", None)
    if "usage" in mended:
        usage = _mend_usage(mended["usage"])
        mended["usage"] = usage
        if usage is None:
            del mended["usage"]
    choices = mended.get("choices")
    kept = choices if isinstance(choices, list) else []
    mended["choices"] = [each for each in kept if isinstance(each, dict)]
    return mended


def _mend_usage(usage: Any) -> dict[str, Any] | None:
    """OpenAI's three counts, whatever else there is."""
    if not isinstance(usage, dict):
        return None
    mended = dict(usage)
    for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        mended[name] = _count(mended.get(name)) or _count(mended.get(other))
    total = _count(mended.get("total_tokens"))
    mended["total_tokens"] = total or mended["prompt_tokens"] + mended["completion_tokens"]
    for name in DETAILS:
        if name in mended and not isinstance(mended[name], dict):
            del mended[name]
        elif name in mended:
            mended[name] = _whole_numbers(mended[name], Details.__struct_fields__)
    counts = [
        name
        for name in FullUsage.__struct_fields__
        if name not in DETAILS and name not in COUNTED_BESIDE
    ]
    return _whole_numbers(mended, counts)


def _whole_numbers(members: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The same, with whole numbers under these names; what is no number is left out."""
    kept = dict(members)
    for name in names:
        value = kept.get(name)
        if isinstance(value, float) or (isinstance(value, str) and value.isdecimal()):
            kept[name] = int(value)
        elif value is not None and not isinstance(value, int):
            del kept[name]
    return kept


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value >= 0 else 0


def mend_choice(choice: dict[str, Any], place: int) -> None:
    """What stands in a choice beside what was made; `place` is its index, if it tells none."""
    if not isinstance(choice.get("index"), int):
        choice["index"] = place
    reason = choice.get("finish_reason")
    if reason is not None:
        known = str(reason).lower()
        choice["finish_reason"] = FINISH_REASONS.get(known, "stop") if known else None
    if not isinstance(choice.get("logprobs"), dict):
        choice["logprobs"] = None


def _mend_message(message: dict[str, Any]) -> None:
    """A message or delta: text is text, calls are calls of functions."""
    if message.get("role") not in ROLES:
        message.pop("role", None)
    content = message.get("content")
    if isinstance(content, list):
        _split_parts(message, content)
    elif content is not None and not isinstance(content, str):
        message["content"] = msgspec.json.encode(content).decode()
    if message.get("refusal") is not None and not isinstance(message["refusal"], str):
        del message["refusal"]
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        message.pop("tool_calls", None)
        return
    message["tool_calls"] = [each for each in calls if isinstance(each, dict)]
    for call in message["tool_calls"]:
        _mend_call(call)


def _mend_call(call: dict[str, Any]) -> None:
    if not isinstance(call.get("id"), str):
        call.pop("id", None)
    if call.get("type") == "custom" and isinstance(call.get("custom"), dict):
        return
    call["type"] = "function"
    function = call.get("function")
    if not isinstance(function, dict):
        call["function"] = function = {}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        function["arguments"] = msgspec.json.encode(arguments).decode()
    if not isinstance(function.get("name"), str):
        function.pop("name", None)


def _split_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Mistral's parts: text is the content, thinking is reasoning."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        thinking = part.get("thinking")
        if isinstance(thinking, str):
            thoughts.append(thinking)
        elif isinstance(thinking, list):
            thoughts += [t["text"] for t in thinking if isinstance(t.get("text"), str)]
    message["content"] = "".join(texts)
    if thoughts and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(thoughts)
