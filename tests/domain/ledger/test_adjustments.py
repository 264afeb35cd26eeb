"""Debits, receivables, transfers and corrections by the pure ledger (P1, P4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.errors import InvalidAmountError, InvalidTransitionError
from domain.events import ledger as ev
from domain.ledger.adjustments import charge_of, movable
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    ACCOUNT_OWED_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
    OWED_WITHOUT_HOLDS_NANO_USD,
    TRANSFER_LOTS_MAX,
    check_debit,
)
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.postings import postings_of
from domain.ledger.state import LedgerState
from domain.pricing.money import ENTRY_NANO_USD_MAX

A = "00000000-0000-7000-8000-00000000000a"
B = "00000000-0000-7000-8000-00000000000b"
CALL = "00000000-0000-7000-8000-0000000000c0"
OTHER = "00000000-0000-7000-8000-0000000000c1"
TRIAL, FIRST, SECOND, RENEWED = (f"00000000-0000-7000-8000-0000000000b{n}" for n in range(4))
T = [f"2026-01-01T00:00:{n:02d}.000000Z" for n in range(60)]


def bought() -> ModelLedger:
    """10 on a trial that ends at T[10], then two purchases of 20."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, T[10])
    model.grant(A, FIRST, "purchase", 20, None)
    model.grant(A, SECOND, "purchase", 20, None)
    return model


def charged(cost: int = 15, *, hold: int = 15) -> ModelLedger:
    """A call that took the trial's 10 first, and the rest of what was bought first."""
    model = bought()
    assert model.hold(CALL, A, hold, T[1]) == "ok"
    assert model.settle(CALL, cost, T[2]) == "ok"
    return model


def lots(model: ModelLedger, account: str = A) -> dict[str, int]:
    """What is left on each lot of an account."""
    return {each.lot_id: each.available for each in model.state.account(account).lots.values()}


def last(model: ModelLedger) -> ev.MoneyEvent:
    """The newest event."""
    return model.log[-1]


def test_a_debit_takes_what_was_bought_last_first() -> None:
    """Against the burn-down order, but the grant it concerns before all (money rule 15)."""
    model = bought()
    assert model.debit(A, "d1", "admin_debit", 25, T[1]) == "ok"
    assert lots(model) == {TRIAL: 10, FIRST: 15, SECOND: 0}
    model = bought()
    assert model.debit(A, "d1", "refund", 25, T[1], lot_id=FIRST) == "ok"
    assert lots(model) == {TRIAL: 10, FIRST: 0, SECOND: 15}
    account = model.state.account(A)
    assert (account.available, account.debited, account.owed) == (25, 25, 0)


def test_a_debit_never_takes_what_is_not_there() -> None:
    """The rest is owed; what is held stays held, and what lapsed is gone before (money rule 15)."""
    model = bought()
    model.hold(CALL, A, 12, T[1])
    assert model.debit(A, "d1", "dispute", 100, T[20]) == "ok"
    account = model.state.account(A)
    assert (account.available, account.held, account.owed, account.breakage) == (0, 12, 62, 0)
    event = last(model)
    assert isinstance(event, ev.CreditsDebited)
    assert (event.taken_nano_usd, event.owed_nano_usd) == (38, 62)
    assert sum(each.amount_nano_usd for each in postings_of(event)) == 0
    model = bought()
    assert model.debit(B, "d2", "refund", 5, T[1]) == "ok"
    assert model.state.account(B).owed == 5


def test_a_lot_that_is_closed_ends_at_once() -> None:
    """What is left of it expires; what a call holds stays the call's, and what that leaves is
    breakage, too. Closed again, used up, at its end or unknown it stays as it is (money rule 9).
    """
    model = bought()
    assert model.hold(CALL, A, 4, T[1]) == "ok"
    assert model.close(A, TRIAL, T[2]) == "ok"
    event = last(model)
    assert isinstance(event, ev.LotExpired)
    assert (event.lot_id, event.breakage_nano_usd, event.effective_at) == (TRIAL, 6, T[2])
    account = model.state.account(A)
    assert (account.available, account.held, account.breakage) == (40, 4, 6)
    assert model.settle(CALL, 3, T[3]) == "ok"
    assert (account.available, account.held, account.breakage) == (40, 0, 7)
    told = len(model.log)
    for lot_id, now in ((TRIAL, T[4]), ("b9", T[4])):
        assert model.close(A, lot_id, now) == "ok"
    assert len(model.log) == told
    late = bought()
    assert late.close(A, TRIAL, T[20]) == "ok"
    expired = [each for each in late.log if isinstance(each, ev.LotExpired)]
    assert [(each.lot_id, each.effective_at) for each in expired] == [(TRIAL, T[10])]
    spent = bought()
    assert spent.hold(CALL, A, 10, T[1]) == "ok"
    assert spent.settle(CALL, 10, T[2]) == "ok"
    told = len(spent.log)
    assert spent.close(A, TRIAL, T[3]) == "ok"
    assert len(spent.log) == told


def test_a_debit_counts_once() -> None:
    """The same key with anything else is refused (money rule 15)."""
    model = bought()
    for _ in range(2):
        assert model.debit(A, "d1", "refund", 5, T[1]) == "ok"
    assert model.state.account(A).available == 45
    for answer in (
        model.debit(A, "d1", "refund", 6, T[1]),
        model.debit(A, "d1", "dispute", 5, T[1]),
        model.debit(B, "d1", "refund", 5, T[1]),
        model.transfer(A, "d1", B, 5, T[1]),
    ):
        assert answer == "idempotency_key_reused"


@pytest.mark.parametrize("amount", [-1, 0, GRANT_NANO_USD_MAX + 1])
def test_amounts_that_cannot_be_are_refused(amount: int) -> None:
    """Nought, negative or huge: nothing is taken, moved or corrected (rule: bounded)."""
    model = charged()
    before = len(model.log)
    assert model.debit(A, "d1", "refund", amount, T[3]) == "amount_out_of_range"
    assert model.transfer(A, "d1", B, amount, T[3]) == "amount_out_of_range"
    assert model.transfer(A, "d1", A, 5, T[3]) == "amount_out_of_range"
    for cost in (-1, ENTRY_NANO_USD_MAX + 1):
        assert model.correct(CALL, A, cost, "2", RENEWED, T[3]) == "amount_out_of_range"
    assert len(model.log) == before
    with pytest.raises(InvalidAmountError, match="cannot be taken"):
        check_debit(amount)
    check_debit(1)


def test_what_an_account_owes_has_an_end() -> None:
    """A debit beyond it is refused whole (rule: bounded)."""
    model = ModelLedger()
    for number in range(ACCOUNT_OWED_NANO_USD_MAX // GRANT_NANO_USD_MAX):
        assert model.debit(A, f"d{number}", "refund", GRANT_NANO_USD_MAX, T[1]) == "ok"
    assert model.debit(A, "more", "refund", 1, T[1]) == "account_full"


def test_what_comes_pays_before_it_can_be_spent() -> None:
    """Grants and released holds: at once, in the same append (money rule 15)."""
    model = bought()
    model.hold(CALL, A, 12, T[1])
    model.debit(A, "d1", "refund", 48, T[2])
    assert model.state.account(A).owed == 10
    assert model.void(CALL, T[3]) == "ok"
    account = model.state.account(A)
    assert (account.available, account.owed) == (2, 0)
    paid = last(model)
    assert isinstance(paid, ev.ReceivablePaid)
    assert paid.amount_nano_usd == 10
    assert sum(each.amount_nano_usd for each in postings_of(paid)) == 0
    model.debit(A, "d2", "refund", 30, T[4])
    assert model.grant(A, RENEWED, "purchase", 40, None, None, T[5]) == "ok"
    assert (account.available, account.owed) == (12, 0)
    assert lots(model)[RENEWED] == 12


def test_who_owes_much_makes_no_call() -> None:
    """Not even one that costs nothing; who owes little makes those (money rule 15)."""
    model = ModelLedger()
    model.debit(A, "d1", "refund", OWED_WITHOUT_HOLDS_NANO_USD, T[1])
    assert model.hold(CALL, A, 0, T[2]) == "ok"
    assert model.hold(OTHER, A, 1, T[2]) == "insufficient_credits"
    model.debit(A, "d2", "refund", 1, T[3])
    assert model.hold(OTHER, A, 0, T[4]) == "insufficient_credits"
    assert model.hold(OTHER, A, 0, T[4], key=("ab" * 32, "cd" * 32)) == "insufficient_credits"
    assert isinstance(last(model), ev.HoldRefused)


def test_a_transfer_moves_lots_as_they_are() -> None:
    """Kind, priority and expiry stay; both sides or neither, and no trial's (money rule 16)."""
    model = bought()
    model.grant(A, RENEWED, "bonus", 5, T[30])
    assert model.transfer(A, "t1", B, 43, T[1]) == "ok"
    assert lots(model) == {TRIAL: 10, FIRST: 0, SECOND: 0, RENEWED: 2}
    got = sorted(
        (each.kind, each.priority, each.expires_at, each.available)
        for each in model.state.account(B).lots.values()
    )
    assert got == [
        ("bonus", 20, T[30], 3),
        ("purchase", 30, "infinity", 20),
        ("purchase", 30, "infinity", 20),
    ]
    assert model.state.trial_balance["transfers"] == 0
    assert model.state.trial_balance_sum() == 0
    assert model.transfer(A, "t1", B, 43, T[1]) == "ok"
    assert model.transfer(A, "t2", B, 3, T[1]) == "insufficient_credits"
    assert model.state.account(B).available == 43


def test_what_a_dispute_was_about_is_moved_nowhere() -> None:
    """Its lot stays with whoever disputed it, the others do not (money rule 16)."""
    model = bought()
    assert model.debit(A, "d1", "dispute", 5, T[1], lot_id=SECOND) == "ok"
    assert [lot.lot_id for lot in movable(model.state.account(A))] == [FIRST]
    assert model.transfer(A, "t1", B, 21, T[2]) == "insufficient_credits"
    assert model.transfer(A, "t1", B, 20, T[2]) == "ok"
    assert lots(model) == {TRIAL: 10, FIRST: 0, SECOND: 15}
    assert model.debit(A, "d2", "refund", 1, T[3]) == "ok"
    model.grant(A, RENEWED, "purchase", 7, None)
    assert model.debit(A, "d3", "dispute", 1, T[3]) == "ok"
    assert model.transfer(A, "t2", B, 6, T[4]) == "ok"


def test_a_transfer_to_who_owes_pays_first() -> None:
    """As a grant does (money rule 15, money rule 16)."""
    model = bought()
    model.debit(B, "d1", "refund", 15, T[1])
    assert model.transfer(A, "t1", B, 20, T[2]) == "ok"
    account = model.state.account(B)
    assert (account.available, account.owed) == (5, 0)


def test_a_transfer_has_an_end() -> None:
    """So many lots at once, and as much as an account is ever given (rule: bounded)."""
    model = ModelLedger()
    for number in range(TRANSFER_LOTS_MAX + 1):
        model.grant(A, f"lot {number}", "purchase", 1, None)
    assert model.transfer(A, "t1", B, TRANSFER_LOTS_MAX + 1, T[1]) == "insufficient_credits"
    assert model.transfer(A, "t1", B, TRANSFER_LOTS_MAX, T[1]) == "ok"
    for number in range(ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX - 1):
        model.grant(B, f"large {number}", "purchase", GRANT_NANO_USD_MAX, None)
    model.grant(A, "large", "purchase", GRANT_NANO_USD_MAX, None)
    assert model.transfer(A, "t2", B, GRANT_NANO_USD_MAX, T[1]) == "account_full"


def test_a_dearer_price_takes_the_difference_once() -> None:
    """From what is available; the rest is owed (money rule 17)."""
    model = charged()
    assert model.correct(CALL, A, 18, "2", RENEWED, T[3]) == "ok"
    assert lots(model) == {TRIAL: 0, FIRST: 15, SECOND: 17}
    for _ in range(2):
        assert model.correct(CALL, A, 18, "2", RENEWED, T[3]) == "ok"
    assert model.correct(CALL, A, 19, "2", RENEWED, T[3]) == "idempotency_key_reused"
    assert model.state.account(A).settled == 18
    assert model.correct(CALL, A, 100, "3", RENEWED, T[4]) == "ok"
    account = model.state.account(A)
    assert (account.available, account.owed, account.settled) == (0, 50, 100)
    assert model.state.trial_balance_sum() == 0


def test_a_cheaper_price_gives_back_to_the_lots_that_paid() -> None:
    """The one that paid last first; from lots that expired to a new one (money rule 17)."""
    model = charged()
    assert model.correct(CALL, A, 8, "2", RENEWED, T[3]) == "ok"
    assert lots(model) == {TRIAL: 2, FIRST: 20, SECOND: 20}
    model = charged()
    assert model.correct(CALL, A, 8, "2", RENEWED, T[20]) == "ok"
    assert lots(model) == {TRIAL: 0, FIRST: 20, SECOND: 20, RENEWED: 2}
    assert model.correct(CALL, A, 0, "3", OTHER, T[21]) == "ok"
    assert lots(model)[OTHER] == 8
    account = model.state.account(A)
    assert (account.settled, account.available) == (0, 50)
    assert model.state.trial_balance_sum() == 0


def test_what_was_owed_for_a_call_comes_back_by_paying_it() -> None:
    """A correction that is corrected leaves nothing owed (money rule 15, money rule 17)."""
    model = charged()
    model.correct(CALL, A, 100, "2", RENEWED, T[3])
    assert model.correct(CALL, A, 15, "3", OTHER, T[4]) == "ok"
    account = model.state.account(A)
    assert (account.available, account.owed, account.settled) == (35, 0, 15)


def test_house_loss_stays_house_loss() -> None:
    """What nobody paid at settlement is not taken later (money rule 3, money rule 17)."""
    model = charged(80)
    assert model.state.account(A).house_loss == 30
    before = model.state.account(A).settled
    assert model.correct(CALL, A, 60, "2", RENEWED, T[3]) == "ok"
    assert model.state.account(A).settled == before == 50
    assert model.correct(CALL, A, 40, "3", OTHER, T[4]) == "ok"
    assert model.state.account(A).available == 10


def test_only_a_settled_call_is_corrected() -> None:
    """Of the account that paid it (money rule 17)."""
    model = charged()
    model.hold(OTHER, A, 1, T[3])
    assert model.correct(OTHER, A, 1, "2", RENEWED, T[3]) == "unknown_call"
    assert model.correct(CALL, B, 1, "2", RENEWED, T[3]) == "unknown_call"
    assert charge_of([]) is None
    model.correct(CALL, A, 1, "2", RENEWED, T[3])
    assert model.settle(CALL, 20, T[4]) == "already_resolved"
    assert model.hold(CALL, A, 5, T[4]) == "call_exists"


def _debit(model: ModelLedger) -> ev.CreditsDebited:
    model.debit(A, "d1", "refund", 100, T[1])
    event = last(model)
    assert isinstance(event, ev.CreditsDebited)
    return event


@pytest.mark.parametrize(
    "change",
    [
        {"taken_nano_usd": 49},
        {"owed_nano_usd": 51},
        {"lots": []},
        {"amount_nano_usd": 101},
    ],
)
def test_a_debit_that_does_not_add_up_is_refused(change: dict[str, Any]) -> None:
    """By the replay, whoever wrote it (P1, P4)."""
    event = _debit(bought())
    state = LedgerState()
    for position, each in enumerate(bought().log):
        state.apply(each, position)
    with pytest.raises(InvalidTransitionError):
        state.apply(replace(event, **change), 9)


@pytest.mark.parametrize(
    "change",
    [{"returned_nano_usd": 6}, {"taken_nano_usd": 1}, {"renewed_nano_usd": 1}],
)
def test_a_correction_that_does_not_add_up_is_refused(change: dict[str, Any]) -> None:
    """By the replay, whoever wrote it (P1, P4)."""
    model = charged()
    model.correct(CALL, A, 8, "2", RENEWED, T[3])
    event = last(model)
    assert isinstance(event, ev.ChargeCorrected)
    state = LedgerState()
    for position, each in enumerate(model.log[:-1]):
        state.apply(each, position)
    with pytest.raises(InvalidTransitionError):
        state.apply(replace(event, **change), 9)


def test_a_payment_that_is_more_than_owed_is_refused() -> None:
    """By the replay, whoever wrote it (P1)."""
    model = bought()
    paid = ev.ReceivablePaid(
        **model._account_stream(A),
        amount_nano_usd=5,
        lots=[{"lot_id": SECOND, "amount_nano_usd": 5}],
    )
    with pytest.raises(InvalidTransitionError, match="breaks its sums"):
        model.state.apply(paid, 9)
