"""Chat Completions, as callers and as OpenAI-shaped providers and aggregators speak it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.conversations.forms import (
    arguments,
    data,
    data_url,
    events,
    halves,
    of_data_url,
    read_arguments,
)
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


def part_of(media: tuple[str, str]) -> dict[str, Any]:
    """Media as a part of a message."""
    kind, content = media
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data_url(media)}}
    if kind.startswith("audio/"):
        return {"type": "input_audio", "input_audio": {"data": content, "format": "wav"}}
    return {"type": "file", "file": {"filename": "document.pdf", "file_data": data_url(media)}}


def media_of(part: dict[str, Any]) -> tuple[str, str]:
    """The media of a part."""
    if part["type"] == "image_url":
        return of_data_url(part["image_url"]["url"])
    if part["type"] == "input_audio":
        return "audio/wav", part["input_audio"]["data"]
    return of_data_url(part["file"]["file_data"])


def tool(name: str) -> dict[str, Any]:
    """A tool."""
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA}}


def call_of(call: Call) -> dict[str, Any]:
    """A call of one."""
    function = {"name": call.name, "arguments": arguments(call)}
    return {"id": call.id, "type": "function", "function": function}


def details_of(say: Say) -> list[dict[str, Any]]:
    """Signed thoughts."""
    return [{"type": "reasoning.text", "text": say.thought, "signature": say.signature}]


def message_of(say: Say) -> dict[str, Any]:
    """A turn."""
    message: dict[str, Any] = {"role": say.role, "content": say.text}
    if say.media:
        parts = [{"type": "text", "text": say.text}, *map(part_of, say.media)]
        message["content"] = parts
    if say.calls:
        message |= {"content": say.text or None, "tool_calls": [call_of(c) for c in say.calls]}
    if say.signature:
        message["reasoning_details"] = details_of(say)
    if say.result_of:
        message["tool_call_id"] = say.result_of
    return message


def say_of(message: dict[str, Any]) -> Say:
    """A turn, or the model's answer, read back."""
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    details = message.get("reasoning_details") or [{}]
    return Say(
        message["role"],
        "".join(part["text"] for part in parts if part["type"] == "text"),
        tuple(media_of(part) for part in parts if part["type"] != "text"),
        tuple(
            Call(each["function"]["name"], read_arguments(each["function"]["arguments"]))
            for each in message.get("tool_calls") or ()
        ),
        "".join(
            message.get("reasoning_content")
            or message.get("reasoning")
            or details[0].get("text")
            or ""
        ),
        details[0].get("signature") or "",
        message.get("tool_call_id") or "",
    )


def usage_of(usage: Usage) -> dict[str, Any]:
    """A report."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def read_usage(told: dict[str, Any]) -> Usage:
    """A report read back."""
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (told.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return Usage(told["prompt_tokens"], told["completion_tokens"], cached, thought)


@dataclass
class Chat:
    """The form; aggregators sign thoughts and take them back."""

    path: str = "/v1/chat/completions"
    aggregates: bool = False

    def body(self, asked: Asked) -> dict[str, Any]:
        """What a caller sends."""
        system = [{"role": "system", "content": asked.system}] if asked.system else []
        body: dict[str, Any] = {
            "messages": [*system, *map(message_of, asked.turns)],
            "max_tokens": asked.limit,
        }
        if asked.tools:
            body["tools"] = [tool(name) for name in asked.tools]
        if asked.choice in asked.tools:
            body["tool_choice"] = {"type": "function", "function": {"name": asked.choice}}
        elif asked.choice:
            body["tool_choice"] = asked.choice
        if asked.schema:
            wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if asked.stop:
            body["stop"] = [asked.stop]
        return body

    def asked(self, body: dict[str, Any]) -> Asked:
        """What a provider is sent."""
        turns = [say_of(each) for each in body["messages"]]
        system = [each.text for each in turns if each.role == "system"]
        choice = body.get("tool_choice") or ""
        if isinstance(choice, dict):
            choice = choice["function"]["name"]
        wanted = (body.get("response_format") or {}).get("json_schema") or {}
        assert wanted.get("schema") in (None, SCHEMA)
        for each in body.get("tools") or ():
            assert each["function"]["parameters"] == SCHEMA
        return Asked(
            tuple(each for each in turns if each.role != "system"),
            "\n\n".join(system),
            tuple(each["function"]["name"] for each in body.get("tools") or ()),
            "" if choice == "auto" else choice,
            bool(wanted),
            body.get("max_completion_tokens") or body["max_tokens"],
            "".join(body.get("stop") or ()),
        )

    def goes_on(self, body: dict[str, Any], answer: dict[str, Any], result: Say) -> dict[str, Any]:
        """The next turn's body."""
        turns = [answer["choices"][0]["message"], message_of(result)]
        return {**body, "messages": [*body["messages"], *turns]}

    def hears(self, said: Said) -> Said:
        """It has no words for which sequence ended an answer."""
        return just_stopped(said)

    def tells(self, said: Said) -> Said:
        """Nor have others than aggregators signatures."""
        return just_stopped(said if self.aggregates else unsigned(said))

    def answer(self, said: Said) -> dict[str, Any]:
        """A whole completion."""
        message: dict[str, Any] = message_of(said.say)
        message.pop("reasoning_details", None)
        message |= self._thoughts(said.say)
        return {
            "id": "up-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(said.end)}],
            "usage": usage_of(said.usage),
        }

    def pieces(self, said: Said) -> list[bytes]:
        """The chunks."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        name = "reasoning" if self.aggregates else "reasoning_content"
        deltas += [{name: text} for text in halves(said.say.thought)]
        if said.say.signature and self.aggregates:
            signed = {"type": "reasoning.text", "signature": said.say.signature}
            deltas.append({"reasoning_details": [signed]})
        deltas += [{"content": text} for text in halves(said.say.text)]
        for index, call in enumerate(said.say.calls):
            begun = call_of(call)
            begun["function"] = {"name": call.name, "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, **begun}]})
            for text in halves(arguments(call)):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
        chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": _finish(said.end)}]))
        chunks.append(_chunk([], usage=usage_of(said.usage)))
        return [*map(data, chunks), b"data: [DONE]\n\n"]

    def whole(self, body: dict[str, Any]) -> Said:
        """A whole completion read."""
        choice = body["choices"][0]
        usage = read_usage(body["usage"])
        return Said(say_of(choice["message"]), choice["finish_reason"], "", usage)

    def streamed(self, raw: bytes) -> Said:
        """The chunks read."""
        message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_details": []}
        calls: dict[int, dict[str, Any]] = {}
        finish = ""
        usage: dict[str, Any] = {}
        for chunk in events(raw):
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                finish = choice.get("finish_reason") or finish
                delta = choice["delta"]
                for name in ("content", "reasoning_content", "reasoning"):
                    if delta.get(name):
                        message[name] = message.get(name, "") + delta[name]
                message["reasoning_details"] += delta.get("reasoning_details") or []
                for part in delta.get("tool_calls") or ():
                    call = calls.setdefault(
                        part["index"], {**part, "function": {"name": "", "arguments": ""}}
                    )
                    for name, text in part.get("function", {}).items():
                        call["function"][name] += text
        message["tool_calls"] = list(calls.values())
        return Said(say_of(message), finish, "", read_usage(usage))

    def _thoughts(self, say: Say) -> dict[str, Any]:
        if not say.thought:
            return {}
        if not self.aggregates:
            return {"reasoning_content": say.thought}
        return {"reasoning": say.thought} | (
            {"reasoning_details": details_of(say)} if say.signature else {}
        )


def _finish(end: str) -> str:
    return "stop" if end == "stop_sequence" else end


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    about = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**about, "choices": choices, **more}
