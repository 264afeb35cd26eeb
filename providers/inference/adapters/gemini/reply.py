"""Replies and streams of `generateContent`, in OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.details import ENCRYPTED, GEMINI
from providers.inference.adapters.translation import ChunkMaker, encode
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "stop",
    "UNEXPECTED_TOOL_CALL": "stop",
    "OTHER": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
}
"""Gemini's finish reasons and OpenAI's; the many for refused content are all content_filter."""
BLOCKED_STATUS = 400


def usage_of(report: dict[str, Any]) -> dict[str, Any] | None:
    """Gemini's usage in OpenAI's form; None when it counts nothing.

    Tokens of tool use and thoughts lie outside the counts of prompt and candidates.
    """
    prompt = (report.get("promptTokenCount") or 0) + (report.get("toolUsePromptTokenCount") or 0)
    thoughts = report.get("thoughtsTokenCount") or 0
    completion = (report.get("candidatesTokenCount") or 0) + thoughts
    if not prompt and not completion:
        return None
    heard = _of_modality(report.get("promptTokensDetails"), "AUDIO")
    spoken = _of_modality(report.get("candidatesTokensDetails"), "AUDIO")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": report.get("cachedContentTokenCount") or 0,
            "audio_tokens": heard,
        },
        "completion_tokens_details": {"reasoning_tokens": thoughts, "audio_tokens": spoken},
    }


def _of_modality(details: Any, modality: str) -> int:
    return sum(
        each.get("tokenCount") or 0
        for each in details or ()
        if isinstance(each, dict) and each.get("modality") == modality
    )


class GeminiTranslator:
    """One reply of generateContent, or the replies of its stream, in OpenAI's form."""

    def __init__(self, model: str, created: int) -> None:
        """Calls of functions are numbered where Gemini gives them no id."""
        self._make = ChunkMaker(model, created)
        self._calls: dict[int, int] = {}
        self._finished = False
        self._searches = 0
        self._usage: dict[str, Any] | None = None

    @property
    def report(self) -> dict[str, Any] | None:
        """The cumulative counts of the last reply."""
        return self._usage

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply as one object."""
        if body.get("error"):
            return {"error": body["error"]}
        self._note(body)
        candidates = body.get("candidates")
        if not candidates:
            return _blocked(body)
        choices = []
        for number, candidate in enumerate(candidates):
            index = candidate.get("index") or number
            message = _merged(list(self._deltas(candidate, index)))
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": self._finish(candidate, index) or "stop",
                }
            )
        return self._make.completion(choices, self._usage)

    def event(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that one reply of the stream becomes."""
        if data.get("error"):
            yield {"error": data["error"]}
            return
        first = not self._make.id
        self._note(data)
        candidates = data.get("candidates") or []
        if not candidates and (data.get("promptFeedback") or {}).get("blockReason"):
            yield _blocked(data)
            return
        for number, candidate in enumerate(candidates):
            index = candidate.get("index") or number
            if first:
                yield self._make.chunk({"role": "assistant", "content": ""}, index=index)
            for delta in self._deltas(candidate, index):
                yield self._make.chunk(delta, index=index)
            reason = self._finish(candidate, index)
            if reason:
                self._finished = True
                yield self._make.chunk({}, reason, index=index)

    def end(self) -> Iterator[dict[str, Any]]:
        """The usage: the counts of each reply are cumulative, so the last one is the call's."""
        if not self._finished:
            message = "the stream ended before a finishReason"
            raise UpstreamBrokenError(message)
        if self._usage:
            yield self._make.usage_chunk(self._usage)

    def _note_searches(self, candidates: Any) -> None:
        """Google's searches for a grounded answer, by its queries; those of a stream come once."""
        for each in candidates or ():
            queries = (each.get("groundingMetadata") or {}).get("webSearchQueries")
            if isinstance(queries, list):
                self._searches = max(self._searches, len(queries))

    def _note(self, body: dict[str, Any]) -> None:
        self._make.id = body.get("responseId") or self._make.id or "gemini"
        self._make.model = body.get("modelVersion") or self._make.model
        report = body.get("usageMetadata")
        if isinstance(report, dict):
            self._usage = usage_of(report) or self._usage
        self._note_searches(body.get("candidates"))
        if self._usage:
            self._usage["server_tool_use"] = {"web_search_requests": self._searches}

    def _deltas(self, candidate: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        for part in (candidate.get("content") or {}).get("parts") or ():
            if part.get("functionCall"):
                call = self._call(part, index)
                yield {"tool_calls": [call], **_signed(part, call["id"])}
            elif part.get("text"):
                yield {"reasoning_content" if part.get("thought") else "content": part["text"]}
            elif part.get("inlineData"):
                data = part["inlineData"]
                url = f"data:{data.get('mimeType')};base64,{data.get('data')}"
                yield {"images": [{"type": "image_url", "image_url": {"url": url}}]}
            elif part.get("executableCode"):
                yield {"content": f"```\n{part['executableCode'].get('code') or ''}\n```\n"}
            elif part.get("codeExecutionResult"):
                yield {"content": part["codeExecutionResult"].get("output") or ""}

    def _call(self, part: dict[str, Any], index: int) -> dict[str, Any]:
        called = part["functionCall"]
        number = self._calls.get(index, 0)
        self._calls[index] = number + 1
        call: dict[str, Any] = {
            "index": number,
            "id": called.get("id") or f"call_{self._make.id}_{index}_{number}",
            "type": "function",
            "function": {
                "name": called.get("name") or "",
                "arguments": encode(called.get("args") or {}).decode(),
            },
        }
        if part.get("thoughtSignature"):
            call["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
        return call

    def _finish(self, candidate: dict[str, Any], index: int) -> str | None:
        reason = candidate.get("finishReason")
        if not reason:
            return None
        if reason == "STOP" and self._calls.get(index):
            return "tool_calls"
        return FINISH.get(reason, "content_filter")


def _signed(part: dict[str, Any], call_id: str) -> dict[str, Any]:
    """A call's signature a second time, where callers of other APIs than chat keep it."""
    if not part.get("thoughtSignature"):
        return {}
    about = {"type": ENCRYPTED, "format": GEMINI, "id": call_id}
    return {"reasoning_details": [{**about, "data": part["thoughtSignature"]}]}


def _merged(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that deltas add up to."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        for name, value in delta.items():
            message[name] = value if message.get(name) is None else message[name] + value
    for call in message.get("tool_calls") or ():
        del call["index"]
    if message["content"] is None and "tool_calls" not in message:
        message["content"] = ""
    return message


def _blocked(body: dict[str, Any]) -> dict[str, Any]:
    """A prompt that was refused made nothing, so it is an error and costs nothing."""
    feedback = body.get("promptFeedback") or {}
    reason = feedback.get("blockReason") or "no candidates"
    text = feedback.get("blockReasonMessage") or "the reply has no candidates"
    status = BLOCKED_STATUS if feedback.get("blockReason") else 502
    return {"error": {"message": f"{text} ({reason})", "code": status, "type": "content_filter"}}
