"""What keeps a provider from being used: it refuses our key, or it cannot be reached."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple


class TroubleKind(StrEnum):
    """Why a provider cannot be used."""

    REFUSED = "refused"
    """It does not accept our key, or our account there lacks funds."""
    UNREACHABLE = "unreachable"


class Trouble(NamedTuple):
    """One provider's trouble; `at` is Unix time in seconds."""

    kind: TroubleKind
    code: str
    at: int


REFUSALS = frozenset({401, 402, 403})
UNREACHED = frozenset({"connect_error", "timeout"})


def trouble_of(status: int | None, code: str) -> Trouble | None:
    """The trouble that a failure tells of; None for one that says nothing of key or network."""
    if status in REFUSALS:
        return Trouble(TroubleKind.REFUSED, code, int(time.time()))
    if status is None and code in UNREACHED:
        return Trouble(TroubleKind.UNREACHABLE, code, int(time.time()))
    return None
