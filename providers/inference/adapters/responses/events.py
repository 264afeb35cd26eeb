"""The chunks of a stream as the events of OpenAI's Responses API.

Source: OpenAI's OpenAPI document (version 2.3.0), `ResponseStreamEvent`. Items follow each other;
one is open. Numbers of events are given where they are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.anthropic.as_message import reasoning_of
from providers.inference.adapters.details import merged, packed
from providers.inference.adapters.responses.as_response import Frame, ended, input_of, text_part
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS_MAX = 10_000
"""Most items of one answer; each is a call, and nobody makes so many."""


class ResponseEvents:
    """The events that the chunks of one stream become."""

    def __init__(self, frame: Frame) -> None:
        """Nothing came yet."""
        self._frame = frame
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._kind = ""
        """Of the open item: `reasoning`, `text`, `refusal` or `call`; empty without one."""
        self._item: dict[str, Any] = {}
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._details: list[Any] = []
        self._finish: str | None = None
        self._calls: set[int] = set()
        self._call: tuple[int, str] | None = None

    def begin(self) -> Iterator[dict[str, Any]]:
        """The first two events, once."""
        if not self._begun:
            self._begun = True
            for kind in ("response.created", "response.in_progress"):
                response = self._frame.response([], status="in_progress")
                yield {"type": kind, "response": response}

    def chunk(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One chunk; raises UpstreamBrokenError for calls that are mixed up."""
        yield from self.begin()
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            delta = choice.get("delta") or {}
            yield from self._reasoning(delta)
            if delta.get("content"):
                logprobs = (choice.get("logprobs") or {}).get("content")
                yield from self._text(delta["content"], logprobs)
            if delta.get("refusal"):
                yield from self._refusal(delta["refusal"])
            for call in delta.get("tool_calls") or ():
                yield from self._tool(call)
            self._finish = choice.get("finish_reason") or self._finish

    def end(self, usage: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The last events."""
        yield from self.begin()
        end = ended(self._finish)
        yield from self._close(end["status"])
        response = self._frame.response(self._output, usage=usage, **end)
        yield {"type": f"response.{end['status']}", "response": response}

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": len(self._output)}

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": f"response.{kind}", **self._place, **more}

    def _open(self, kind: str, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self._close()
        if len(self._output) >= ITEMS_MAX:
            message = f"an answer of more than {ITEMS_MAX} items"
            raise UpstreamBrokenError(message)
        self._kind, self._item, self._texts = kind, item, []
        yield {
            "type": "response.output_item.added",
            "output_index": len(self._output),
            "item": dict(item),
        }

    def _reasoning(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        details = delta.get("reasoning_details")
        thought, _, _ = reasoning_of(delta)
        listed = details if isinstance(details, list) else []
        plain = delta.get("reasoning_content") or delta.get("reasoning")
        if packed(listed) and self._kind == "reasoning" and not plain:
            thought = ""  # A signature's detail may repeat the text that it signs.
        if not (thought or packed(listed)):
            return
        if self._kind != "reasoning":
            item_id = self._frame.item_id("rs", len(self._output))
            yield from self._open("reasoning", {"id": item_id, "type": "reasoning", "summary": []})
            self._details = []
        self._details += listed
        if thought:
            if not self._texts:
                part = {"type": "summary_text", "text": ""}
                yield self._event("reasoning_summary_part.added", summary_index=0, part=part)
            self._texts.append(thought)
            yield self._event("reasoning_summary_text.delta", summary_index=0, delta=thought)

    def _message(self, kind: str, part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A message is open whose last part is of this kind."""
        if self._kind == kind:
            return
        if self._kind in ("text", "refusal"):
            yield from self._close_part()
            self._kind, self._texts = kind, []
        else:
            item_id = self._frame.item_id("msg", len(self._output))
            item: dict[str, Any] = {"id": item_id, "type": "message", "status": "in_progress"}
            yield from self._open(kind, {**item, "role": "assistant", "content": []})
            self._item["content"] = []
        self._logprobs = []
        index = len(self._item["content"])
        yield self._event("content_part.added", content_index=index, part=part)

    def _text(self, text: str, logprobs: Any) -> Iterator[dict[str, Any]]:
        yield from self._message("text", text_part(""))
        self._texts.append(text)
        told = logprobs if isinstance(logprobs, list) else []
        self._logprobs += told
        index = len(self._item["content"])
        yield self._event("output_text.delta", content_index=index, delta=text, logprobs=told)

    def _refusal(self, text: str) -> Iterator[dict[str, Any]]:
        yield from self._message("refusal", {"type": "refusal", "refusal": ""})
        self._texts.append(text)
        yield self._event("refusal.delta", content_index=len(self._item["content"]), delta=text)

    def _tool(self, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        function = call.get("function") or {}
        index, told = call["index"], call.get("id") or ""
        # Some providers number every call 0: a new id with a name begins a new one.
        named = bool(told and function.get("name"))
        before, before_id = self._call or (None, "")
        if index != before or (named and told != before_id):
            if index in self._calls and not named:
                message = "a tool call goes on behind the one after it"
                raise UpstreamBrokenError(message)
            self._calls.add(index)
            place, name = len(self._output) + bool(self._kind), function.get("name") or ""
            item = self._frame.call(place, told or f"call_{len(self._calls)}", name, "")
            yield from self._open("call", {**item, "status": "in_progress"})
            self._call = (index, told)
        arguments = function.get("arguments")
        if arguments:
            self._texts.append(arguments)
            # A free text is known once its JSON is whole.
            if self._item["type"] == "function_call":
                yield self._event("function_call_arguments.delta", delta=arguments)

    def _close(self, status: str = "completed") -> Iterator[dict[str, Any]]:
        if not self._kind:
            return
        if self._kind == "reasoning":
            yield from self._close_reasoning()
        elif self._kind == "call":
            yield from self._close_call()
            self._item["status"] = status
        else:
            yield from self._close_part()
            self._item["status"] = status
        place = {"output_index": len(self._output), "item": self._item}
        yield {"type": "response.output_item.done", **place}
        self._output.append(self._item)
        self._kind, self._call = "", None

    def _close_reasoning(self) -> Iterator[dict[str, Any]]:
        text, sealed = "".join(self._texts), packed(merged(self._details))
        if text:
            part = {"type": "summary_text", "text": text}
            yield self._event("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._event("reasoning_summary_part.done", summary_index=0, part=part)
            self._item["summary"] = [part]
        if sealed:
            self._item["encrypted_content"] = sealed

    def _close_part(self) -> Iterator[dict[str, Any]]:
        text, content = "".join(self._texts), self._item["content"]
        index = len(content)
        part: dict[str, Any] = {"type": "refusal", "refusal": text}
        if self._kind == "refusal":
            yield self._event("refusal.done", content_index=index, refusal=text)
        else:
            part = text_part(text, self._logprobs)
            told = {"text": text, "logprobs": self._logprobs}
            yield self._event("output_text.done", content_index=index, **told)
        yield self._event("content_part.done", content_index=index, part=part)
        content.append(part)

    def _close_call(self) -> Iterator[dict[str, Any]]:
        arguments, item = "".join(self._texts), self._item
        if item["type"] == "function_call":
            item["arguments"] = arguments
            told = {"name": item["name"], "arguments": arguments}
            yield self._event("function_call_arguments.done", **told)
        else:
            text = item["input"] = input_of(arguments)
            if text:
                yield self._event("custom_tool_call_input.delta", delta=text)
            yield self._event("custom_tool_call_input.done", input=text)
