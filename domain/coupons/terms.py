"""What a coupon can be: its code, its worth, its time; each refusal has the code that clients know.

The named maxima bound what an operator can give away by a slip of the hand.
"""

from __future__ import annotations

import re
from enum import StrEnum

from domain.errors import InvalidCommandError
from domain.pricing.money import NANO_PER_USD, format_usd

VALUE_NANO_USD_MAX = 1_000 * NANO_PER_USD
"""Most that one use is worth: 1,000 USD."""
USES_MAX = 1_000_000
CODE_CHARACTERS_MIN, CODE_CHARACTERS_MAX = 3, 50
DESCRIPTION_CHARACTERS_MAX = 500
_CODE = re.compile(rf"[A-Z0-9_-]{{{CODE_CHARACTERS_MIN},{CODE_CHARACTERS_MAX}}}")


class CouponScope(StrEnum):
    """Who may redeem a coupon."""

    USER_SPECIFIC = "user_specific"
    GLOBAL = "global"


class CouponKind(StrEnum):
    """What it is given for."""

    PROMOTIONAL = "promotional"
    REFERRAL = "referral"
    COMPENSATION = "compensation"
    PARTNERSHIP = "partnership"


class InvalidCouponError(InvalidCommandError):
    """No coupon can be so."""

    code = "invalid_coupon"


def code_of(text: str) -> str | None:
    """A code in its one writing; None for what can be none.

    Letters of other scripts that look like ours are refused before anything is folded: upper case
    makes an I of a Turkish one, and SS of a sharp s.
    """
    given = text.strip(" \t\r\n")
    if not given.isascii():
        return None
    code = given.upper()
    return code if _CODE.fullmatch(code) else None


def check_code(text: str) -> str:
    """A code for a new coupon; raises InvalidCouponError."""
    code = code_of(text)
    if code is None:
        message = (
            f"a code has {CODE_CHARACTERS_MIN} to {CODE_CHARACTERS_MAX} characters of A to Z, "
            "0 to 9, - and _"
        )
        raise InvalidCouponError(message)
    return code


def check_value(nano_usd: int) -> None:
    """Raise InvalidCouponError unless one use may be worth so much."""
    if not 0 < nano_usd <= VALUE_NANO_USD_MAX:
        message = (
            f"a coupon of {format_usd(nano_usd)} USD cannot be: it is worth more than 0 and at "
            f"most {format_usd(VALUE_NANO_USD_MAX)} USD"
        )
        raise InvalidCouponError(message)


def check_uses(uses: int, scope: CouponScope) -> None:
    """Raise InvalidCouponError unless a coupon may be used so often."""
    if scope is CouponScope.USER_SPECIFIC and uses != 1:
        message = "a user_specific coupon has max_uses 1"
        raise InvalidCouponError(message)
    if not 1 <= uses <= USES_MAX:
        message = f"max_uses is 1 to {USES_MAX}"
        raise InvalidCouponError(message)


def check_description(text: str) -> str:
    """A description as it is kept; raises InvalidCouponError."""
    text = text.strip()
    if len(text) > DESCRIPTION_CHARACTERS_MAX or not text.isprintable():
        message = f"a description has at most {DESCRIPTION_CHARACTERS_MAX} printable characters"
        raise InvalidCouponError(message)
    return text
