"""What a referral is worth, and what a code looks like."""

from __future__ import annotations

import re
from typing import NamedTuple

from domain.pricing.money import NANO_PER_USD

CODE_CHARACTERS = 8
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
BONUS_NANO_USD = 10 * NANO_PER_USD
PURCHASE_NANO_USD_MIN = 10 * NANO_PER_USD
USES_MAX = 10
REFUND_DAYS = 30
_CODE = re.compile(rf"[{ALPHABET}]{{{CODE_CHARACTERS}}}")


class ReferralTerms(NamedTuple):
    """Amounts in nano-USD; the bonus is of each side.

    A refund within `refund_days` of the payment takes both bonuses back.
    """

    bonus: int = BONUS_NANO_USD
    purchase_min: int = PURCHASE_NANO_USD_MIN
    uses_max: int = USES_MAX
    refund_days: int = REFUND_DAYS


def code_of(text: str) -> str | None:
    """A code in its one writing; None for what can be none.

    Letters of other scripts that look like ours are refused before anything is folded.
    """
    given = text.strip(" \t\r\n")
    if not given.isascii():
        return None
    code = given.upper()
    return code if _CODE.fullmatch(code) else None
