"""Gemini's generateContent, as Vertex AI speaks it."""

from __future__ import annotations

from typing import Any

from tests.e2e.conversations.forms import data, halves, read_arguments
from tests.e2e.conversations.talks import (
    SCHEMA,
    Asked,
    Call,
    Said,
    Say,
    Usage,
    just_stopped,
    unsigned,
)

ENDS = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


class Gemini:
    """The form; calls have no ids, so results name what was called."""

    def asked(self, body: dict[str, Any]) -> Asked:
        """What Gemini is sent."""
        turns: list[Say] = []
        for content in body["contents"]:
            turns += _says(content)
        made = body.get("generationConfig") or {}
        declared = [each for tool in body.get("tools") or () for each in _declared(tool)]
        choice = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        named = "".join(choice.get("allowedFunctionNames") or ())
        system = (body.get("systemInstruction") or {}).get("parts") or ()
        return Asked(
            tuple(turns),
            "\n\n".join(each["text"] for each in system),
            tuple(declared),
            named or ("required" if choice.get("mode") == "ANY" else ""),
            made.get("responseJsonSchema") == SCHEMA,
            made["maxOutputTokens"],
            "".join(made.get("stopSequences") or ()),
        )

    def tells(self, said: Said) -> Said:
        """Signatures count for calls."""
        return just_stopped(said if said.say.calls else unsigned(said))

    def answer(self, said: Said) -> dict[str, Any]:
        """A whole reply."""
        return _reply(_parts(said.say), said, ENDS[said.end])

    def pieces(self, said: Said) -> list[bytes]:
        """The replies of a stream, each with the counts so far."""
        told = []
        for part in _parts(said.say):
            if "text" in part:
                told += [{**part, "text": text} for text in halves(part["text"])]
            else:
                told.append(part)
        replies = [_reply([part], said, None) for part in told]
        return [data(each) for each in (*replies, _reply([], said, ENDS[said.end]))]


def _declared(tool: dict[str, Any]) -> list[str]:
    found = tool["functionDeclarations"]
    assert all(each["parametersJsonSchema"] == SCHEMA for each in found)
    return [each["name"] for each in found]


def _says(content: dict[str, Any]) -> list[Say]:
    parts = content["parts"]
    results = [
        Say("tool", result["response"]["result"], result_of=Call(result["name"]).id)
        for part in parts
        if (result := part.get("functionResponse"))
    ]
    rest = [part for part in parts if "functionResponse" not in part]
    if not rest:
        return results
    say = Say(
        "assistant" if content["role"] == "model" else "user",
        "".join(part["text"] for part in rest if "text" in part),
        tuple(
            (part["inlineData"]["mimeType"], part["inlineData"]["data"])
            for part in rest
            if "inlineData" in part
        ),
        tuple(
            Call(part["functionCall"]["name"], read_arguments(part["functionCall"]["args"]))
            for part in rest
            if "functionCall" in part
        ),
        signature="".join(part.get("thoughtSignature", "") for part in rest),
    )
    return [*results, say]


def _parts(say: Say) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if say.thought:
        parts.append({"text": say.thought, "thought": True})
    if say.text:
        parts.append({"text": say.text})
    called = [{"name": call.name, "args": dict(call.arguments)} for call in say.calls]
    parts += [{"functionCall": each} for each in called]
    if parts and say.signature:
        parts[-1]["thoughtSignature"] = say.signature
    return parts


def _reply(parts: list[dict[str, Any]], said: Said, end: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if end:
        candidate["finishReason"] = end
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(said.usage),
        "responseId": "r1",
        "modelVersion": "m",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
    }
