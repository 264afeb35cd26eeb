"""What the body of a 200 holds that answers completions: a reply, or an error after all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from command_api.replies.completions import ChatAnswer, read_reply, usage_in
from command_api.replies.failures import failure_of_nothing
from command_api.replies.shapes import UNREADABLE
from command_api.replies.texts.mending import mend_text
from command_api.replies.texts.shapes import decode_text
from domain.pricing.usage import TextCount

if TYPE_CHECKING:
    from command_api.replies.texts.shapes import TextCompletion

_decode_any = msgspec.json.Decoder().decode


def read_text(provider: str, raw: bytes, *, call_id: str, model: str) -> ChatAnswer:
    """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
    reply = read_reply(provider, raw)
    if not isinstance(reply.choices, list) or not reply.choices:
        raise failure_of_nothing(provider, "no choices")
    if _fit(raw) is None:
        raw = _mended(provider, raw, call_id, model)
    return ChatAnswer(
        raw=raw,
        request_id=reply.id if isinstance(reply.id, str) else None,
        usage=usage_in(reply),
    )


def count_texts(raw: bytes) -> int:
    """Our own count of a whole reply that was read, in tokens (money rule 6)."""
    count = TextCount()
    for choice in decode_text(raw).choices:
        count.add(choice.text)
    return count.tokens


def _fit(raw: bytes) -> TextCompletion | None:
    try:
        return decode_text(raw)
    except UNREADABLE:
        return None


def _mended(provider: str, raw: bytes, call_id: str, model: str) -> bytes:
    try:
        mended = mend_text(_decode_any(raw.strip()), call_id=call_id, model=model)
        encoded = msgspec.json.encode(mended)
        decode_text(encoded)
    except (*UNREADABLE, AttributeError, TypeError):
        raise failure_of_nothing(provider, "a reply that is no completion") from None
    return encoded
