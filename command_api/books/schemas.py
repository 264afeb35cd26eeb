"""The bodies of a close, and of a statement that is issued."""

from __future__ import annotations

import msgspec

BODY_BYTES_MAX = 16_384


class ClosePeriod(msgspec.Struct, frozen=True):
    """POST /finance/periods."""

    month: str
    reason: str


class IssueStatement(msgspec.Struct, frozen=True):
    """POST /finance/statements."""

    account_id: str
    month: str
    zone: str = "UTC"


decode_issue = msgspec.json.Decoder(IssueStatement).decode
decode_close = msgspec.json.Decoder(ClosePeriod).decode
