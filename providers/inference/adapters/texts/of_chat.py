"""Answers of chat in the form of completions: the text is the content of the message."""

from __future__ import annotations

from typing import Any

FINISH_REASONS = frozenset({"stop", "length", "content_filter"})
"""Those of completions; whatever else ended a message is a plain `stop`."""
KIND = "text_completion"
_CHAT = frozenset({"object", "choices"})


class TextChunks:
    """The chunks of one stream; it knows how far each choice has come."""

    __slots__ = ("_at", "_begin")

    def __init__(self, begin: int) -> None:
        """`begin` is the length of the prompt, characters: offsets count from its start."""
        self._begin = begin
        self._at: dict[int, int] = {}

    def chunk(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """One chunk; None where it tells nothing that completions have."""
        choices: list[dict[str, Any]] = []
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            text, reason = _text_of(delta), choice.get("finish_reason")
            index = choice["index"]
            at = self._at.get(index, self._begin)
            self._at[index] = at + len(text)
            if text or reason:
                choices.append(_choice(choice, text, at, reason))
        if not choices and not chunk.get("usage"):
            return None
        return {**_around(chunk), "choices": choices}


def text_completion(reply: dict[str, Any], begin: int) -> dict[str, Any]:
    """A whole reply; `begin` as for chunks."""
    choices = [
        _choice(each, _text_of(each["message"]), begin, each["finish_reason"])
        for each in reply["choices"]
    ]
    return {**_around(reply), "choices": choices}


def _around(reply: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in reply.items() if name not in _CHAT}
    return {**kept, "object": KIND}


def _text_of(message: dict[str, Any]) -> str:
    return message.get("content") or message.get("refusal") or ""


def _choice(choice: dict[str, Any], text: str, at: int, reason: str | None) -> dict[str, Any]:
    ended = reason if reason in FINISH_REASONS else "stop"
    return {
        "text": text,
        "index": choice["index"],
        "logprobs": _logprobs(choice.get("logprobs"), at),
        "finish_reason": ended if reason else None,
    }


def _logprobs(told: dict[str, Any] | None, at: int) -> dict[str, Any] | None:
    """Log probabilities by column, as completions have them."""
    tokens = (told or {}).get("content")
    if not tokens:
        return None
    offsets: list[int] = []
    for each in tokens:
        offsets.append(at)
        at += len(each["token"])
    top = [
        {other["token"]: other["logprob"] for other in each.get("top_logprobs") or ()}
        for each in tokens
    ]
    return {
        "tokens": [each["token"] for each in tokens],
        "token_logprobs": [each["logprob"] for each in tokens],
        "top_logprobs": top if any(top) else None,
        "text_offset": offsets,
    }
