"""What debits, receivables and corrections do to an account, and which lots a correction moves.

Keeps P1 and P4; money rules 15 and 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidTransitionError
from domain.events.ledger import ChargeCorrected, CreditsDebited, HoldSettled, LotPart
from domain.ledger.lots import NEVER, PRIORITY, DebitKind, GrantKind, Lot, parts_sum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.events.ledger import MoneyEvent, ReceivablePaid
    from domain.ledger.accounts import Account

RENEWED = str(GrantKind.BONUS)
"""The kind of a lot that a correction makes for what lay on lots that expired."""


def take(account: Account, event: CreditsDebited | ReceivablePaid) -> None:
    """Fold what was taken, and what is owed for it or no more; raises InvalidTransitionError."""
    taken = event.taken_nano_usd if isinstance(event, CreditsDebited) else event.amount_nano_usd
    _check_sums(event.TOPIC, taken, event.lots)
    for part in event.lots:
        account.move(part, available=-1)
    account.available -= taken
    if isinstance(event, CreditsDebited):
        if event.amount_nano_usd != taken + event.owed_nano_usd:
            message = f"debit {event.debit_id} is neither taken nor owed as a whole"
            raise InvalidTransitionError(message)
        account.debited += event.amount_nano_usd
        account.owed += event.owed_nano_usd
        if event.kind == DebitKind.DISPUTE and event.lot_id is not None:
            account.disputed.add(event.lot_id)
    else:
        account.owed -= taken


def movable(account: Account) -> list[Lot]:
    """The lots that may be moved to another account, in the order in which they are (rule 16).

    No trial's, for it is one person's; none that a dispute was about, for whoever disputes a
    payment must not have given away what it bought.
    """
    return [
        lot
        for lot in sorted(account.lots.values(), key=Lot.burn_order, reverse=True)
        if lot.available and lot.kind != GrantKind.TRIAL and lot.lot_id not in account.disputed
    ]


def correct(account: Account, event: ChargeCorrected, position: int) -> None:
    """Fold a correction; raises InvalidTransitionError for one whose lots are not its figures."""
    _check_sums(event.TOPIC, event.taken_nano_usd, event.lots)
    kept = event.returned_nano_usd - event.renewed_nano_usd
    _check_sums(event.TOPIC, kept, event.returned_lots)
    for part in event.lots:
        account.move(part, available=-1)
    for part in event.returned_lots:
        account.move(part, available=1)
    if event.renewed_nano_usd:
        account.add(
            Lot(
                lot_id=event.lot_id,
                kind=RENEWED,
                priority=PRIORITY[GrantKind.BONUS],
                expires_at=NEVER,
                sequence=position,
                available=event.renewed_nano_usd,
            )
        )
    account.available += event.returned_nano_usd - event.taken_nano_usd
    account.settled += event.taken_nano_usd + event.owed_nano_usd - event.returned_nano_usd
    account.owed += event.owed_nano_usd


def _check_sums(topic: str, amount: int, parts: list[LotPart]) -> None:
    if amount != parts_sum(parts):
        message = f"{topic}: its lots do not sum to its figures"
        raise InvalidTransitionError(message)


class Charge(NamedTuple):
    """What stands charged for a settled call, nano-USD."""

    charged: int
    cost: int
    """By the price that counted last; more than what is charged where nobody paid the rest."""
    paid: list[LotPart]
    """What of each lot went into it and did not come back, the lot that paid last first."""

    def back(self, cost: int) -> int:
        """What is given back if it costs so much."""
        return max(self.charged - cost, 0)

    def more(self, cost: int) -> int:
        """What is charged more: what was house loss stays house loss."""
        return max(cost - max(self.charged, self.cost), 0)


def charge_of(events: Iterable[MoneyEvent]) -> Charge | None:
    """What the events of a call say that it was charged; None where it was not settled."""
    charged = cost = 0
    net: dict[str, int] = {}
    settled = False
    for event in events:
        match event:
            case HoldSettled():
                settled = True
                charged, cost = event.settled_nano_usd, event.cost_nano_usd
                _pay(net, [*event.lots, *event.beyond_lots])
            case ChargeCorrected():
                charged += event.taken_nano_usd + event.owed_nano_usd - event.returned_nano_usd
                cost = event.cost_nano_usd
                for part in [*event.returned_lots, *event.renewed_lots]:
                    net[part["lot_id"]] -= part["amount_nano_usd"]
                _pay(net, event.lots)
            case _:
                pass
    if not settled:
        return None
    paid: list[LotPart] = [
        {"lot_id": lot, "amount_nano_usd": amount}
        for lot, amount in reversed(net.items())
        if amount > 0
    ]
    return Charge(charged, cost, paid)


def _pay(net: dict[str, int], parts: list[LotPart]) -> None:
    for part in parts:
        net[part["lot_id"]] = net.pop(part["lot_id"], 0) + part["amount_nano_usd"]


class GivenBack(NamedTuple):
    """Where what is given back lies from now on."""

    returned: list[LotPart]
    renewed_lots: list[LotPart]
    renewed: int
    """On the new lot, with what no lot had paid."""


def give_back(account: Account, charge: Charge, amount: int, now: str) -> GivenBack:
    """Divide what is given back between the lots that paid and a new one."""
    returned: list[LotPart] = []
    renewed: list[LotPart] = []
    left = amount
    for part in charge.paid:
        some = min(part["amount_nano_usd"], left)
        if some:
            counts = account.lots[part["lot_id"]].counts_at(now)
            (returned if counts else renewed).append(
                {"lot_id": part["lot_id"], "amount_nano_usd": some}
            )
            left -= some
    return GivenBack(returned, renewed, parts_sum(renewed) + left)
