"""Second factors: which codes there are, when one counts, what passkeys may be called.

A code of an authenticator is of a step of 30 s (RFC 6238); clocks may be one step apart. A step
that was shown is over, and so are those before it: a code is good once.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import TYPE_CHECKING

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP_S = 30
SKEW_STEPS = 1
CODE_DIGITS = 6
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 random bits: nobody guesses one, however many are tried."""
RECOVERY_GROUP = 4
TEXT_MAX = 64
PASSKEYS_MAX = 20
PASSKEY_NAME_MAX = 64


class CodeKind(StrEnum):
    """What somebody may show as a second factor."""

    TOTP = "totp"
    RECOVERY = "recovery_code"


def read_code(given: str) -> tuple[CodeKind, str]:
    """A code as it is compared, however it was written; raises InvalidCommandError."""
    text = "".join(each for each in given[:TEXT_MAX] if each not in " -\t").casefold()
    if len(text) == CODE_DIGITS and text.isascii() and text.isdigit():
        return CodeKind.TOTP, text
    if len(text) == RECOVERY_BYTES * 8 // 5 and text.isascii() and text.isalnum():
        return CodeKind.RECOVERY, text
    message = f"a code has {CODE_DIGITS} digits, or is one of the recovery codes"
    raise InvalidCommandError(message)


def recovery_code(drawn: bytes) -> str:
    """A recovery code of ten random bytes, in groups that a person can copy."""
    text = base64.b32encode(drawn).decode().lower()
    groups = range(0, len(text), RECOVERY_GROUP)
    return "-".join(text[each : each + RECOVERY_GROUP] for each in groups)


def steps_at(now_s: int) -> range:
    """The steps whose codes count at an instant, in seconds since 1970."""
    step = now_s // STEP_S
    return range(step - SKEW_STEPS, step + SKEW_STEPS + 1)


def step_of(code: str, codes: Mapping[int, str]) -> int | None:
    """The newest step that has this code; None for a wrong one. All are looked at."""
    found = [step for step, right in codes.items() if right == code]
    return max(found, default=None)


def check_passkey_name(name: str) -> str:
    """The name as it is kept; raises InvalidCommandError."""
    text = name.strip()
    if not text or len(text) > PASSKEY_NAME_MAX or not text.isprintable():
        message = f"a passkey's name has 1 to {PASSKEY_NAME_MAX} characters that can be printed"
        raise InvalidCommandError(message)
    return text
