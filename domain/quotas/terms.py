"""What a quota is of, by its terms, and what one call claims of it and uses.

The named maxima keep every sum of a window within a signed 64-bit integer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid3, uuid5

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_MAX = 10**18
"""The most that a quota may allow, in its unit; as much as an account's grants in nano-USD."""
ENTRY_TOKENS_MAX = 10**12
"""The most tokens that one hold or one settlement counts."""
USED_MAX = 4 * 10**18
"""Where a window stops counting; far beyond every limit."""
SPACE = UUID("6d1c9f0e-5f57-4c0b-9d2c-3c8a1be0a7f4")


class Unit(StrEnum):
    """What a quota counts."""

    NANO_USD = "nano_usd"
    REQUESTS = "requests"
    TOKENS = "tokens"


class ScopeKind(StrEnum):
    """What a quota is set on. A trial lot's come with its grant, and bind only what it pays for."""

    KEY = "key"
    USER = "user"
    PROJECT = "project"
    ORGANISATION = "organisation"
    ACCOUNT = "account"
    TRIAL_LOT = "trial_lot"
    PLAN = "plan"
    """Of a user: its id stands for the plan that is in force, or for having none."""


LOT_UNITS = (Unit.REQUESTS, Unit.TOKENS)
"""The limits of a grant that are quotas of its lot, for as long as the lot is."""


class Claim(NamedTuple):
    """What a call takes of each unit at most, or used in the end."""

    requests: int = 0
    tokens: int = 0
    nano_usd: int = 0

    def of(self, unit: str) -> int:
        """So much of one unit."""
        return int(getattr(self, unit))


def quota_id(account_id: str, scope_kind: str, scope_id: str, unit: str, window: str) -> UUID:
    """There is one quota of an account for each scope, unit and window."""
    return uuid5(SPACE, f"{account_id} {scope_kind} {scope_id} {unit} {window}")


def lot_quota_id(lot_id: str, unit: str) -> UUID:
    """The quota of a lot. The database makes the same, by MD5, which it has built in."""
    return uuid3(UUID(lot_id), unit)


def lot_limits(limits: Mapping[str, int] | None) -> dict[Unit, int]:
    """The limits on a grant that are quotas of its lot."""
    return {unit: limits[unit] for unit in LOT_UNITS if limits and unit in limits}


def check_limit(limit: int) -> None:
    """Raise InvalidCommandError unless a quota may allow so much."""
    if not 0 <= limit <= LIMIT_MAX:
        message = f"a limit of {limit} cannot be set: give one from 0 to {LIMIT_MAX}"
        raise InvalidCommandError(message)


def tokens_of(usage: Mapping[str, object]) -> int:
    """The tokens of a call's usage that quotas count: of input and of output, to the maximum."""
    both = (usage.get("input_tokens", 0), usage.get("output_tokens", 0))
    tokens = sum(each for each in both if isinstance(each, int))
    return min(max(tokens, 0), ENTRY_TOKENS_MAX)
