"""What wakes the top-ups of an account, and how long it sleeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from domain.events.ledger import CreditsDebited
from domain.events.money.subscriptions import CardSaved
from domain.topups.topups import Terms, TopUps
from domain.topups.waking import CHARGE, HEARD, LOOK, asleep_until, lapse_of, react, wake_of
from tests.domain.topups.test_topups import ACCOUNT, LATER, Account, stamp

NOW = "2027-01-31T23:59:59.000000Z"
STATE = TopUps(version=1, terms=Terms(enabled=True, threshold=1_000, amount=2_000, cap=5_000))


def test_each_fact_wishes_one_thing() -> None:
    """A look, but for a charge that was begun; heard twice the wish is the same (P3)."""
    account = Account()
    account.begin()
    account.end()
    moved: dict[str, Any] = {
        "originator_id": UUID(int=2),
        "originator_version": 1,
        "account_id": ACCOUNT,
    }
    debited = CreditsDebited(**moved, **stamp(), debit_id="1", kind="refund", amount_nano_usd=1)
    saved = CardSaved(**moved, **stamp(), method_id="pm_1", as_of=1)
    facts = [*account.events, debited, saved]
    found = [react(each) for each in facts]
    assert [react(each) for each in facts] == found
    kinds = [(wish.kind, wish.due_at, wish.details["account_id"]) for (wish,) in found]
    assert kinds == [(LOOK, None, ACCOUNT), (CHARGE, None, ACCOUNT), *[(LOOK, None, ACCOUNT)] * 3]
    assert len({wish.key for (wish,) in found}) == len(found)
    assert {type(each) for each in facts} < set(HEARD)


def test_what_failed_is_looked_at_when_its_time_comes() -> None:
    """Not before; no wish follows from what was switched off (rule: bounded)."""
    account = Account()
    account.begin()
    account.end("authentication_required")
    failed, off = account.events[-2:]
    assert react(failed) == [wake_of(ACCOUNT, LATER)]
    assert react(off) == []


def test_it_sleeps_while_nothing_can_be_begun() -> None:
    """Until a back-off is over, or a month; else the balance decides (P4, rule: bounded)."""
    assert not asleep_until(STATE, NOW)
    later = "2027-02-01T00:30:00.000000Z"
    assert asleep_until(replace(STATE, again_at=later), NOW) == later
    assert not asleep_until(replace(STATE, again_at=NOW), NOW)
    full = replace(STATE, charged={"2027-01": 3_001, "2026-12": 5_000})
    assert asleep_until(full, NOW) == "2027-02-01T00:00:00.000000Z"
    assert not asleep_until(full, "2027-02-01T00:00:00.000000Z")
    december = replace(STATE, charged={"2026-12": 5_000})
    assert asleep_until(december, "2026-12-31T23:59:59.999999Z") == "2027-01-01T00:00:00.000000Z"


def test_a_timer_has_its_causes_name() -> None:
    """One for each lot, and for each instant (P3)."""
    assert lapse_of(ACCOUNT, "a", NOW).key != lapse_of(ACCOUNT, "b", NOW).key
    assert wake_of(ACCOUNT, NOW).due_at == NOW
