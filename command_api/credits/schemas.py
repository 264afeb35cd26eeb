"""The body of a grant by an admin. Clients send `credits` as a number; a text is as good."""

from __future__ import annotations

import msgspec

from domain.errors import InvalidAmountError
from domain.ledger.amounts import check_grant
from edge.body import amount_of
from edge.errors import bad_request

BODY_BYTES_MAX = 16_384
REASON_CHARACTERS_MAX = 500
NO_REASON = ""
"""Older clients send none: it is recorded, and shown, as the empty text."""


class AddCredits(msgspec.Struct, frozen=True):
    """POST /admin/add_credits."""

    api_key: str
    credits: msgspec.Raw
    reason: str | None = None

    @property
    def amount(self) -> int:
        """In nano-USD, exactly as it was written; raises ApiError 400."""
        found = amount_of(bytes(self.credits), "credits")
        try:
            check_grant(found)
        except InvalidAmountError as error:
            raise bad_request("invalid_value", f"credits: {error}.", "credits") from None
        return found

    @property
    def said(self) -> str:
        """The reason, in one line; raises ApiError 400 for one that cannot be kept."""
        text = (self.reason or "").strip() or NO_REASON
        if len(text) > REASON_CHARACTERS_MAX or not text.isprintable():
            message = f"reason has at most {REASON_CHARACTERS_MAX} printable characters."
            raise bad_request("invalid_value", message, "reason")
        return text


decode_credits = msgspec.json.Decoder(AddCredits).decode
