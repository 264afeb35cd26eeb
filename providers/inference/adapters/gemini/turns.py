"""The turns of a Chat Completions body as Gemini's contents.

Signatures of thoughts belong to calls. They travel as in Google's own OpenAI endpoint,
`extra_content.google.thought_signature` of a tool call, and as OpenRouter's `reasoning_details`,
which callers of Messages and Responses bring back. Source: Google's "Thought signatures" (2025).
"""

from __future__ import annotations

import re
from typing import Any

from providers.inference.adapters.details import GEMINI
from providers.inference.adapters.translation import (
    arguments_of,
    parts_of,
    speaks_for,
    split_data_url,
    text_of,
)
from providers.inference.port import UnsupportedError

DEFAULT_MEDIA_TYPE = "image/jpeg"
AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
UNSIGNED = "skip_thought_signature_validator"
"""What Google has written where a call was made by another model, or its signature was lost."""
SIGNS_FROM = 3
"""The generation of models from which on the first call of each step must be signed."""
_GENERATION = re.compile(r"gemini-(\d+)")


def wants_signatures(body: dict[str, Any]) -> bool:
    """Whether the model refuses calls of the present turn that are not signed."""
    found = _GENERATION.search(body["model"])
    return found is not None and int(found[1]) >= SIGNS_FROM


def conversation(
    messages: list[dict[str, Any]], *, signed: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """The texts of the system prompt, and the contents; raises UnsupportedError."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        role = message.get("role")
        content = message.get("content")
        if role in ("system", "developer"):
            system.append(text_of(content))
            continue
        if role in ("tool", "function"):
            called = names.get(message.get("tool_call_id") or "") or message.get("name") or ""
            parts = [{"functionResponse": {"name": called, "response": _result(content)}}]
        else:
            parts = [_part(part) for part in parts_of(content)]
            kept = _kept(message)
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                call_id = call.get("id") or ""
                names[call_id] = function.get("name") or ""
                parts.append(_call(call, function, kept.get(call_id)))
        speaker = "model" if speaks_for(role) else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": speaker, "parts": parts})
    if signed:
        _sign(turns)
    return system, turns


def _kept(message: dict[str, Any]) -> dict[str, str]:
    """Signatures by the id of their call, as a caller kept them beside."""
    details = message.get("reasoning_details")
    return {
        each["id"]: each["data"]
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("format") == GEMINI
        if isinstance(each.get("id"), str) and isinstance(each.get("data"), str)
    }


def _sign(turns: list[dict[str, Any]]) -> None:
    """Mark calls whose signature is lost, since the user last said something: older ones may be."""
    for turn in reversed(turns):
        calls = [part for part in turn["parts"] if "functionCall" in part]
        if turn["role"] == "model":
            if calls:
                calls[0].setdefault("thoughtSignature", UNSIGNED)
        elif any("functionResponse" not in part for part in turn["parts"]):
            return


def _call(call: dict[str, Any], function: dict[str, Any], kept: str | None) -> dict[str, Any]:
    part: dict[str, Any] = {
        "functionCall": {
            "name": function.get("name") or "",
            "args": arguments_of(function.get("arguments")),
        }
    }
    google = (call.get("extra_content") or {}).get("google") or {}
    signature = google.get("thought_signature") or kept
    if signature:
        part["thoughtSignature"] = signature
    return part


def _result(content: Any) -> dict[str, Any]:
    """A function's result must be an object; other results stand under `result`."""
    text = text_of(content)
    found = arguments_of(text)
    return {"result": text} if set(found) == {"arguments"} or not found else found


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"text": part.get("text") or part.get("refusal") or ""}
    if kind == "image_url":
        return _data((part.get("image_url") or {}).get("url"))
    if kind == "file":
        return _data((part.get("file") or {}).get("file_data"))
    if kind == "input_audio":
        audio = part.get("input_audio") or {}
        media = AUDIO_TYPES.get(audio.get("format") or "", f"audio/{audio.get('format')}")
        return {"inlineData": {"mimeType": media, "data": audio.get("data")}}
    message = f"messages: Gemini takes no {kind} part"
    raise UnsupportedError(message)


def _data(url: Any) -> dict[str, Any]:
    if not isinstance(url, str):
        message = "messages: an image or file without data or URL"
        raise UnsupportedError(message)
    found = split_data_url(url)
    if found is None:
        return {"fileData": {"mimeType": DEFAULT_MEDIA_TYPE, "fileUri": url}}
    return {"inlineData": {"mimeType": found[0], "data": found[1]}}
