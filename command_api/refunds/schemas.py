"""The body of a refund."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edge.errors import bad_request

NAME_CHARACTERS_MAX = 255
REASON_CHARACTERS_MAX = 250
METADATA_MAX, METADATA_NAME_MAX, METADATA_VALUE_MAX = 20, 40, 500
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
        given = self.metadata or {}
        for name, value in given.items():
            fits = isinstance(value, str | int | bool) or value is None
            sized = 0 < len(name) <= METADATA_NAME_MAX and len(str(value)) <= METADATA_VALUE_MAX
            plain = name.isprintable() and not {"[", "]"} & set(name) and not name.startswith(OURS)
            if not (fits and sized and plain):
                message = (
                    f"metadata has names of at most {METADATA_NAME_MAX} characters, without "
                    f"brackets, and texts or whole numbers of at most {METADATA_VALUE_MAX}."
                )
                raise bad_request("invalid_value", message, "metadata")
        if len(given) > METADATA_MAX:
            message = f"metadata has at most {METADATA_MAX} members."
            raise bad_request("invalid_value", message, "metadata")
        return {name: str(value) for name, value in given.items() if value is not None}


decode_refund = msgspec.json.Decoder(RefundAsked).decode
