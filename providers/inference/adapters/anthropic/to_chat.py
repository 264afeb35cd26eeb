"""An Anthropic Messages body as a Chat Completions body: the inverse of `request`.

Sources: Anthropic's Messages API reference (version 2023-06-01) and OpenAI's of Chat Completions.
What only shapes the sampling or the provider's own caches is left out where nobody there knows it;
what the answer depends on and has no counterpart (tools that Anthropic runs, what they gave, files
of its store) is refused by name.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from providers.inference.adapters.details import ENCRYPTED, unpacked
from providers.inference.adapters.translation import REASONING_TOKENS, encode
from providers.inference.port import UnsupportedError

KEPT = ("temperature", "top_p", "stream", "provider", "models", "portkey_provider")
KEPT_BY_AGGREGATORS = ("top_k",)
TOOL_CHOICES: dict[Any, Any] = {"auto": "auto", "any": "required", "none": "none"}
ERROR = "Error: "
"""How a tool's result begins that was an error: OpenAI has no other mark for it."""
EFFORTS: dict[Any, str] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "xhigh",
}
REFUSED = ("container", "mcp_servers")


class Taker(NamedTuple):
    """What an OpenAI-shaped provider understands beyond OpenAI's own body."""

    aggregates: bool = False
    """It passes `cache_control` and `top_k` on, as OpenRouter does."""
    details: bool = False
    """It takes signed thoughts back, as `reasoning_details`."""
    reasons: bool = False
    """The model takes `reasoning_effort`."""


def to_chat(body: dict[str, Any], taker: Taker) -> dict[str, Any]:
    """Translate; raises UnsupportedError for what has no counterpart."""
    for name in REFUSED:
        if body.get(name):
            _refuse(name)
    made: dict[str, Any] = {name: body[name] for name in KEPT if body.get(name) is not None}
    if taker.aggregates:
        made |= {n: body[n] for n in KEPT_BY_AGGREGATORS if body.get(n) is not None}
    made["model"] = body["model"]
    made["max_tokens"] = body["max_tokens"]
    made["messages"] = [*_system(body.get("system"), taker), *_turns(body["messages"], taker)]
    if body.get("stop_sequences"):
        made["stop"] = body["stop_sequences"]
    user = (body.get("metadata") or {}).get("user_id")
    if isinstance(user, str):
        made["user"] = user
    _add_tools(body, made, taker)
    _add_format(body, made)
    _add_reasoning(body, made, taker)
    return made


def _refuse(what: str) -> NoReturn:
    message = f"{what}: only Anthropic itself has that"
    raise UnsupportedError(message)


def _system(system: Any, taker: Taker) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    parts = [_part(block, taker) for block in system]
    if any("cache_control" in part for part in parts):
        return [{"role": "system", "content": parts}]
    # A plain text is understood by all; blocks of a system prompt are paragraphs.
    return [{"role": "system", "content": "\n\n".join(part["text"] for part in parts)}]


def _turns(messages: list[dict[str, Any]], taker: Taker) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        if message["role"] == "system":
            turns += _system(content, taker)
        elif isinstance(content, str):
            turns.append({"role": message["role"], "content": content})
        elif message["role"] == "assistant":
            turns.append(_assistant(content, taker))
        else:
            turns += _user(content, taker)
    return turns


def _user(blocks: list[dict[str, Any]], taker: Taker) -> list[dict[str, Any]]:
    """Results of tools are messages of their own; their images go with what the user says."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            parts += _parts(block, taker)
            continue
        text, images = _result(block, taker)
        results.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": text})
        parts += images
    if not parts:
        return results
    return [*results, {"role": "user", "content": _plain(parts)}]


def _result(block: dict[str, Any], taker: Taker) -> tuple[str, list[dict[str, Any]]]:
    content = block.get("content") or ""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [part for each in blocks for part in _parts(each, taker)]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    others = [part for part in parts if part["type"] != "text"]
    return (ERROR + text if block.get("is_error") else text), others


def _plain(parts: list[dict[str, Any]]) -> Any:
    """One text needs no list of parts."""
    only = parts[0] if len(parts) == 1 else {}
    return only["text"] if only.keys() == {"type", "text"} else parts


def _assistant(blocks: list[dict[str, Any]], taker: Taker) -> dict[str, Any]:
    texts: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(block["text"])
        elif kind == "thinking":
            details.append(
                {
                    "type": "reasoning.text",
                    "text": block["thinking"],
                    "signature": block.get("signature"),
                }
            )
        elif kind == "redacted_thinking":
            hidden = {"type": ENCRYPTED, "data": block["data"]}
            details += unpacked(block["data"]) or [hidden]
        elif kind == "tool_use":
            arguments = encode(block["input"]).decode()
            function = {"name": block["name"], "arguments": arguments}
            calls.append({"id": block["id"], "type": "function", "function": function})
        else:
            _refuse(f"messages: {kind}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if details and taker.details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    return message


def _parts(block: dict[str, Any], taker: Taker) -> list[dict[str, Any]]:
    """A block of a user's; a document may hold several."""
    if block.get("type") != "document":
        return [_part(block, taker)]
    source = block["source"]
    kind = source["type"]
    if kind == "content":
        content = source["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [_part(each, taker) for each in blocks]
    if kind == "text":
        return [{"type": "text", "text": source["data"]}]
    name = block.get("title") or "document.pdf"
    file = {"filename": name, "file_data": _url(source, "messages: a document")}
    return [_cached({"type": "file", "file": file}, block, taker)]


def _part(block: dict[str, Any], taker: Taker) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return _cached({"type": "text", "text": block["text"]}, block, taker)
    if kind == "image":
        url = _url(block["source"], "messages: an image")
        return _cached({"type": "image_url", "image_url": {"url": url}}, block, taker)
    _refuse(f"messages: {kind}")


def _url(source: dict[str, Any], what: str) -> str:
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if source["type"] == "url":
        return str(source["url"])
    _refuse(f"{what} of the source {source['type']}")


def _cached(part: dict[str, Any], block: dict[str, Any], taker: Taker) -> dict[str, Any]:
    if taker.aggregates and block.get("cache_control"):
        part["cache_control"] = block["cache_control"]
    return part


def _add_tools(body: dict[str, Any], made: dict[str, Any], taker: Taker) -> None:
    tools = []
    for tool in body.get("tools") or ():
        if tool.get("type") not in (None, "custom"):
            _refuse(f"tools: {tool['type']}")
        function = {"name": tool["name"], "parameters": tool["input_schema"]}
        function |= {name: tool[name] for name in ("description", "strict") if tool.get(name)}
        tools.append(_cached({"type": "function", "function": function}, tool, taker))
    if not tools:
        return
    made["tools"] = tools
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "tool":
        made["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif choice:
        made["tool_choice"] = TOOL_CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        made["parallel_tool_calls"] = False


def _add_format(body: dict[str, Any], made: dict[str, Any]) -> None:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}


def _add_reasoning(body: dict[str, Any], made: dict[str, Any], taker: Taker) -> None:
    """Thinking that was granted is effort, or tokens where they are understood."""
    thinking = body.get("thinking") or {}
    effort = EFFORTS.get((body.get("output_config") or {}).get("effort"))
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    if taker.aggregates and isinstance(budget, int):
        made["reasoning"] = {"max_tokens": budget}
    elif taker.aggregates and thinking.get("type") == "adaptive":
        made["reasoning"] = {"effort": effort or "medium"}
    elif taker.reasons and thinking.get("type") in ("enabled", "adaptive"):
        made["reasoning_effort"] = effort or _effort_of(budget)
    elif taker.reasons and effort:
        made["reasoning_effort"] = effort


def _effort_of(budget: int | None) -> str:
    """The least of OpenAI's three efforts that is worth so many tokens."""
    if budget is None:
        return "medium"
    efforts = ("low", "medium", "high")
    return next((each for each in efforts if budget <= REASONING_TOKENS[each]), "high")
