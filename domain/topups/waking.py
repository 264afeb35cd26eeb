"""What wakes the top-ups of an account: facts that may leave it with too little, and timers.

A wish to look says nothing of how much is there: whoever looks judges what is so by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldSettled,
    MoneyEvent,
)
from domain.events.money.subscriptions import CardSaved
from domain.events.money.topups import TopUpBegun, TopUpEnded, TopUpsSet
from domain.topups.topups import has_room, month_of
from domain.wishes import Wish

if TYPE_CHECKING:
    from domain.events.base import Event
    from domain.topups.topups import TopUps

LOOK, CHARGE = "look", "charge"
FALLS: tuple[type[MoneyEvent], ...] = (
    HoldPlaced,
    HoldExtended,
    HoldSettled,
    CreditsDebited,
    ChargeCorrected,
)
"""What an account has available falls by them alone, but for lots that lapse."""
HEARD: tuple[type[Event], ...] = (
    *FALLS,
    CreditsGranted,
    CardSaved,
    TopUpsSet,
    TopUpBegun,
    TopUpEnded,
)
"""A grant among them: its lot may lapse, and whoever looks sets the timer of the next that does."""
NO_CARD_S = 3_600
"""How long an account sleeps whose card is gone, or whose owner is; a new card wakes it at once."""


def react(event: Event) -> list[Wish]:
    """A look at the account, or the charge that was begun. What failed is looked at again later."""
    match event:
        case TopUpBegun():
            return [charge_of(event.account_id, event.payment_id)]
        case TopUpEnded() if event.again_at:
            return [wake_of(event.account_id, event.again_at)]
        case MoneyEvent() | CardSaved() | TopUpsSet() | TopUpEnded():
            return [_look(event.account_id, f"after {event.id}")]
        case _:
            return []


def charge_of(account_id: str, payment_id: str, due_at: str | None = None) -> Wish:
    """To charge what was begun, or to ask what became of it."""
    details = {"account_id": account_id, "payment_id": payment_id}
    return Wish(kind=CHARGE, key=f"charge {payment_id}", details=details, due_at=due_at)


def lapse_of(account_id: str, lot_id: str, due_at: str) -> Wish:
    """To look when a lot lapses, of which no event tells at that instant."""
    return _look(account_id, f"lapse of {lot_id}", due_at)


def wake_of(account_id: str, due_at: str) -> Wish:
    """To look when an account sleeps no more."""
    return _look(account_id, f"wake {account_id} {due_at}", due_at)


def asleep_until(state: TopUps, now: str) -> str:
    """Until when nothing can be begun whatever is available: a back-off, or a cap that is reached.

    Empty where nothing but the balance says no. Instants as events write them.
    """
    if now < state.again_at:
        return state.again_at
    return "" if has_room(state, now) else _next_month(now)


def _next_month(now: str) -> str:
    year, month = (int(part) for part in month_of(now).split("-"))
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 - December
    return f"{year:04}-{month:02}-01T00:00:00.000000Z"


def _look(account_id: str, key: str, due_at: str | None = None) -> Wish:
    return Wish(kind=LOOK, key=key, details={"account_id": account_id}, due_at=due_at)
