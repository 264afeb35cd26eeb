"""The end of a hold: what of it is spent, released or forfeited, and what a cost beyond it takes.

Keeps P1 and P4; money rules 3 and 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.ledger.lots import Lot, burn_down, parts_sum

if TYPE_CHECKING:
    from collections.abc import Container

    from domain.events.ledger import LotPart
    from domain.ledger.accounts import Account
    from domain.ledger.state import Hold


def lot_part(lot: Lot, amount: int) -> LotPart:
    """So much of an amount, in nano-USD, that lies on one lot."""
    return {"lot_id": lot.lot_id, "amount_nano_usd": amount}


def resolution(
    hold: Hold, account: Account, cost: int, now: str, barred: Container[str] = ()
) -> dict[str, Any]:
    """The figures and lots of the event that ends a hold at an instant, in nano-USD.

    Expired lots of the account must be booked before. Of lots that are barred nothing is taken
    beyond the hold.
    """
    spent: list[LotPart] = []
    released: list[LotPart] = []
    forfeited: list[LotPart] = []
    left = cost
    for part in hold.parts:
        lot = account.lots[part["lot_id"]]
        take = min(left, part["amount_nano_usd"])
        rest = part["amount_nano_usd"] - take
        left -= take
        if take:
            spent.append(lot_part(lot, take))
        if rest:
            (released if lot.counts_at(now) else forfeited).append(lot_part(lot, rest))
    back = parts_sum(released)
    spare = account.available - sum(
        lot.available for lot in account.lots.values() if lot.lot_id in barred
    )
    beyond = burn_down(account.lots.values(), min(left, spare), now, barred) or []
    extra = [lot_part(lot, amount) for lot, amount in beyond]
    left -= parts_sum(extra)
    return {
        "held_nano_usd": hold.amount,
        "settled_nano_usd": cost - left,
        "released_nano_usd": back,
        "breakage_nano_usd": parts_sum(forfeited),
        "house_loss_nano_usd": left,
        "lots": spent,
        "released_lots": released,
        "forfeited_lots": forfeited,
        "beyond_lots": extra,
    }
