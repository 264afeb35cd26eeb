"""Structured replies and tool calls, by the schemas that a request brings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from providers.inference.adapters.simulator.keywords import SchemaError
from providers.inference.adapters.simulator.schemas import Example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Asked(Protocol):
        """What of a request decides about its tool calls."""

        messages: list[dict[str, Any]]
        tools: list[dict[str, Any]] | None
        tool_choice: Any
        parallel_tool_calls: bool | None


PIECE_CHARACTERS = 12
"""A structured reply comes in pieces of so many characters, each counted as a token."""
TOOLS_MAX = 128
"""Most tools that are looked at; OpenAI's own maximum."""
TOOL_CALLS_MAX = 8
MENTION_CHARACTERS_MAX = 10_000
"""Tools are looked for in so much of a message."""
WORDS_CHARACTERS_MAX = 200
"""So much of the caller's words stands in a free text of a structured value, of which there may be
many."""


def text_of(messages: list[dict[str, Any]]) -> str:
    """The text of messages, parts included."""
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts.extend(part["text"] for part in content if isinstance(part.get("text"), str))
    return "\n".join(texts)


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces in which it is streamed."""
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]


def structured_reply(response_format: Any, text: str) -> str | None:
    """The JSON that a response format asks for; None for plain text. Raises SchemaError."""
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return _json({"answer": text[:WORDS_CHARACTERS_MAX]})
    if response_format.get("type") != "json_schema":
        return None
    asked = response_format.get("json_schema")
    schema = asked.get("schema") if isinstance(asked, dict) else None
    return _json(Example({} if schema is None else schema, text[:WORDS_CHARACTERS_MAX]).value())


def calls_for(request: Asked, reply_id: str) -> list[dict[str, Any]]:
    """The tool calls of a reply, in OpenAI's form. Raises SchemaError.

    A tool is called when `tool_choice` names or requires one, and when the last message, a
    user's, has its name in it. The answer to a tool's result is text: so an agent comes to an end.
    """
    tools = {name: each for each in (request.tools or [])[:TOOLS_MAX] if (name := _name(each))}
    choice = request.tool_choice
    if not tools or choice == "none":
        return []
    last = request.messages[-1] if request.messages else {}
    text = text_of([last])[:MENTION_CHARACTERS_MAX]
    if isinstance(choice, dict):
        wanted = _name(choice) or next(iter(tools))
        if wanted not in tools:
            message = f"tool_choice names {wanted[:100]!r}, which is not among the tools"
            raise SchemaError(message)
        names = [wanted]
    else:
        names = [] if last.get("role") == "tool" else [each for each in tools if _said(each, text)]
        if choice == "required" and not names:
            names = [next(iter(tools))]
    most = 1 if request.parallel_tool_calls is False else TOOL_CALLS_MAX
    return [
        {
            "id": f"call_{reply_id[-8:]}{place or ''}",
            "type": "function",
            "function": {"name": name, "arguments": _arguments(tools[name], text)},
        }
        for place, name in enumerate(names[:most])
    ]


def fragments(call: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool call as a stream brings it: its head, then its arguments in pieces."""
    function = call["function"]
    head = {**call, "function": {"name": function["name"], "arguments": ""}}
    return [head, *({"function": {"arguments": each}} for each in pieces(function["arguments"]))]


def _name(tool: dict[str, Any]) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None


def _said(name: str, text: str) -> bool:
    """Whether a text names a tool, as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _arguments(tool: dict[str, Any], text: str) -> str:
    schema = tool["function"].get("parameters")
    if not schema:
        return "{}"
    value = Example(schema, text[:WORDS_CHARACTERS_MAX]).value()
    return _json(value if isinstance(value, dict) else {})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
