"""One credit account as the log implies it: its sums, and the lots that they lie on (P1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.errors import InvalidTransitionError

if TYPE_CHECKING:
    from domain.events.ledger import LotPart
    from domain.ledger.lots import Lot


@dataclass(slots=True)
class Account:
    """One credit account, in nano-USD.

    granted + owed = available + held + settled + breakage + debited. What it owes was charged or
    taken back when it was not there.
    """

    account_id: str
    granted: int = 0
    available: int = 0
    held: int = 0
    settled: int = 0
    breakage: int = 0
    debited: int = 0
    owed: int = 0
    house_loss: int = 0
    lots: dict[str, Lot] = field(default_factory=dict)
    disputed: set[str] = field(default_factory=set)
    """Lots that a dispute was about: what is left of them is moved nowhere."""
    lots_available: int = 0
    lots_held: int = 0
    """Sums over the lots, kept with each move: an account may have thousands of them."""

    def add(self, lot: Lot) -> None:
        """A lot is granted."""
        self.lots[lot.lot_id] = lot
        self.lots_available += lot.available
        self.lots_held += lot.held

    def move(self, part: LotPart, *, available: int = 0, held: int = 0) -> Lot:
        """Move a part of an amount into (1) or out of (-1) what its lot has; returns the lot.

        Raises KeyError for a lot that the account was never granted.
        """
        lot, amount = self.lots[part["lot_id"]], part["amount_nano_usd"]
        lot.available += available * amount
        lot.held += held * amount
        self.lots_available += available * amount
        self.lots_held += held * amount
        return lot

    def check(self) -> None:
        """Raise InvalidTransitionError unless the account keeps P1 and its own sums."""
        whole = self.available + self.held + self.settled + self.breakage + self.debited
        if (
            min(self.available, self.held, self.settled, self.debited, self.owed) < 0
            or whole != self.granted + self.owed
            or self.lots_available != self.available
            or self.lots_held != self.held
        ):
            message = (
                f"account {self.account_id} breaks its sums: granted {self.granted}, available "
                f"{self.available} (lots {self.lots_available}), held {self.held} (lots "
                f"{self.lots_held}), settled {self.settled}, breakage {self.breakage}, debited "
                f"{self.debited}, owed {self.owed}"
            )
            raise InvalidTransitionError(message)
