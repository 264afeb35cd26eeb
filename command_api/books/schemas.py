"""The body of a close."""

from __future__ import annotations

import msgspec

BODY_BYTES_MAX = 16_384


class ClosePeriod(msgspec.Struct, frozen=True):
    """POST /finance/periods."""

    month: str
    reason: str


decode_close = msgspec.json.Decoder(ClosePeriod).decode
