"""Signed and hidden thoughts of other providers, packed for a caller who speaks another API.

What a provider wants back in the next turn (`reasoning_details`, as OpenRouter names them) rides in
what clients of that API keep and nobody reads: the encrypted content of a reasoning item, the data
of a redacted thought.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any

import msgspec

MARK = "gwd1."
"""How ours begins: what does not is OpenAI's own, and nobody else can read it."""
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode
KEYS = ("signature", "data")
TEXT = "reasoning.text"
ENCRYPTED = "reasoning.encrypted"
GEMINI = "google-gemini-v1"
ANTHROPICS = (None, "", "unknown", "anthropic-claude-v1")
"""Formats of details that Anthropic's models can read; OpenRouter names them."""


def is_anthropics(detail: dict[str, Any]) -> bool:
    """Whether a detail may be one of Anthropic's own."""
    return detail.get("format") in ANTHROPICS


def packed(details: Any) -> str | None:
    """Details as a text; None where nobody has to get them back."""
    listed = (
        [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    )
    if not any(each.get(key) for each in listed for key in KEYS):
        return None
    return MARK + b64encode(msgspec.json.encode(listed)).decode()


def merged(details: list[Any]) -> list[dict[str, Any]]:
    """The details of a stream's deltas, the parts of one thought as one.

    A signature may come with all of the text that it signs once more.
    """
    made: list[dict[str, Any]] = []
    for each in details:
        if not isinstance(each, dict):
            continue
        last = made[-1] if made else {}
        goes_on = last.get("type") == each.get("type") == TEXT and not last.get("signature")
        if not goes_on or last.get("index") != each.get("index"):
            made.append(dict(each))
            continue
        before, more = str(last.get("text") or ""), str(each.get("text") or "")
        repeats = bool(each.get("signature")) and more.startswith(before)
        last.update({name: told for name, told in each.items() if told is not None})
        last["text"] = more if repeats else before + more
    return made


def unpacked(text: Any) -> list[dict[str, Any]]:
    """The details in a text; none where it is not one of ours."""
    if not isinstance(text, str) or not text.startswith(MARK):
        return []
    try:
        return _decode(b64decode(text[len(MARK) :], validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return []
