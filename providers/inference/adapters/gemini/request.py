"""A Chat Completions body as a Gemini generateContent body.

Source: Vertex AI's REST reference of GenerateContentRequest.
"""

from __future__ import annotations

from typing import Any

from providers.inference.adapters.gemini.turns import conversation, wants_signatures
from providers.inference.adapters.translation import reasoning_budget

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


def to_gemini(body: dict[str, Any]) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    system, contents = conversation(body.get("messages") or [], signed=wants_signatures(body))
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
