"""Anthropic's Messages, as callers and as Anthropic itself speak it."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conversations.forms import (
    UnsayableError,
    arguments,
    events,
    halves,
    named,
    read_arguments,
)
from tests.e2e.conversations.talks import SCHEMA, Asked, Call, Said, Say, Usage

ENDS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
}
READ_ENDS = {theirs: ours for ours, theirs in ENDS.items()}
JSON_TOOL = "json_response"
"""A tool that is asked for where an answer must be JSON by a schema."""


class Messages:
    """The form."""

    path = "/v1/messages"

    def body(self, asked: Asked) -> dict[str, Any]:
        """What a caller sends."""
        body: dict[str, Any] = {
            "messages": _turns(asked.turns),
            "max_tokens": asked.limit,
        }
        if asked.system:
            body["system"] = asked.system
        if asked.tools:
            body["tools"] = [{"name": name, "input_schema": SCHEMA} for name in asked.tools]
        if asked.choice in asked.tools:
            body["tool_choice"] = {"type": "tool", "name": asked.choice}
        elif asked.choice:
            body["tool_choice"] = {"type": "any"}
        if asked.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if asked.stop:
            body["stop_sequences"] = [asked.stop]
        return body

    def asked(self, body: dict[str, Any]) -> Asked:
        """What Anthropic is sent."""
        turns: list[Say] = []
        for message in body["messages"]:
            turns += _says(message)
        tools = {each["name"]: each["input_schema"] for each in body.get("tools") or ()}
        assert all(schema == SCHEMA for schema in tools.values())
        choice = body.get("tool_choice") or {}
        wanted = (body.get("output_config") or {}).get("format") or {}
        by_tool = tools.pop(JSON_TOOL, None)
        system = body.get("system") or ""
        wanted_choice = str(choice.get("name") or choice.get("type") or "")
        return Asked(
            tuple(turns),
            system if isinstance(system, str) else "\n\n".join(each["text"] for each in system),
            tuple(tools),
            "" if by_tool else {"any": "required"}.get(wanted_choice, wanted_choice),
            bool(wanted or by_tool),
            body["max_tokens"],
            "".join(body.get("stop_sequences") or ()),
        )

    def goes_on(self, body: dict[str, Any], answer: dict[str, Any], result: Say) -> dict[str, Any]:
        """The next turn's body."""
        turns = [{"role": "assistant", "content": answer["content"]}, *_turns((result,))]
        return {**body, "messages": [*body["messages"], *turns]}

    def hears(self, said: Said) -> Said:
        """It has words for everything."""
        return said

    def tells(self, said: Said) -> Said:
        """It has words for everything."""
        return said

    def answer(self, said: Said) -> dict[str, Any]:
        """A whole message."""
        return {
            **_head(),
            "content": _blocks(said.say),
            "stop_reason": ENDS[said.end],
            "stop_sequence": said.stopped_by or None,
            "usage": _usage(said.usage),
        }

    def pieces(self, said: Said) -> list[bytes]:
        """The events."""
        begun = {**_usage(said.usage), "output_tokens": 1}
        message = {**_head(), "content": [], "stop_reason": None, "stop_sequence": None}
        told: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**message, "usage": begun}}
        ]
        for index, block in enumerate(_blocks(said.say)):
            empty, deltas = _opened(block)
            told.append({"type": "content_block_start", "index": index, "content_block": empty})
            told.append({"type": "ping"})
            place = {"type": "content_block_delta", "index": index}
            told += [{**place, "delta": delta} for delta in deltas]
            told.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": ENDS[said.end], "stop_sequence": said.stopped_by or None}
        told.append({"type": "message_delta", "delta": delta, "usage": _usage(said.usage)})
        told.append({"type": "message_stop"})
        return [named(each) for each in told]

    def whole(self, body: dict[str, Any]) -> Said:
        """A whole message read."""
        (say,) = _says(body) or [Say("assistant")]
        told = body["usage"]
        read = told.get("cache_read_input_tokens") or 0
        fresh = told["input_tokens"] + (told.get("cache_creation_input_tokens") or 0)
        thought = (told.get("output_tokens_details") or {}).get("thinking_tokens") or 0
        usage = Usage(fresh + read, told["output_tokens"], read, thought)
        return Said(say, READ_ENDS[body["stop_reason"]], body["stop_sequence"] or "", usage)

    def streamed(self, raw: bytes) -> Said:
        """The events read."""
        message: dict[str, Any] = {}
        blocks: dict[int, dict[str, Any]] = {}
        for event in events(raw):
            kind = event["type"]
            if kind == "message_start":
                message = event["message"]
            elif kind == "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "told": ""}
            elif kind == "content_block_delta":
                _add(blocks[event["index"]], event["delta"])
            elif kind == "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
        for block in blocks.values():
            if block["type"] == "tool_use":
                block["input"] = json.loads(block["told"] or "{}")
        assert message
        assert raw.rstrip().endswith(b'"message_stop"}')
        message["content"] = list(blocks.values())
        return self.whole(message)


def _head() -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}


def _usage(usage: Usage) -> dict[str, Any]:
    details = {"thinking_tokens": usage.reasoning}
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output,
        "output_tokens_details": details,
    }


def _blocks(say: Say) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if say.thought:
        thought = {"type": "thinking", "thinking": say.thought, "signature": say.signature}
        blocks.append(thought)
    if say.text:
        blocks.append({"type": "text", "text": say.text})
    for kind, content in say.media:
        if kind.startswith("audio/"):
            raise UnsayableError
        source = {"type": "base64", "media_type": kind, "data": content}
        name = "image" if kind.startswith("image/") else "document"
        blocks.append({"type": name, "source": source})
    for call in say.calls:
        told = {"id": call.id, "name": call.name, "input": dict(call.arguments)}
        blocks.append({"type": "tool_use", **told})
    return blocks


def _turns(says: tuple[Say, ...]) -> list[dict[str, Any]]:
    """Results that follow each other are one turn of the user's."""
    turns: list[dict[str, Any]] = []
    for say in says:
        if not say.result_of:
            turns.append({"role": say.role, "content": _blocks(say)})
            continue
        block = {"type": "tool_result", "tool_use_id": say.result_of, "content": say.text}
        if turns and turns[-1]["content"][0]["type"] == "tool_result":
            turns[-1]["content"].append(block)
        else:
            turns.append({"role": "user", "content": [block]})
    return turns


def _says(message: dict[str, Any]) -> list[Say]:
    content = message["content"]
    blocks: list[dict[str, Any]] = content
    if isinstance(content, str):
        blocks = [{"type": "text", "text": content}]
    results = [
        Say("tool", _text(block["content"]), result_of=block["tool_use_id"])
        for block in blocks
        if block["type"] == "tool_result"
    ]
    rest = [block for block in blocks if block["type"] != "tool_result"]
    if not rest:
        return results
    thoughts = [block for block in rest if block["type"] == "thinking"]
    say = Say(
        message["role"],
        "".join(block["text"] for block in rest if block["type"] == "text"),
        tuple(
            (block["source"]["media_type"], block["source"]["data"])
            for block in rest
            if block["type"] in ("image", "document")
        ),
        tuple(
            Call(block["name"], read_arguments(block["input"]))
            for block in rest
            if block["type"] == "tool_use"
        ),
        "".join(block["thinking"] for block in thoughts),
        "".join(block["signature"] for block in thoughts),
    )
    return [*results, say]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(each["text"] for each in content)


def _opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and what is added to it."""
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": text} for text in halves(block["text"])]
        return {"type": "text", "text": ""}, deltas
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": t} for t in halves(block["thinking"])]
        if block["signature"]:
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    text = arguments(Call(block["name"], tuple(block["input"].items())))
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in halves(text)]
    return {**block, "input": {}}, deltas


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif delta["type"] == "signature_delta":
        block["signature"] += delta["signature"]
    else:
        block["told"] += delta["partial_json"]
