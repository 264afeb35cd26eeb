"""Double entry: the postings that each event implies, summing to zero (P4).

Signs: a positive amount adds to what the account is for; `issued`, `receivable` and `house_loss`
carry the other side, so every event, and therefore every position of the log, sums to zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HouseLossBooked,
    LotExpired,
    ReceivablePaid,
)
from domain.ledger.lots import DebitKind

if TYPE_CHECKING:
    from domain.events.base import Event

REVENUE = "revenue:usage"
BREAKAGE = "breakage"
HOUSE_LOSS = "house_loss"
TRANSFERS = "transfers"

CHART: tuple[tuple[str, str, str], ...] = (
    ("customer:*:available", "liability", "what a customer can still spend"),
    ("customer:*:held", "liability", "what is reserved for a customer's calls in flight"),
    ("receivable:*", "asset", "what a customer owes: charged or taken back when it was not there"),
    ("issued:*", "contra", "where credits came from: trial, bonus, purchase"),
    ("returned:*", "contra", "where credits went that were taken back: refund, dispute"),
    (TRANSFERS, "contra", "between two customers' accounts: nought after each transfer"),
    (REVENUE, "income", "what calls earned, lost ones included"),
    (BREAKAGE, "income", "what expired unspent"),
    (HOUSE_LOSS, "expense", "what calls cost that nobody paid"),
)
"""The chart of accounts: pattern (`*` is an account's id, or a kind), kind, meaning."""


class Posting(NamedTuple):
    """One line of a transfer, in nano-USD."""

    account: str
    amount_nano_usd: int


def customer_available(account_id: str) -> str:
    """The ledger account of what a customer can spend."""
    return f"customer:{account_id}:available"


def customer_held(account_id: str) -> str:
    """The ledger account of what is reserved for a customer's calls."""
    return f"customer:{account_id}:held"


def receivable(account_id: str) -> str:
    """The ledger account of what a customer owes, below zero."""
    return f"receivable:{account_id}"


def postings_of(event: Event) -> list[Posting]:
    """The transfer an event implies; empty for events that move no money."""
    match event:
        case CreditsGranted():
            source = TRANSFERS if event.transfer_id else f"issued:{event.kind}"
            lines = [
                Posting(source, -event.amount_nano_usd),
                Posting(customer_available(event.account_id), event.amount_nano_usd),
            ]
        case CreditsDebited():
            gone = TRANSFERS if event.kind == DebitKind.TRANSFER else f"returned:{event.kind}"
            lines = [*_taken(event), Posting(gone, event.amount_nano_usd)]
        case ReceivablePaid():
            lines = [
                Posting(customer_available(event.account_id), -event.amount_nano_usd),
                Posting(receivable(event.account_id), event.amount_nano_usd),
            ]
        case ChargeCorrected():
            earned = event.taken_nano_usd + event.owed_nano_usd - event.returned_nano_usd
            back = Posting(customer_available(event.account_id), event.returned_nano_usd)
            lines = [*_taken(event), back, Posting(REVENUE, earned)]
        case LotExpired():
            lines = [
                Posting(customer_available(event.account_id), -event.breakage_nano_usd),
                Posting(BREAKAGE, event.breakage_nano_usd),
            ]
        case HoldPlaced() | HoldExtended():
            lines = [
                Posting(customer_available(event.account_id), -event.amount_nano_usd),
                Posting(customer_held(event.account_id), event.amount_nano_usd),
            ]
        case HoldResolved():
            lines = _resolved(event)
        case HouseLossBooked():
            lines = [
                Posting(HOUSE_LOSS, -event.house_loss_nano_usd),
                Posting(REVENUE, event.house_loss_nano_usd),
            ]
        case _:
            lines = []
    return [line for line in lines if line.amount_nano_usd != 0]


def _taken(event: CreditsDebited | ChargeCorrected) -> list[Posting]:
    return [
        Posting(customer_available(event.account_id), -event.taken_nano_usd),
        Posting(receivable(event.account_id), -event.owed_nano_usd),
    ]


def _resolved(event: HoldResolved) -> list[Posting]:
    beyond_hold = (
        event.settled_nano_usd
        + event.released_nano_usd
        + event.breakage_nano_usd
        - event.held_nano_usd
    )
    return [
        Posting(customer_held(event.account_id), -event.held_nano_usd),
        Posting(customer_available(event.account_id), event.released_nano_usd - beyond_hold),
        Posting(BREAKAGE, event.breakage_nano_usd),
        Posting(HOUSE_LOSS, -event.house_loss_nano_usd),
        Posting(REVENUE, event.settled_nano_usd + event.house_loss_nano_usd),
    ]
