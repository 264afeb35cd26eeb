"""A Chat Completions body as an Anthropic Messages body.

Sources: Anthropic's Messages API reference (version 2023-06-01) and its documentation of tool
use, extended thinking and vision. What Anthropic has no counterpart for and what only shapes the
sampling (penalties, seed, logit_bias) is left out; what would change the answer's form (several
choices, log probabilities, audio) is refused.
"""

from __future__ import annotations

from typing import Any

from providers.inference.adapters.details import is_anthropics
from providers.inference.adapters.translation import (
    arguments_of,
    encode,
    parts_of,
    reasoning_budget,
    speaks_for,
    split_data_url,
)
from providers.inference.port import UnsupportedError

MAX_TOKENS_DEFAULT = 4_096
THINKING_TOKENS_MIN = 1_024
TEMPERATURE_MAX = 1
JSON_TOOL = "json_response"
"""The tool whose input is the answer, where the caller wants JSON of a schema."""
JSON_INSTRUCTION = "Answer with one JSON object and nothing else."

KEPT = ("top_p", "top_k", "metadata", "service_tier", "thinking")
TOOL_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


def to_anthropic(body: dict[str, Any]) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    _refuse(body)
    system, messages = _conversation(body.get("messages") or [])
    most = body.get("max_completion_tokens") or body.get("max_tokens") or MAX_TOKENS_DEFAULT
    made: dict[str, Any] = {
        "model": body["model"],
        "max_tokens": most,
        "messages": messages,
        **{name: body[name] for name in KEPT if body.get(name) is not None},
    }
    if body.get("stream"):
        made["stream"] = True
    if body.get("temperature") is not None:
        made["temperature"] = min(body["temperature"], TEMPERATURE_MAX)
    stop = body.get("stop")
    if stop:
        made["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(body.get("user"), str):
        made.setdefault("metadata", {"user_id": body["user"]})
    _add_tools(body, made)
    _add_format(body, made, system)
    _add_thinking(body, made)
    if system:
        made["system"] = system
    return made


def _refuse(body: dict[str, Any]) -> None:
    if (body.get("n") or 1) > 1:
        message = "n: Anthropic makes one choice a call"
        raise UnsupportedError(message)
    if body.get("logprobs"):
        message = "logprobs: Anthropic gives none"
        raise UnsupportedError(message)
    if "audio" in (body.get("modalities") or ()):
        message = "modalities: Anthropic makes no audio"
        raise UnsupportedError(message)


def _conversation(
    messages: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system blocks, and the turns, those of one role in a row joined."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _text_blocks(message.get("content"))
            continue
        speaker = "assistant" if speaks_for(role) else "user"
        blocks = _blocks(role, message)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    return system, turns


def _blocks(role: Any, message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if role in ("tool", "function"):
        result = {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id") or message.get("name") or "",
            "content": [_block(part) for part in parts_of(content)],
        }
        return [result]
    blocks = _thinking_blocks(message) if role == "assistant" else []
    blocks += [_block(part) for part in parts_of(content) if part.get("text") != ""]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id") or "",
                "name": function.get("name") or "",
                "input": arguments_of(function.get("arguments")),
            }
        )
    return blocks


def _thinking_blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Earlier thinking with its signature, as our own replies carry it in `reasoning_details`."""
    blocks: list[dict[str, Any]] = []
    for detail in filter(is_anthropics, message.get("reasoning_details") or ()):
        if detail.get("type") == "reasoning.text" and detail.get("signature"):
            blocks.append(
                {
                    "type": "thinking",
                    "thinking": detail.get("text") or "",
                    "signature": detail["signature"],
                }
            )
        elif detail.get("type") == "reasoning.encrypted" and detail.get("data"):
            blocks.append({"type": "redacted_thinking", "data": detail["data"]})
    return blocks


def _text_blocks(content: Any) -> list[dict[str, Any]]:
    return [_block(part) for part in parts_of(content) if part.get("type") == "text"]


def _block(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        block: dict[str, Any] = {"type": "text", "text": part.get("text") or part.get("refusal")}
    elif kind == "image_url":
        block = {"type": "image", "source": _source((part.get("image_url") or {}).get("url"))}
    elif kind == "file":
        block = {"type": "document", "source": _source((part.get("file") or {}).get("file_data"))}
    else:
        message = f"messages: Anthropic takes no {kind} part"
        raise UnsupportedError(message)
    if part.get("cache_control"):
        block["cache_control"] = part["cache_control"]
    return block


def _source(url: Any) -> dict[str, Any]:
    if not isinstance(url, str):
        message = "messages: an image or file without data or URL"
        raise UnsupportedError(message)
    found = split_data_url(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found[0], "data": found[1]}


def _add_tools(body: dict[str, Any], made: dict[str, Any]) -> None:
    tools = []
    for tool in body.get("tools") or ():
        function = tool.get("function")
        if not isinstance(function, dict):
            tools.append(tool)  # One of Anthropic's own, such as web search.
            continue
        own = {
            "name": function.get("name"),
            "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        }
        if function.get("description"):
            own["description"] = function["description"]
        tools.append(own)
    if not tools:
        return
    made["tools"] = tools
    choice = body.get("tool_choice")
    chosen: dict[str, Any] | None = None
    if isinstance(choice, str):
        chosen = TOOL_CHOICES.get(choice)
    elif isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        chosen = {"type": "tool", "name": name} if name else None
    if body.get("parallel_tool_calls") is False:
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    if chosen is not None:
        made["tool_choice"] = dict(chosen)


def _add_format(body: dict[str, Any], made: dict[str, Any], system: list[dict[str, Any]]) -> None:
    """JSON by a schema is the input of a tool that must be called; plain JSON is asked for."""
    given = body.get("response_format")
    wanted = given if isinstance(given, dict) else {}
    kind = wanted.get("type")
    if kind == "json_object":
        system.append({"type": "text", "text": JSON_INSTRUCTION})
    if kind != "json_schema":
        return
    schema = (wanted.get("json_schema") or {}).get("schema") or {"type": "object"}
    if made.get("tools") or schema.get("type") != "object":
        # With other tools about, or for what no tool's input can be, the schema is told.
        text = f"{JSON_INSTRUCTION} It must fit this JSON Schema: {encode(schema).decode()}"
        system.append({"type": "text", "text": text})
        return
    made["tools"] = [{"name": JSON_TOOL, "description": "Give the answer.", "input_schema": schema}]
    made["tool_choice"] = {"type": "tool", "name": JSON_TOOL}


def _add_thinking(body: dict[str, Any], made: dict[str, Any]) -> None:
    """Thinking for a caller who grants reasoning, where the call has room for it.

    It cannot go with a forced tool, and takes no temperature (documentation, "Extended thinking").
    """
    budget = reasoning_budget(body)
    forced = (made.get("tool_choice") or {}).get("type") in ("any", "tool")
    if budget and not forced and "thinking" not in made:
        budget = min(max(budget, THINKING_TOKENS_MIN), made["max_tokens"] - 1)
        if budget >= THINKING_TOKENS_MIN:
            made["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if (made.get("thinking") or {}).get("type") == "enabled":
        for name in ("temperature", "top_k"):
            made.pop(name, None)


def wants_json_tool(made: dict[str, Any]) -> bool:
    """Whether the answer comes as the input of our own tool."""
    return bool((made.get("tool_choice") or {}).get("name") == JSON_TOOL)
