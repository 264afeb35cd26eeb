"""What a session's caller says of transcripts (OpenAI's API, `AudioTranscription`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from edge.access import admit_models
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.identity.access import Access
    from providers.inference.registry.offers import Model

WISH_BYTES_MAX = 8_192
"""The longest wish, its prompt included."""
NAMES_SHOWN_MAX = 16


class Wish(NamedTuple):
    """Transcripts by a model, and how many bytes say so."""

    model: str
    size: int


class Wishes:
    """The transcripts that one session may ask for."""

    def __init__(self, writers: Mapping[str, Model], limits: Access | None) -> None:
        """`writers` by the provider's id, `limits` those of the caller's key."""
        self._writers, self._limits = writers, limits
        self._chosen = ""

    def read(self, told: Any, param: str) -> Wish | None:
        """What is asked for; None for no transcripts. Raises ApiError."""
        if not told:
            return None
        if not isinstance(told, dict):
            raise bad_request("invalid_value", "transcription is an object with a `model`.", param)
        model, size = told.get("model"), len(msgspec.json.encode(told))
        if not isinstance(model, str) or model not in self._writers:
            raise bad_request("realtime_unpriced", self._unpriced(model), param)
        if self._limits is not None:
            admit_models(self._limits, (model,))
        if self._chosen not in ("", model):
            message = (
                f"The transcripts of this session are made by {self._chosen!r}: leave it so, or "
                "open another session."
            )
            raise bad_request("invalid_value", message, f"{param}.model")
        if size > WISH_BYTES_MAX:
            message = f"transcription has {size} bytes, and at most {WISH_BYTES_MAX} are taken."
            raise bad_request("invalid_value", message, param)
        return Wish(model, size)

    def chose(self, wish: Wish) -> None:
        """The event with it is passed on: the session's transcripts are by its model from now."""
        self._chosen = wish.model

    def _unpriced(self, model: Any) -> str:
        named = f" by {model[:100]!r}" if isinstance(model, str) else " without a `model`"
        known = ", ".join(sorted(self._writers)[:NAMES_SHOWN_MAX])
        rest = f"name one of {known}" if known else "leave it out"
        return f"Nobody here has a price for a transcript of what is heard{named}: {rest}."
