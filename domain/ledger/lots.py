"""Grants are lots: each has a kind, a priority, and an instant at which it stops counting.

Burn-down order is priority, then expiry, then age (money rule 9). Keeps P1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from domain.events.ledger import LotPart

NEVER = "infinity"
"""Expiry of a lot that does not expire; sorts after every ISO 8601 instant."""


class GrantKind(StrEnum):
    """Why credits were given."""

    TRIAL = "trial"
    BONUS = "bonus"
    PURCHASE = "purchase"
    ALLOWANCE = "allowance"
    """What a subscription gives for a period that is paid."""
    ADMIN_CREDIT = "admin_credit"


class DebitKind(StrEnum):
    """Why credits were taken back."""

    ADMIN_DEBIT = "admin_debit"
    REFUND = "refund"
    DISPUTE = "dispute"
    TRANSFER = "transfer"


PRIORITY: dict[GrantKind, int] = {
    GrantKind.TRIAL: 10,
    GrantKind.BONUS: 20,
    GrantKind.PURCHASE: 30,
    GrantKind.ALLOWANCE: 15,
    GrantKind.ADMIN_CREDIT: 20,
}
"""Lower burns first: what was given is used before what was bought."""

TRIAL_NANO_USD = 10_000_000_000
TRIAL_DAYS = 3
TRIAL_REQUESTS_MAX = 1_000
TRIAL_TOKENS_MAX = 100_000
"""The trial where no setting says otherwise (money rule 10): 10 USD for 3 days, with two limits."""


class TrialTerms(NamedTuple):
    """What a trial gives: nano-USD for so many days, which pay for so many requests and tokens."""

    days: int = TRIAL_DAYS
    nano_usd: int = TRIAL_NANO_USD
    requests: int = TRIAL_REQUESTS_MAX
    tokens: int = TRIAL_TOKENS_MAX


@dataclass(slots=True, kw_only=True)
class Lot:
    """One grant's remaining credits in nano-USD; `expires_at` is ISO 8601 UTC or NEVER."""

    lot_id: str
    kind: str
    priority: int
    expires_at: str
    sequence: int
    available: int
    held: int = 0

    def burn_order(self) -> tuple[int, str, int]:
        """Sort key: priority, then expiry, then age."""
        return (self.priority, self.expires_at, self.sequence)

    def counts_at(self, instant: str) -> bool:
        """Whether the lot can still be spent; it stops counting at its instant."""
        return self.expires_at > instant


def burn_down(
    lots: Iterable[Lot], need: int, instant: str, barred: Container[str] = ()
) -> list[tuple[Lot, int]] | None:
    """Take `need` nano-USD from unexpired lots in burn-down order; None if they lack it.

    Lots whose own quotas bar them are passed over.
    """
    taken: list[tuple[Lot, int]] = []
    for lot in sorted(lots, key=Lot.burn_order):
        if need == 0:
            break
        if lot.available > 0 and lot.counts_at(instant) and lot.lot_id not in barred:
            part = min(lot.available, need)
            taken.append((lot, part))
            need -= part
    return taken if need == 0 else None


def take_back(lots: Iterable[Lot], amount: int, instant: str, first: str = "") -> list[LotPart]:
    """Take up to `amount` nano-USD, as far as there is, against the burn-down order (rule 15).

    What was bought last goes first, but before it all that is left of the lot `first`.
    """
    taken: list[LotPart] = []
    order = sorted(lots, key=Lot.burn_order, reverse=True)
    for lot in sorted(order, key=lambda each: each.lot_id != first):
        part = min(lot.available, amount) if lot.counts_at(instant) else 0
        if part > 0:
            taken.append({"lot_id": lot.lot_id, "amount_nano_usd": part})
            amount -= part
    return taken


def parts_sum(parts: Iterable[LotPart]) -> int:
    """The sum of the parts, in nano-USD."""
    return sum(part["amount_nano_usd"] for part in parts)
