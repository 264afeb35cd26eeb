"""A Chat Completions body as a Gemini generateContent body.

Source: Vertex AI's REST reference of GenerateContentRequest. Thought signatures travel as in
Google's own OpenAI endpoint: `extra_content.google.thought_signature` of a tool call.
"""

from __future__ import annotations

from typing import Any

from providers.inference.adapters.translation import (
    arguments_of,
    parts_of,
    reasoning_budget,
    split_data_url,
    text_of,
)
from providers.inference.port import UnsupportedError

GENERATION = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
"""OpenAI's names of what shapes the generation, and Gemini's."""
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
DEFAULT_MEDIA_TYPE = "image/jpeg"
AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def to_gemini(body: dict[str, Any]) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    system, contents = _conversation(body.get("messages") or [])
    made: dict[str, Any] = {"contents": contents}
    if system:
        made["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    generation = _generation(body)
    if generation:
        made["generationConfig"] = generation
    functions = [
        tool["function"]
        for tool in body.get("tools") or ()
        if isinstance(tool.get("function"), dict)
    ]
    if functions:
        made["tools"] = [{"functionDeclarations": [_declaration(each) for each in functions]}]
        choice = _choice(body.get("tool_choice"))
        if choice:
            made["toolConfig"] = {"functionCallingConfig": choice}
    for name in ("safety_settings", "labels", "cached_content"):
        if body.get(name) is not None:
            made[_camel(name)] = body[name]
    return made


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _generation(body: dict[str, Any]) -> dict[str, Any]:
    made = {ours: body[name] for name, ours in GENERATION.items() if body.get(name) is not None}
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most is not None:
        made["maxOutputTokens"] = most
    stop = body.get("stop")
    if stop:
        made["stopSequences"] = [stop] if isinstance(stop, str) else stop
    given = body.get("response_format")
    wanted = given if isinstance(given, dict) else {}
    kind = wanted.get("type")
    if kind in ("json_object", "json_schema"):
        made["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        if schema:
            made["responseJsonSchema"] = schema
    if body.get("logprobs"):
        made["responseLogprobs"] = True
        if body.get("top_logprobs"):
            made["logprobs"] = body["top_logprobs"]
    budget = reasoning_budget(body)
    if budget is not None:
        made["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": budget > 0}
    if "image" in (body.get("modalities") or ()):
        made["responseModalities"] = ["TEXT", "IMAGE"]
    return made


def _declaration(function: dict[str, Any]) -> dict[str, Any]:
    made = {"name": function.get("name")}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def _choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, str) and choice in MODES:
        return {"mode": MODES[choice]}
    name = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    return {"mode": "ANY", "allowedFunctionNames": [name]} if name else None


def _conversation(messages: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
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
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                names[call.get("id") or ""] = function.get("name") or ""
                parts.append(_call(call, function))
        speaker = "model" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": speaker, "parts": parts})
    return system, turns


def _call(call: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {
        "functionCall": {
            "name": function.get("name") or "",
            "args": arguments_of(function.get("arguments")),
        }
    }
    google = (call.get("extra_content") or {}).get("google") or {}
    if google.get("thought_signature"):
        part["thoughtSignature"] = google["thought_signature"]
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
