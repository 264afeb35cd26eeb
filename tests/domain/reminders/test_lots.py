"""When mails of a lot are due."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.events.ledger import CreditsGranted, LotExpired
from domain.reminders.lots import ReminderTerms, react

LOT = UUID("00000000-0000-7000-8000-00000000000a")
TERMS = ReminderTerms()


def granted(kind: str, expires_at: str | None) -> CreditsGranted:
    """On the first of March."""
    return CreditsGranted(
        originator_id=LOT,
        originator_version=1,
        id="x",
        actor="test",
        correlation_id="x",
        effective_at="2026-03-01T00:00:00.000000Z",
        account_id="account",
        lot_id=str(LOT),
        kind=kind,
        priority=10,
        amount_nano_usd=5,
        expires_at=expires_at,
    )


@pytest.mark.parametrize(
    ("kind", "expires_at", "terms", "due"),
    [
        (
            "trial",
            "2026-03-04T00:00:00.000000Z",
            TERMS,
            {
                "trial_ending": "2026-03-03T00:00:00.000000Z",
                "trial_ended": "2026-03-04T00:00:00.000000Z",
            },
        ),
        (
            "trial",
            "2026-03-04T00:00:00.000000Z",
            ReminderTerms(trial_days=0),
            {"trial_ended": "2026-03-04T00:00:00.000000Z"},
        ),
        (
            "trial",
            "2026-03-02T00:00:00.000000Z",
            TERMS,
            {"trial_ended": "2026-03-02T00:00:00.000000Z"},
        ),
        (
            "purchase",
            "2026-04-01T00:00:00.000000Z",
            TERMS,
            {"credits_ending": "2026-03-25T00:00:00.000000Z"},
        ),
        ("bonus", "2026-03-05T00:00:00.000000Z", TERMS, {}),
        ("bonus", "2026-04-01T00:00:00.000000Z", ReminderTerms(credits_days=0), {}),
        ("trial", None, TERMS, {}),
    ],
)
def test_one_timer_for_each_mail(
    kind: str, expires_at: str | None, terms: ReminderTerms, due: dict[str, str]
) -> None:
    """Days before its end, and at a trial's end; none whose time is over (money rule 9)."""
    wishes = react(granted(kind, expires_at), terms)
    assert {each.kind: each.due_at for each in wishes} == due
    assert [each.key for each in wishes] == [f"{each} {LOT}" for each in due]


def test_other_events_have_no_timers() -> None:
    """The end itself among them (money rule 9)."""
    ended = LotExpired(
        originator_id=LOT,
        originator_version=2,
        id="x",
        actor="test",
        correlation_id="x",
        effective_at="2026-03-01T00:00:00.000000Z",
        account_id="account",
        lot_id=str(LOT),
        breakage_nano_usd=1,
    )
    assert react(ended, TERMS) == []
