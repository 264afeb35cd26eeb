"""Makes completions fit OpenAI's types, where a provider's do not.

Measured misfits: `text.completion` and the finish reason `eos` (Together), no index of a choice
(Together), an id of chat's kind, which may stay (Cerebras).
"""

from __future__ import annotations

from typing import Any

from command_api.replies.mending import mend_choice, mend_top
from providers.inference.adapters.texts.of_chat import FINISH_REASONS, KIND


def mend_text_chunk(value: dict[str, Any], *, call_id: str, model: str) -> dict[str, Any]:
    """The chunk, or the whole reply but for its end, as OpenAI would have written it."""
    if not isinstance(value.get("id"), str):
        value = {**value, "id": f"cmpl-{call_id}"}
    mended = mend_top(value, KIND, call_id, model)
    for place, choice in enumerate(mended["choices"]):
        mend_choice(choice, place)
        if choice.get("finish_reason") is not None:
            known = choice["finish_reason"] in FINISH_REASONS
            choice["finish_reason"] = choice["finish_reason"] if known else "stop"
        if not isinstance(choice.get("text"), str):
            choice["text"] = ""
    return mended


def mend_text(value: dict[str, Any], *, call_id: str, model: str) -> dict[str, Any]:
    """The whole reply as OpenAI would have written it."""
    mended = mend_text_chunk(value, call_id=call_id, model=model)
    for choice in mended["choices"]:
        choice["finish_reason"] = choice.get("finish_reason") or "stop"
    return mended
