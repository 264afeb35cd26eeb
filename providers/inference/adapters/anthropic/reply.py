"""Replies and streams of Anthropic's Messages API, in OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.anthropic.request import JSON_TOOL
from providers.inference.adapters.translation import ChunkMaker, encode
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's stop reasons and OpenAI's."""
BESIDE = ("server_tool_use", "service_tier")
"""What a report says beside tokens: how often Anthropic ran a tool, and the tier it served."""


def searches_of(blocks: Any) -> int:
    """The searches of the web that blocks show (Anthropic, "Web search tool")."""
    known = [each for each in blocks if isinstance(each, dict)]
    return sum((each.get("type"), each.get("name")) == SEARCH for each in known)


SEARCH = ("server_tool_use", "web_search")


def usage_of(report: dict[str, Any], searches: int = 0) -> dict[str, Any]:
    """Anthropic's usage in OpenAI's form: cached tokens lie beside its input_tokens.

    `searches` are those that the message shows, which count where the report tells none.
    """
    read = report.get("cache_read_input_tokens") or 0
    written = report.get("cache_creation_input_tokens") or 0
    prompt = (report.get("input_tokens") or 0) + read + written
    completion = report.get("output_tokens") or 0
    thought = (report.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    made = {"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}
    lives = report.get("cache_creation") or {}
    long = lives.get("ephemeral_1h_input_tokens")
    by_life = {} if long is None else {"cache_write_1h_tokens": long}
    shown = {"server_tool_use": {"web_search_requests": searches}}
    beside = shown | {name: told for name in BESIDE if (told := report.get(name)) is not None}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written, **by_life},
        **made,
        **beside,
    }


class AnthropicTranslator:
    """One reply of the Messages API in OpenAI's form."""

    def __init__(self, model: str, created: int, *, json_tool: bool) -> None:
        """With `json_tool` the input of our own tool is the answer's content."""
        self._make = ChunkMaker(model, created)
        self._json_tool = json_tool
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int | None] = {}
        """Number of the call that a block is; None for the block that is the answer."""
        self._thoughts: list[str] = []
        self._searches = 0
        self._ended = False

    @property
    def report(self) -> None:
        """Before message_delta the output is not counted."""

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply as one object."""
        if body.get("error"):
            return {"error": body["error"]}
        if not isinstance(body.get("content"), list):
            problem = "the reply has no content"
            raise UpstreamBrokenError(problem)
        self._make.id = body.get("id") or ""
        self._make.model = body.get("model") or self._make.model
        choice = {
            "index": 0,
            "message": self._message(body["content"]),
            "logprobs": None,
            "finish_reason": self._finish(body.get("stop_reason")),
        }
        report = body.get("usage")
        told = usage_of(report, searches_of(body["content"])) if report else None
        return self._make.completion([choice], told)

    def _message(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        texts: list[str] = []
        thoughts: list[str] = []
        details: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for block in blocks:
            kind = block.get("type")
            if kind == "text":
                texts.append(block.get("text") or "")
            elif kind == "thinking":
                thoughts.append(block.get("thinking") or "")
                details.append(_detail(block.get("thinking"), block.get("signature")))
            elif kind == "redacted_thinking":
                details.append({"type": "reasoning.encrypted", "data": block.get("data")})
            elif kind == "tool_use" and self._is_answer(block):
                texts.append(encode(block.get("input")).decode())
            elif kind == "tool_use":
                calls.append(_call(block, encode(block.get("input") or {}).decode()))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(texts) if texts or not calls else None,
            "refusal": None,
        }
        more = {
            "reasoning_content": "".join(thoughts),
            "reasoning_details": details,
            "tool_calls": calls,
        }
        return message | {name: value for name, value in more.items() if value}

    def event(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that one event becomes."""
        kind = data.get("type")
        if kind == "message_start":
            message = data.get("message") or {}
            self._make.id = message.get("id") or ""
            self._make.model = message.get("model") or self._make.model
            self._usage.update(message.get("usage") or {})
            yield self._make.chunk({"role": "assistant", "content": ""})
        elif kind == "content_block_start":
            yield from self._block_start(data)
        elif kind == "content_block_delta":
            yield from self._delta(data)
        elif kind == "message_delta":
            reason = (data.get("delta") or {}).get("stop_reason")
            told = data.get("usage") or {}
            self._usage.update({k: v for k, v in told.items() if v is not None})
            if reason:
                yield self._make.chunk({}, self._finish(reason))
            if told:
                yield self._make.usage_chunk(usage_of(self._usage, self._searches))
        elif kind == "message_stop":
            self._ended = True
        elif kind == "error":
            yield {"error": data.get("error") or {"message": "error"}}

    def end(self) -> Iterator[dict[str, Any]]:
        """Nothing is left to say, if the message was complete."""
        if not self._ended:
            message = "the stream ended before message_stop"
            raise UpstreamBrokenError(message)
        return iter(())

    def _block_start(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        block = data.get("content_block") or {}
        self._searches += searches_of([block])
        if block.get("type") == "tool_use" and self._is_answer(block):
            self._calls[data.get("index", 0)] = None
        elif block.get("type") == "tool_use":
            number = self._calls[data.get("index", 0)] = len(self._calls)
            yield self._make.chunk({"tool_calls": [{"index": number, **_call(block, "")}]})
        elif block.get("type") == "text" and block.get("text"):
            yield self._make.chunk({"content": block["text"]})
        elif block.get("type") == "redacted_thinking":
            hidden = {"type": "reasoning.encrypted", "data": block.get("data")}
            yield self._make.chunk({"reasoning_details": [hidden]})

    def _delta(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        delta = data.get("delta") or {}
        kind = delta.get("type")
        if kind == "text_delta":
            yield self._make.chunk({"content": delta.get("text") or ""})
        elif kind == "thinking_delta":
            self._thoughts.append(delta.get("thinking") or "")
            yield self._make.chunk({"reasoning_content": self._thoughts[-1]})
        elif kind == "signature_delta":
            # The signature counts for the whole block, so the detail repeats its text.
            detail = _detail("".join(self._thoughts), delta.get("signature"))
            self._thoughts = []
            yield self._make.chunk({"reasoning_details": [detail]})
        elif kind == "input_json_delta" and data.get("index", 0) in self._calls:
            text = delta.get("partial_json") or ""
            number = self._calls[data.get("index", 0)]
            if number is None:
                yield self._make.chunk({"content": text})
            else:
                call = {"index": number, "function": {"arguments": text}}
                yield self._make.chunk({"tool_calls": [call]})

    def _is_answer(self, block: dict[str, Any]) -> bool:
        return self._json_tool and block.get("name") == JSON_TOOL

    def _finish(self, reason: Any) -> str:
        if reason == "tool_use" and self._json_tool:
            return "stop"
        return FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"


def _detail(text: Any, signature: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text or "", "signature": signature}


def _call(block: dict[str, Any], arguments: str) -> dict[str, Any]:
    return {
        "id": block.get("id") or "",
        "type": "function",
        "function": {"name": block.get("name") or "", "arguments": arguments},
    }
