"""What the body of a 200 holds that answers completions: a reply, or an error after all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from command_api.replies.completions import read_choices
from command_api.replies.texts.mending import mend_text
from command_api.replies.texts.shapes import decode_text
from domain.pricing.usage import TextCount

if TYPE_CHECKING:
    from command_api.replies.completions import ChatAnswer


def read_text(provider: str, raw: bytes, *, call_id: str, model: str) -> ChatAnswer:
    """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
    mend = partial(mend_text, call_id=call_id, model=model)
    return read_choices(provider, raw, decode_text, mend, "completion")


def count_texts(raw: bytes) -> int:
    """Our own count of a whole reply that was read, in tokens (money rule 6)."""
    count = TextCount()
    for choice in decode_text(raw).choices:
        count.add(choice.text)
    return count.tokens
