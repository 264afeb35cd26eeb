"""When an account is topped up by itself, and when never."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.ledger import LotExpired
from domain.topups.all import AllTopUps
from domain.topups.topups import (
    AMOUNT_LEAST,
    AMOUNT_MAX,
    CAP_MAX,
    FAILURES_MAX,
    HOPELESS,
    NANO_PER_CENT,
    NOTHING,
    NothingToTopUpByError,
    Terms,
    TopUps,
    begin_top_up,
    cause_of,
    check_terms,
    end_top_up,
    evolve_top_ups,
    is_due,
    replay_top_ups,
    set_top_ups,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.events.base import Event, Stamp

ACCOUNT, USER = str(UUID(int=2)), str(UUID(int=3))
TERMS = Terms(enabled=True, threshold=1_000, amount=2_000, cap=5_000)
JAN, LATER = "2027-01-31T23:59:59.900000Z", "2027-01-31T23:59:59.950000Z"
FEB = "2027-02-01T00:00:00.000000Z"
_numbers = count(1)


def stamp() -> Stamp:
    """A stamp like no other."""
    number = str(next(_numbers))
    return {"id": number, "effective_at": JAN, "actor": "test", "correlation_id": number}


class Account:
    """An account and what was told of its top-ups."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.events: list[Event] = []
        self.take(set_top_ups(self.state, ACCOUNT, USER, terms, stamp()))

    @property
    def state(self) -> TopUps:
        return replay_top_ups(self.events)

    def take(self, events: Sequence[Event]) -> None:
        self.events += events

    def begin(self, now: str = JAN) -> None:
        assert is_due(self.state, 0, now)
        cause = cause_of(self.state)
        self.take([begin_top_up(self.state, ACCOUNT, cause, "pm_1", now, stamp())])

    def end(self, failure: str = "", again_at: str = LATER) -> None:
        self.take(end_top_up(self.state, ACCOUNT, failure, again_at, stamp(), stamp()))


def test_it_is_due_below_the_threshold_alone() -> None:
    """To the nano-USD; not for who did not ask for it (P4)."""
    state = Account().state
    edge = 1_000 * NANO_PER_CENT
    assert is_due(state, edge - 1, JAN) and not is_due(state, edge, JAN)
    assert not is_due(Account(TERMS._replace(enabled=False)).state, 0, JAN)
    assert not is_due(TopUps(), 0, JAN)


def test_one_is_under_way_at_a_time() -> None:
    """All who see the same state name the same payment, in the same version (P3)."""
    account = Account()
    seen = account.state
    both = [begin_top_up(seen, ACCOUNT, cause_of(seen), "pm_1", JAN, stamp()) for _ in range(2)]
    assert both[0].payment_id == both[1].payment_id
    assert both[0].originator_version == both[1].originator_version == 2
    account.begin()
    assert not is_due(account.state, 0, JAN)
    account.end()
    account.end()
    assert len(account.events) == 3
    account.begin()
    assert account.state.under_way
    assert account.state.under_way.payment_id != both[0].payment_id


def test_a_months_cap_is_exact() -> None:
    """What failed does not count, the next month begins anew (P4)."""
    account = Account()
    account.begin()
    account.end("card_declined")
    assert not is_due(account.state, 0, JAN)
    assert is_due(account.state, 0, LATER)
    account.begin(LATER)
    account.end()
    account.begin(LATER)
    account.end()
    assert account.state.charged == {"2027-01": 4_000}
    assert not is_due(account.state, 0, LATER)
    account.begin(FEB)
    assert account.state.charged == {"2027-01": 4_000, "2027-02": 2_000}
    exact = Account(TERMS._replace(cap=4_000))
    for _ in range(2):
        exact.begin()
        exact.end()
    assert not is_due(exact.state, 0, JAN)


def test_what_fails_too_often_is_switched_off() -> None:
    """Until it is set anew, by the same terms too; a success forgets failures (rule: bounded)."""
    account = Account()
    account.begin()
    account.end("card_declined", JAN)
    account.begin()
    account.end()
    assert account.state.failures == 0
    account = Account()
    for _ in range(FAILURES_MAX):
        account.begin()
        account.end("card_declined", JAN)
    assert (account.state.terms.enabled, account.state.off_for) == (False, "card_declined")
    assert not is_due(account.state, 0, FEB)
    account.take(set_top_ups(account.state, ACCOUNT, USER, TERMS, stamp()))
    assert is_due(account.state, 0, JAN)
    assert set_top_ups(account.state, ACCOUNT, USER, TERMS, stamp()) == []
    for failure in HOPELESS:
        account = Account()
        account.begin()
        account.end(failure)
        assert account.state.off_for == failure


def test_terms_are_bounded() -> None:
    """Nothing negative, nothing endless, no cap below an amount (rule: bounded)."""
    check_terms(TERMS, chargeable=True)
    check_terms(TERMS._replace(enabled=False), chargeable=False)
    check_terms(NOTHING, chargeable=False)
    assert set_top_ups(TopUps(), ACCOUNT, USER, NOTHING, stamp()) == []
    with pytest.raises(NothingToTopUpByError):
        check_terms(TERMS, chargeable=False)
    for absurd in (
        TERMS._replace(amount=AMOUNT_LEAST - 1),
        TERMS._replace(amount=AMOUNT_MAX + 1, cap=CAP_MAX),
        TERMS._replace(threshold=-1),
        TERMS._replace(threshold=AMOUNT_MAX + 1),
        TERMS._replace(cap=1_999),
        TERMS._replace(cap=CAP_MAX + 1),
    ):
        with pytest.raises(InvalidCommandError):
            check_terms(absurd, chargeable=True)


def test_all_are_folded_from_the_log() -> None:
    """What is about something else is passed over; an end without a begin is none (P8)."""
    account, book = Account(), AllTopUps()
    account.begin()
    account.end("card_declined")
    other = LotExpired(
        originator_id=UUID(int=1),
        originator_version=1,
        **stamp(),
        account_id=ACCOUNT,
        lot_id="lot",
        breakage_nano_usd=1,
    )
    for event in (*account.events, other):
        book.apply(event)
    assert book.by_account == {ACCOUNT: account.state}
    assert evolve_top_ups(account.state, other) == account.state
    stray = evolve_top_ups(TopUps(), account.events[-1])
    assert (stray.charged, stray.under_way) == ({}, None)
