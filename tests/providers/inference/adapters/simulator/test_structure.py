"""Structured replies and tool calls fit the schemas they were asked by."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from providers.inference.adapters.simulator.keywords import SchemaError
from providers.inference.adapters.simulator.patterns import PatternError, text_matching
from providers.inference.adapters.simulator.schemas import Example
from providers.inference.adapters.simulator.upstream import Simulator
from providers.inference.port import Operation

NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    {},
    True,
    {"type": "string", "minLength": 3, "maxLength": 4},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}(x|y)?$"},
    {"type": "string", "pattern": r"^[^a-z]+\.[\w-]{2,}$"},
    {"type": "integer", "minimum": 5, "maximum": 9, "multipleOf": 4},
    {"type": "integer", "exclusiveMinimum": 10},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.25},
    {"type": "number", "maximum": -3},
    {"type": ["null", "boolean"]},
    {"const": {"a": 1}},
    {"enum": ["red", "green"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {"oneOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]},
    {
        "allOf": [{"$ref": "#/definitions/a"}, {"required": ["b"]}],
        "definitions": {
            "a": {"properties": {"b": {"type": "boolean"}}, "required": ["c"], "type": "object"}
        },
    },
    {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    {
        "type": "object",
        "properties": {"tree": {"type": "array", "items": {"$ref": "#"}, "minItems": 0}},
        "required": ["tree"],
    },
]
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {side: {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]} for side in "lr"},
    "required": ["l", "r"],
}
RECURSIVE: list[Any] = [
    {"$ref": "#/$defs/n", "$defs": {"n": TREE}},
    {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["children"],
    },
]


def ladder(word: str, width: int) -> dict[str, Any]:
    """Rungs that each name the one below so many times: without a limit, without an end."""
    rungs: dict[str, Any] = {"r0": False}
    for rung in range(1, 12):
        rungs[f"r{rung}"] = {word: [{"$ref": f"#/$defs/r{rung - 1}"}] * width}
    return {"$ref": "#/$defs/r11", "$defs": rungs}


WIDE = {f"p{number}": {"type": "string"} for number in range(50_000)}
UNREADABLE: list[Any] = [
    {"type": "object", "required": 5},
    {"type": "object", "properties": ["a"]},
    {"type": "integer", "maximum": "x"},
    {"type": [{}]},
    {"allOf": {"a": 1}},
    {"type": "string", "pattern": 5},
    {"type": "array", "minItems": "many"},
]
HOSTILE: list[Any] = [
    ladder("anyOf", 90),
    ladder("allOf", 90),
    {
        "type": "array",
        "minItems": 90,
        "items": {"type": "array", "minItems": 20, "items": {"const": "x" * 10_000}},
    },
    {"allOf": [{"$ref": "#/$defs/w"}] * 90, "$defs": {"w": {"properties": WIDE}}},
    {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
    False,
    [],
    {"$ref": "#"},
    {"$ref": "https://example.com/schema"},
    {"$ref": "#/nowhere"},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "array", "minItems": 90, "items": {}}, "minItems": 90},
    {"type": "array", "minItems": 10**9},
    {"type": "string", "minLength": 10**9},
    {"type": "string", "pattern": "a{1000000}"},
    {"type": "string", "pattern": "(((a{99}){99}){99}){99}"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": "(?=x)y"},
    {"type": "string", "pattern": "a" * 2_000},
    {"type": "integer", "minimum": 5, "maximum": 1},
]


NARROWED: list[Any] = [
    {"enum": [None, 1, "a"], "type": "string"},
    {"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
    {"allOf": [{"minimum": 3}, {"type": "integer", "minimum": 7}, {"maximum": 8}]},
    {"allOf": [{"minLength": 3}, {"type": "string", "minLength": 9}]},
    {"type": "integer", "enum": [1.5, 2]},
    {"type": "object", "minProperties": 3},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    {"type": "string", "pattern": "^[a-z]{4}$", "minLength": 2, "maxLength": 8},
    {"type": "number", "minimum": 10**19, "multipleOf": 0.5},
]
NOT_HONOURED: list[tuple[Any, str]] = [
    ({"not": {"type": "string"}}, "'not'"),
    ({"if": {"type": "object"}, "then": {"required": ["a"]}}, "'if'"),
    ({"type": "array", "contains": {"const": 1}}, "'contains'"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "'dependentRequired'"),
    ({"type": "object", "propertyNames": {"pattern": "^x"}}, "'propertyNames'"),
    (
        {"type": "object", "required": ["xa"], "patternProperties": {"^x": {"type": "null"}}},
        "'patternProperties'",
    ),
    ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "uniqueItems"),
    ({"type": "string", "pattern": "^a$", "minLength": 3}, "limits of length"),
    ({"type": "object", "minProperties": 2, "additionalProperties": False}, "allows no value"),
    ({"type": "object", "minProperties": 10**9}, "minProperties"),
    ({"allOf": [{"enum": ["a"]}, {"enum": ["b"]}]}, "no listed value"),
    ({"const": "a", "type": "integer"}, "no listed value"),
    ({"const": "a", "enum": ["b"]}, "no listed value"),
]


@pytest.mark.parametrize(("schema", "said"), NOT_HONOURED)
def test_what_is_not_honoured_is_refused_by_name(schema: Any, said: str) -> None:
    """Rather no value than one that does not fit (rule: refuse clearly)."""
    with pytest.raises(SchemaError, match=said):
        Example(schema, "some words").value()


def test_decimal_steps_are_exact() -> None:
    """The value is a multiple by decimal arithmetic (rule: contract)."""
    made = Example({"type": "number", "minimum": 1.13, "multipleOf": 0.01}, "").value()
    assert made == 1.13


@pytest.mark.parametrize("schema", [*SCHEMAS, *RECURSIVE, *NARROWED])
def test_a_value_fits_its_schema(schema: Any) -> None:
    """By another's judgement, and the same each time (rule: contract)."""
    value = Example(schema, "some words").value()
    Draft202012Validator(schema).validate(value)
    assert Example(schema, "some words").value() == value


@pytest.mark.parametrize("schema", UNREADABLE)
def test_a_schema_of_another_shape_is_told_where(schema: Any) -> None:
    """The keyword is named, in the answer to the call too (rule: refuse clearly)."""
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    message = ask(status=400, response_format=asked)["error"]["message"]
    assert message.startswith("the schema cannot be read: ")
    assert "$." in message


def test_what_a_schema_makes_is_bounded_over_all_choices() -> None:
    """Structured replies and tool calls alike (rule: bounded)."""
    schema = {"type": "object", "properties": {"a": {"const": "x" * 9_000}}, "required": ["a"]}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    called = {"type": "function", "function": {"name": "t", "parameters": schema}}
    for more in ({"response_format": asked}, {"tools": [called], "tool_choice": "required"}):
        assert ask(n=100, **more)["choices"]
        assert "ask for less" in ask(status=400, n=128, **more)["error"]["message"]


@pytest.mark.parametrize("schema", HOSTILE)
def test_a_schema_without_an_end_is_refused(schema: Any) -> None:
    """Endless, contradictory, elsewhere: an error that says so, at once (rule: bounded)."""
    with pytest.raises(SchemaError):
        Example(schema, "x").value()


def test_a_pattern_is_never_run() -> None:
    """One that would take for ever to match is as quick as any (rule: bounded)."""
    assert text_matching("^(a+)+$") == "a"
    with pytest.raises(PatternError):
        text_matching(r"(a)\1" * 3)


def tool(name: str) -> dict[str, Any]:
    """A tool that wants a place."""
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def ask(text: str = "Hi", *, status: int = 200, **more: Any) -> dict[str, Any]:
    """One call, whole."""
    messages = more.pop("messages", [{"role": "user", "content": text}])
    body = {"model": "echo", "messages": messages, **more}

    async def run() -> bytes:
        reply = await Simulator().send(Operation.CHAT, json.dumps(body).encode())
        assert reply.status == status
        return await reply.whole()

    found: dict[str, Any] = json.loads(asyncio.run(run()))
    return found


def streamed(text: str, **more: Any) -> list[dict[str, Any]]:
    """The deltas of one call, streamed."""
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], **more}

    async def run() -> bytes:
        reply = await Simulator().send(Operation.CHAT, json.dumps(body).encode(), stream=True)
        return await reply.whole()

    lines = asyncio.run(run()).decode().split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_reply_has_the_asked_format() -> None:
    """Whole and streamed alike, counted as it comes (rule: contract)."""
    schema = {"$ref": "#/$defs/node", "$defs": {"node": NODE}}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    found = ask("Say it", response_format=asked)
    content = found["choices"][0]["message"]["content"]
    Draft202012Validator(schema).validate(json.loads(content))
    assert "".join(
        each.get("content", "") for each in streamed("Say it", response_format=asked)
    ) == (content)
    assert found["usage"]["completion_tokens"] > 1
    plain = ask("Say it", response_format={"type": "json_object"})
    assert json.loads(plain["choices"][0]["message"]["content"]) == {"answer": "Say it"}
    cut = ask("Say it", response_format=asked, max_tokens=1)
    assert cut["choices"][0]["finish_reason"] == "length"


def test_an_agent_comes_to_its_end() -> None:
    """A named tool is called once, and its result is answered with text (rule: contract)."""
    tools = [tool("get_time"), tool("get_weather")]
    message = {"role": "user", "content": "Use get_weather, please."}
    first = ask(messages=[message], tools=tools)["choices"][0]
    (call,) = first["message"]["tool_calls"]
    assert first["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    arguments = json.loads(call["function"]["arguments"])
    Draft202012Validator(tools[1]["function"]["parameters"]).validate(arguments)
    result = {"role": "tool", "tool_call_id": call["id"], "content": "get_weather says sun"}
    then = ask(messages=[message, first["message"], result], tools=tools)["choices"][0]
    assert then["message"]["content"] == "get_weather says sun"
    assert then["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("choice", "text", "called"),
    [
        ("auto", "nothing named", []),
        (None, "get_time and get_weather", ["get_time", "get_weather"]),
        ("none", "get_time", []),
        ("required", "nothing named", ["get_time"]),
        ("required", "get_weather", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_weather"}}, "x", ["get_weather"]),
    ],
)
def test_tools_are_called_as_chosen(choice: Any, text: str, called: list[str]) -> None:
    """By name, by need, or not at all; streamed arguments add up (rule: contract)."""
    asked = {"tools": [tool("get_time"), tool("get_weather")], "tool_choice": choice}
    found = ask(text, **asked)["choices"][0]["message"].get("tool_calls") or []
    assert [each["function"]["name"] for each in found] == called
    made: dict[int, dict[str, Any]] = {}
    for delta in streamed(text, **asked):
        for each in delta.get("tool_calls", []):
            if "id" in each:
                made[each["index"]] = {**each, "function": dict(each["function"])}
            else:
                made[each["index"]]["function"]["arguments"] += each["function"]["arguments"]
    assert [{k: v for k, v in each.items() if k != "index"} for each in made.values()] == found
    if len(called) > 1:
        alone = ask(text, **asked, parallel_tool_calls=False)["choices"][0]["message"]
        assert len(alone["tool_calls"]) == 1


def test_a_tool_that_is_not_there_is_refused() -> None:
    """As OpenAI does, with the name (rule: refuse clearly)."""
    choice = {"type": "function", "function": {"name": "nobody"}}
    found = ask("x", status=400, tools=[tool("get_time")], tool_choice=choice)
    assert "nobody" in found["error"]["message"]
