"""OpenAI's Responses, as callers and as providers that have it natively speak it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from providers.inference.adapters.details import packed, unpacked
from tests.e2e.conversations.forms import (
    UnsayableError,
    arguments,
    data_url,
    events,
    halves,
    named,
    of_data_url,
    read_arguments,
)
from tests.e2e.conversations.talks import SCHEMA, Asked, Call, Said, Say, Usage, just_stopped

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
READ_INCOMPLETE = {theirs: ours for ours, theirs in INCOMPLETE.items()}


@dataclass
class Responses:
    """The form; where it passes natively, encrypted thoughts are the provider's own text."""

    path: str = "/v1/responses"
    native: bool = False

    def body(self, asked: Asked) -> dict[str, Any]:
        """What a caller sends."""
        if asked.stop:
            raise UnsayableError
        items: list[dict[str, Any]] = []
        for say in asked.turns:
            items += self._items(say)
        body: dict[str, Any] = {
            "input": items,
            "max_output_tokens": asked.limit,
            "store": False,
        }
        if asked.system:
            body["instructions"] = asked.system
        if asked.tools:
            body["tools"] = [
                {"type": "function", "name": name, "parameters": SCHEMA, "strict": True}
                for name in asked.tools
            ]
        if asked.choice in asked.tools:
            body["tool_choice"] = {"type": "function", "name": asked.choice}
        elif asked.choice:
            body["tool_choice"] = asked.choice
        if asked.schema:
            wanted = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}
            body["text"] = {"format": wanted}
        return body

    def asked(self, body: dict[str, Any]) -> Asked:
        """What a provider is sent."""
        turns: list[Say] = []
        thought, signature = "", ""
        for item in body["input"]:
            if item.get("type") == "reasoning":
                thought, signature = self._thought(item)
                continue
            say = _say(item)
            if turns and turns[-1].role == say.role == "assistant":
                last = turns.pop()
                say = Say(
                    "assistant",
                    last.text + say.text,
                    calls=(*last.calls, *say.calls),
                    thought=last.thought,
                    signature=last.signature,
                )
            elif say.role == "assistant" and thought:
                say = Say("assistant", say.text, (), say.calls, thought, signature)
            turns.append(say)
        choice = body.get("tool_choice") or ""
        wanted = (body.get("text") or {}).get("format") or {}
        return Asked(
            tuple(turns),
            body.get("instructions") or "",
            tuple(each["name"] for each in body.get("tools") or ()),
            choice["name"] if isinstance(choice, dict) else choice,
            wanted.get("schema") == SCHEMA,
            body["max_output_tokens"],
        )

    def goes_on(self, body: dict[str, Any], answer: dict[str, Any], result: Say) -> dict[str, Any]:
        """The next turn's body."""
        return {**body, "input": [*body["input"], *answer["output"], *self._items(result)]}

    def hears(self, said: Said) -> Said:
        """It has no stop sequences."""
        return just_stopped(said)

    tells = hears

    def answer(self, said: Said) -> dict[str, Any]:
        """A whole response."""
        reason = INCOMPLETE.get(said.end)
        status = "incomplete" if reason else "completed"
        return {
            "id": "resp_up",
            "object": "response",
            "created_at": 1,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": "m",
            "output": self._items(said.say, status),
            "parallel_tool_calls": True,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage(said.usage),
        }

    def pieces(self, said: Said) -> list[bytes]:
        """The events."""
        done = self.answer(said)
        begun = {**done, "status": "in_progress", "output": [], "usage": None}
        told: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        for index, item in enumerate(done["output"]):
            told.append({"type": "response.output_item.added", "output_index": index, "item": item})
            if item["type"] == "message":
                place = {"item_id": "msg_0", "output_index": index, "content_index": 0}
                for text in halves(item["content"][0]["text"]):
                    kind = "response.output_text.delta"
                    told.append({"type": kind, **place, "delta": text, "logprobs": []})
            told.append({"type": "response.output_item.done", "output_index": index, "item": item})
        told.append({"type": f"response.{done['status']}", "response": done})
        return [named({**each, "sequence_number": n}) for n, each in enumerate(told)]

    def whole(self, body: dict[str, Any]) -> Said:
        """A whole response read."""
        text, thought, signature = "", "", ""
        calls = []
        for item in body["output"]:
            if item["type"] == "reasoning":
                thought, signature = self._thought(item)
            elif item["type"] == "message":
                text += _say(item).text
            else:
                calls.append(Call(item["name"], read_arguments(item["arguments"])))
        reason = (body["incomplete_details"] or {}).get("reason")
        end = READ_INCOMPLETE[reason] if reason else "tool_calls" if calls else "stop"
        assert body["status"] == ("incomplete" if reason else "completed")
        told = body["usage"]
        usage = Usage(
            told["input_tokens"],
            told["output_tokens"],
            told["input_tokens_details"]["cached_tokens"],
            told["output_tokens_details"]["reasoning_tokens"],
        )
        say = Say("assistant", text, (), tuple(calls), thought, signature)
        return Said(say, end, "", usage)

    def streamed(self, raw: bytes) -> Said:
        """The last event's response, and the same text in what came before."""
        told = events(raw)
        assert [each["sequence_number"] for each in told] == list(range(len(told)))
        said = self.whole(told[-1]["response"])
        texts = [each["delta"] for each in told if each["type"] == "response.output_text.delta"]
        assert "".join(texts) == said.say.text
        return said

    def _items(self, say: Say, status: str = "completed") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if say.thought:
            summary = [{"type": "summary_text", "text": say.thought}]
            item: dict[str, Any] = {"type": "reasoning", "id": "rs_0", "summary": summary}
            if say.signature:
                item["encrypted_content"] = self._sealed(say)
            items.append(item)
        if say.result_of:
            about = {"type": "function_call_output", "call_id": say.result_of}
            return [{**about, "output": say.text}]
        if say.text:
            kind = "output_text" if say.role == "assistant" else "input_text"
            parts: list[dict[str, Any]] = [{"type": kind, "text": say.text}]
            if say.role == "assistant":
                parts[0] |= {"annotations": [], "logprobs": []}
            parts += [_part(media) for media in say.media]
            ours = {"id": "msg_0", "status": status} if say.role == "assistant" else {}
            items.append({"type": "message", "role": say.role, "content": parts, **ours})
        for call in say.calls:
            told = {"call_id": call.id, "name": call.name, "arguments": arguments(call)}
            about = {"type": "function_call", "id": f"fc_{call.name}", "status": "completed"}
            items.append({**about, **told})
        return items

    def _sealed(self, say: Say) -> str | None:
        if self.native:
            return say.signature
        detail = {"type": "reasoning.text", "text": say.thought, "signature": say.signature}
        return packed([detail])

    def _thought(self, item: dict[str, Any]) -> tuple[str, str]:
        thought = "".join(each["text"] for each in item["summary"])
        sealed = item.get("encrypted_content") or ""
        if self.native:
            return thought, sealed
        return thought, "".join(each.get("signature") or "" for each in unpacked(sealed))


def _say(item: dict[str, Any]) -> Say:
    kind = item.get("type", "message")
    if kind == "function_call":
        return Say("assistant", calls=(Call(item["name"], read_arguments(item["arguments"])),))
    if kind == "function_call_output":
        return Say("tool", item["output"], result_of=item["call_id"])
    parts = item["content"]
    texts = [each["text"] for each in parts if each["type"] in ("input_text", "output_text")]
    media = [_media(each) for each in parts if each["type"] in ("input_image", "input_file")]
    return Say(item["role"], "".join(texts), tuple(media))


def _part(media: tuple[str, str]) -> dict[str, Any]:
    if media[0].startswith("image/"):
        return {"type": "input_image", "image_url": data_url(media), "detail": "auto"}
    if media[0].startswith("audio/"):
        raise UnsayableError
    return {"type": "input_file", "filename": "document.pdf", "file_data": data_url(media)}


def _media(part: dict[str, Any]) -> tuple[str, str]:
    return of_data_url(part["image_url"] if part["type"] == "input_image" else part["file_data"])


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
