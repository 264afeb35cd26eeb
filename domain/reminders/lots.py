"""The timers of one lot: one for each kind of mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import CreditsGranted
from domain.ledger.lots import GrantKind
from domain.quotas.windows import iso_of, seconds_of
from domain.wishes import Wish

if TYPE_CHECKING:
    from domain.events.base import Event

TRIAL_ENDING, TRIAL_ENDED, CREDITS_ENDING = "trial_ending", "trial_ended", "credits_ending"
TRIAL_DAYS, CREDITS_DAYS = 1, 7
DAY_S = 86_400


class ReminderTerms(NamedTuple):
    """How many days before its end a mail is due; 0 is none."""

    trial_days: int = TRIAL_DAYS
    credits_days: int = CREDITS_DAYS


def react(event: Event, terms: ReminderTerms) -> list[Wish]:
    """The mails of a grant that has an end. One whose time lies before the grant is not sent."""
    if not isinstance(event, CreditsGranted) or event.expires_at is None:
        return []
    trial = event.kind == GrantKind.TRIAL
    days = terms.trial_days if trial else terms.credits_days
    due = iso_of(seconds_of(event.expires_at) - days * DAY_S)
    wishes = []
    if days and due > event.effective_at:
        wishes.append(_wish(event, TRIAL_ENDING if trial else CREDITS_ENDING, due))
    if trial:
        wishes.append(_wish(event, TRIAL_ENDED, event.expires_at))
    return wishes


def _wish(event: CreditsGranted, kind: str, due_at: str) -> Wish:
    details = {
        "account_id": event.account_id,
        "lot_id": event.lot_id,
        "expires_at": event.expires_at,
    }
    return Wish(kind=kind, key=f"{kind} {event.lot_id}", details=details, due_at=due_at)
