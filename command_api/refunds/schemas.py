"""The body of a refund."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from command_api.money.metadata import check_metadata, texts_of
from edge.errors import bad_request

NAME_CHARACTERS_MAX = 255
REASON_CHARACTERS_MAX = 250
OURS = "gatewayz_"
"""What names of metadata that are ours begin with."""


class RefundAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/stripe/refund. Without an amount, in minor units, all that is left.

    A member that nobody knows is refused: a misspelt amount would give back all.
    """

    payment_intent_id: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    amount: int | None = None
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None

    @property
    def said(self) -> str:
        """The reason, in one line; raises ApiError 400."""
        text = (self.reason or "").strip()
        if not text.isprintable():
            message = "reason must be one line of printable characters."
            raise bad_request("invalid_value", message, "reason")
        return text

    @property
    def kept(self) -> dict[str, str]:
        """The metadata as texts; raises ApiError 400."""
        check_metadata(self.metadata)
        found = texts_of(self.metadata)
        if any(name.startswith(OURS) for name in self.metadata or {}):
            message = f"names of metadata that begin with {OURS} are ours: choose another."
            raise bad_request("invalid_value", message, "metadata")
        return found


decode_refund = msgspec.json.Decoder(RefundAsked).decode
