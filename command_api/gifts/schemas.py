"""The body of a gift."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from domain.errors import InvalidAmountError
from domain.ledger.amounts import check_debit
from edge.body import amount_of
from edge.errors import bad_request

REASON_CHARACTERS_MAX = 500
ID_CHARACTERS_MAX = 64


class Source(StrEnum):
    """Whose credits are given."""

    ORGANISATION = "organisation"
    OWN = "own"


class Gift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /organisations/{id}/gifts."""

    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
    amount: msgspec.Raw
    source: Source = msgspec.field(name="from", default=Source.ORGANISATION)
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)] = ""

    @property
    def nano_usd(self) -> int:
        """The amount, exactly; raises ApiError 400."""
        found = amount_of(bytes(self.amount), "amount")
        try:
            check_debit(found)
        except InvalidAmountError as error:
            raise bad_request("invalid_value", f"amount: {error}.", "amount") from None
        return found

    @property
    def said(self) -> str:
        """The reason, in one line; raises ApiError 400 for one that cannot be kept."""
        text = self.reason.strip()
        if not text.isprintable():
            message = f"reason has at most {REASON_CHARACTERS_MAX} printable characters."
            raise bad_request("invalid_value", message, "reason")
        return text


decode_gift = msgspec.json.Decoder(Gift).decode
