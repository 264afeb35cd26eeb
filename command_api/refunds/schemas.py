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


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]


class RefundAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/stripe/refund. Without an amount, in minor units, all that is left.

    What was paid is named in one way: by Stripe's intent or charge, our payment, or the invoice of
    a subscription. A member that nobody knows is refused: a misspelt amount would give back all.
    """

    payment_intent_id: Name | None = None
    charge_id: Name | None = None
    payment_id: Name | None = None
    invoice_id: Name | None = None
    amount: int | None = None
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None

    def check(self) -> None:
        """Raise ApiError 400 where nothing is named, or more than one, or no id."""
        named = [self.payment_intent_id, self.charge_id, self.payment_id, self.invoice_id]
        given = [each for each in named if each is not None]
        if len(given) != 1:
            message = (
                "What is to be refunded is named in one way: payment_intent_id, charge_id, "
                "payment_id or invoice_id."
            )
            raise bad_request("invalid_value", message, "payment_intent_id")
        if not given[0].replace("_", "").replace("-", "").isalnum() or not given[0].isascii():
            raise bad_request("invalid_value", "This is no id of what was paid.")

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
