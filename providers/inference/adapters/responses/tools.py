"""Tools of a Responses body: those that the caller runs, as functions of Chat Completions.

A custom tool takes a free text, which only OpenAI has: elsewhere it is a function of one text.
"""

from __future__ import annotations

from typing import Any

from providers.inference.port import UnsupportedError

INPUT = "input"
CHOICES = frozenset({"auto", "none", "required"})


def _refuse(what: str) -> UnsupportedError:
    return UnsupportedError(f"{what}: only OpenAI itself has that")


def customs_of(body: dict[str, Any]) -> frozenset[str]:
    """The names of a body's custom tools."""
    tools = body.get("tools")
    listed = tools if isinstance(tools, list) else []
    return frozenset(
        each["name"]
        for each in listed
        if isinstance(each, dict)
        and each.get("type") == "custom"
        and isinstance(each.get("name"), str)
    )


def add_tools(body: dict[str, Any], made: dict[str, Any]) -> None:
    """Translate the tools and their choice; raises UnsupportedError."""
    given = body.get("tools")
    choice = body.get("tool_choice")
    tools = [_tool(each) for each in given or ()]
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        names = {each["name"] for each in choice["tools"]}
        tools = [each for each in tools if each["function"]["name"] in names]
        choice = choice["mode"]
    if not tools:
        made.pop("parallel_tool_calls", None)
        return
    made["tools"] = tools
    if choice is not None:
        made["tool_choice"] = _choice(choice)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind == "function":
        function: dict[str, Any] = {"name": tool["name"]}
        function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(function["parameters"], dict):
            what = f"tools: {tool['name']} with a schema that is no object"
            raise _refuse(what)
        names = ("description", "strict")
        function |= {name: tool[name] for name in names if tool.get(name) is not None}
        return {"type": "function", "function": function}
    if kind == "custom":
        return {"type": "function", "function": _custom(tool)}
    what = f"tools: {kind}"
    raise _refuse(what)


def _custom(tool: dict[str, Any]) -> dict[str, Any]:
    told = tool.get("description") or ""
    grammar = tool.get("format") or {}
    if grammar.get("type") == "grammar":
        told += f"\n\nThe input obeys this {grammar['syntax']} grammar:\n{grammar['definition']}"
    parameters = {
        "type": "object",
        "properties": {INPUT: {"type": "string"}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return {"name": tool["name"], "description": told.strip(), "parameters": parameters}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str) and choice in CHOICES:
        return choice
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        return {"type": "function", "function": {"name": choice["name"]}}
    what = f"tool_choice: {choice.get('type') if isinstance(choice, dict) else choice}"
    raise _refuse(what)
