"""What a statement's line says of an event: its type, what it adds to the balance, and a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldResolved,
    HoldSettled,
    LotExpired,
    ReceivablePaid,
)
from domain.ledger.lots import DebitKind
from domain.ledger.postings import BREAKAGE as LAPSED
from domain.pricing.money import format_usd

if TYPE_CHECKING:
    from domain.events.base import Event

USAGE = "api_usage"
RECEIVABLE = "receivable"
CORRECTION = "correction"
BREAKAGE = LAPSED
TRANSFER = str(DebitKind.TRANSFER)
EXPIRED_UNSPENT = "credits expired unspent"


class ToldOf(NamedTuple):
    """The part of a line that the event alone gives; nano-USD."""

    transaction_type: str
    amount: int
    description: str


def told_of(event: Event) -> ToldOf | None:  # noqa: PLR0911 - each event has its own line.
    """The line of an event; None for one that leaves the posted balance as it was."""
    match event:
        case CreditsGranted():
            kind = TRANSFER if event.transfer_id else event.kind
            return ToldOf(kind, event.amount_nano_usd, event.reason or f"{event.kind} credits")
        case CreditsDebited():
            said = _owing(event.reason or event.kind, event.owed_nano_usd)
            return ToldOf(event.kind, -event.taken_nano_usd, said)
        case ReceivablePaid():
            return ToldOf(RECEIVABLE, -event.amount_nano_usd, "for what was owed")
        case ChargeCorrected():
            said = _owing(event.reason or "charge corrected", event.owed_nano_usd)
            return ToldOf(CORRECTION, event.returned_nano_usd - event.taken_nano_usd, said)
        case LotExpired():
            return ToldOf(BREAKAGE, -event.breakage_nano_usd, EXPIRED_UNSPENT)
        case HoldSettled():
            amount = -event.settled_nano_usd - event.breakage_nano_usd
            return ToldOf(USAGE, amount, f"{event.provider}/{event.model}")
        case HoldResolved() if event.breakage_nano_usd:
            return ToldOf(BREAKAGE, -event.breakage_nano_usd, "credits expired during a call")
        case _:
            return None


def _owing(said: str, owed: int) -> str:
    return f"{said} ({format_usd(owed)} USD of it owed)" if owed else said
