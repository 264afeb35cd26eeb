"""A Chat Completions reply as one of OpenAI's Responses API.

Source: OpenAI's OpenAPI document (version 2.3.0), `Response`. What comes is held against OpenAI's
types of Chat Completions before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from providers.inference.adapters.anthropic.as_message import reasoning_of
from providers.inference.adapters.details import packed
from providers.inference.adapters.responses.tools import INPUT, customs_of
from providers.inference.adapters.translation import arguments_of

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is not whole, by OpenAI's finish reason of Chat Completions."""
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Members of a body that its response repeats, and what they are where the body has none."""


class Frame(NamedTuple):
    """What of a response is known before it is made."""

    hex_id: str
    """The call's id, of which all ids are made."""
    model: str
    created: int
    """Unix, seconds."""
    echoed: dict[str, Any]
    customs: frozenset[str]
    """Names of tools that take a free text."""

    @classmethod
    def of(cls, body: dict[str, Any], hex_id: str, model: str, created: int) -> Frame:
        """That of a body."""
        echoed = {
            name: value if body.get(name) is None else body[name] for name, value in ECHOED.items()
        }
        return cls(hex_id, model, created, echoed, customs_of(body))

    @property
    def id(self) -> str:
        """The response's."""
        return f"resp_{self.hex_id}"

    def item_id(self, kind: str, index: int) -> str:
        """That of an item."""
        return f"{kind}_{self.hex_id}{index:04x}"

    def response(self, output: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
        """The response with so much output."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": "completed",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": output,
            "usage": None,
            **self.echoed,
            **members,
        }

    def call(self, index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
        """A call of one of the caller's tools."""
        told: dict[str, Any] = {"status": "completed", "call_id": call_id, "name": name}
        if name in self.customs:
            item_id = self.item_id("ctc", index)
            return {"id": item_id, "type": "custom_tool_call", **told, "input": input_of(arguments)}
        item_id = self.item_id("fc", index)
        return {"id": item_id, "type": "function_call", **told, "arguments": arguments}


def input_of(arguments: str) -> str:
    """The free text in a function's arguments; what is no such object is the text itself."""
    found = arguments_of(arguments).get(INPUT)
    return found if isinstance(found, str) else arguments


def ended(finish: str | None) -> dict[str, Any]:
    """The status of a response, and why it is incomplete, by OpenAI's finish reason."""
    reason = INCOMPLETE.get(finish or "")
    if reason is None:
        return {"status": "completed"}
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


def text_part(text: str, logprobs: Any = None) -> dict[str, Any]:
    """A part of a message."""
    listed = logprobs if isinstance(logprobs, list) else []
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": listed}


def response_of(completion: dict[str, Any], frame: Frame, usage: dict[str, Any]) -> dict[str, Any]:
    """A whole reply, with the usage that it is charged for in this API's form."""
    choice = completion["choices"][0]
    message = choice["message"]
    output: list[dict[str, Any]] = []
    thought, _, _ = reasoning_of(message)
    sealed = packed(message.get("reasoning_details"))
    if thought or sealed:
        summary = [{"type": "summary_text", "text": thought}] if thought else []
        item: dict[str, Any] = {"id": frame.item_id("rs", 0), "type": "reasoning"}
        item["summary"] = summary
        if sealed:
            item["encrypted_content"] = sealed
        output.append(item)
    parts: list[dict[str, Any]] = []
    if message.get("content"):
        logprobs = choice.get("logprobs") or {}
        parts.append(text_part(message["content"], logprobs.get("content")))
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    end = ended(choice.get("finish_reason"))
    if parts:
        item_id = frame.item_id("msg", len(output))
        told = {"id": item_id, "type": "message", "status": end["status"]}
        output.append({**told, "role": "assistant", "content": parts})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        output.append(frame.call(len(output), call["id"], name, arguments))
    return frame.response(output, usage=usage, **end)
