"""Replay: what `ledger verify` folds, and every way in which it refuses a log (P1, P2, P4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from domain.errors import InvalidTransitionError
from domain.events import ledger as ev
from domain.events.identity import ApiKeyRevoked
from domain.ledger.holds import HoldState
from domain.ledger.lots import NEVER, Lot
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.model.log import ENVELOPE
from domain.ledger.state import Closed, LedgerState

if TYPE_CHECKING:
    from collections.abc import Callable

A = "00000000-0000-7000-8000-00000000000a"
CALL, OTHER = (f"00000000-0000-7000-8000-0000000000c{n}" for n in range(2))
TRIAL, BOUGHT = (f"00000000-0000-7000-8000-0000000000b{n}" for n in range(2))
T = [f"2026-01-01T00:00:{n:02d}.000000Z" for n in range(60)]
KEY = ("ab" * 32, "cd" * 32)


def part(lot_id: str, amount: int) -> ev.LotPart:
    """So much of a lot."""
    return {"lot_id": lot_id, "amount_nano_usd": amount}


def ledger() -> ModelLedger:
    """10 on a trial lot that expires at T[10], 20 on one that never does, 12 held for a call."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, T[10])
    model.grant(A, BOUGHT, "purchase", 20, None)
    model.hold(CALL, A, 12, T[1])
    return model


def settled() -> ModelLedger:
    """The call settled for 15: 3 beyond its hold."""
    model = ledger()
    model.settle(CALL, 15, T[2])
    return model


def released() -> ModelLedger:
    """The call settled for 4, after the trial lot's end: 6 are forfeited, 2 released."""
    model = ledger()
    model.settle(CALL, 4, T[20])
    return model


def extended() -> ModelLedger:
    """The call's hold is 5 larger."""
    model = ledger()
    model.extend(CALL, 5, T[2])
    return model


def expired() -> ModelLedger:
    """A lot of 10 that nobody used is booked as expired by the next append."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, T[10])
    model.hold(CALL, A, 1, T[20])
    return model


def replayed(events: list[ev.MoneyEvent]) -> LedgerState:
    """The state that events imply."""
    state = LedgerState()
    for position, event in enumerate(events, 1):
        state.apply(event, position)
    return state


@pytest.mark.parametrize("make", [ledger, settled, released, extended, expired])
def test_replay_gives_the_same_state(make: Callable[[], ModelLedger]) -> None:
    """The log alone says all that the ledger knows (P8)."""
    model = make()
    assert replayed(model.log) == model.state


TAMPERED: list[tuple[Callable[[], ModelLedger], dict[str, Any], str]] = [
    (ledger, {"amount_nano_usd": 13}, "lies on lots of another sum"),
    (ledger, {"originator_version": 2}, "version 2 follows 0"),
    (ledger, {"amount_nano_usd": 11, "lots": [part(TRIAL, 11)]}, f"lot {TRIAL} is overdrawn"),
    (extended, {"originator_version": 3}, "version 3 follows 1"),
    (extended, {"amount_nano_usd": 6}, "lies on lots of another sum"),
    (extended, {"lots": [part(BOUGHT, 19)], "amount_nano_usd": 19}, f"lot {BOUGHT} is overdrawn"),
    (settled, {"held_nano_usd": 11}, "resolves 11 of 12"),
    (settled, {"settled_nano_usd": 14}, "its lots do not sum to its figures"),
    (settled, {"released_nano_usd": 1}, "its lots do not sum to its figures"),
    (settled, {"breakage_nano_usd": 1}, "its lots do not sum to its figures"),
    (settled, {"beyond_lots": []}, "its lots do not sum to its figures"),
    # Money that moves from one lot to another keeps every sum but those of the lots.
    (settled, {"lots": [part(TRIAL, 9), part(BOUGHT, 3)]}, "is not fully accounted for"),
    (settled, {"lots": [part(TRIAL, 11), part(BOUGHT, 1)]}, "is not fully accounted for"),
    (released, {"released_lots": [part(TRIAL, 2)]}, "is not fully accounted for"),
    (released, {"forfeited_lots": [part(BOUGHT, 6)]}, "is not fully accounted for"),
    # More is taken beyond the hold than the account has.
    (
        settled,
        {"beyond_lots": [part(BOUGHT, 19)], "settled_nano_usd": 31},
        f"account {A} breaks its sums: granted 30, available -1",
    ),
]


@pytest.mark.parametrize(("make", "change", "said"), TAMPERED)
def test_replay_refuses_a_changed_last_event(
    make: Callable[[], ModelLedger], change: dict[str, Any], said: str
) -> None:
    """Each line: a story, what somebody changed in its last event, and what replay says (P5)."""
    *before, last = make().log
    state = replayed(before)
    with pytest.raises(InvalidTransitionError, match=said):
        state.apply(replace(last, **change))


def test_replay_refuses_an_expiry_of_more_than_there_is() -> None:
    """No balance is ever negative, and the refusal names the account's sums (P1)."""
    grant, expiry, *_ = expired_log()
    state = replayed([grant])
    said = (
        rf"account {A} breaks its sums: granted 10, available -1 \(lots -1\), held 0 \(lots 0\), "
        "settled 0, breakage 11"
    )
    with pytest.raises(InvalidTransitionError, match=said):
        state.apply(replace(expiry, breakage_nano_usd=11))


def expired_log() -> list[Any]:
    """A grant, and its expiry as the next append books it."""
    model = expired()
    assert [type(event) for event in model.log] == [ev.CreditsGranted, ev.LotExpired]
    return model.log


BROKEN_SUMS: list[dict[str, Any]] = [
    {"available": 11},
    {"held": 1},
    {"settled": 1},
    {"breakage": 1},
    {"granted": 9},
    {"available": 9, "held": 1},
    {"available": 9, "settled": 1},
    {"available": 11, "held": -1},
    {"available": -1, "held": 11},
    {"available": 11, "breakage": -1},
]


@pytest.mark.parametrize("change", BROKEN_SUMS)
def test_an_account_checks_its_sums(change: dict[str, Any]) -> None:
    """Granted is what is available, held, settled or broken, and the lots say the same (P1)."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, None)
    account = model.state.account(A)
    account.check()
    with pytest.raises(InvalidTransitionError, match="breaks its sums"):
        replace(account, **change).check()


@pytest.mark.parametrize("side", [{"available": -1, "held": 11}, {"available": 11, "held": -1}])
def test_neither_side_of_an_account_is_negative(side: dict[str, Any]) -> None:
    """Sums that agree do not excuse a negative balance (P1)."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, None)
    account = model.state.account(A)
    account.lots[TRIAL] = replace(account.lots[TRIAL], **side)
    with pytest.raises(InvalidTransitionError, match="breaks its sums"):
        replace(account, **side).check()


@dataclass(frozen=True, kw_only=True)
class Unheard(ev.MoneyEvent):
    """A money event that no rule knows."""

    TOPIC = "ledger.unheard.v1"


def test_an_event_that_no_rule_folds_is_refused() -> None:
    """Money that nobody accounts for is not passed over (P2)."""
    unheard = Unheard(**{**ENVELOPE, "originator_id": UUID(A)}, originator_version=1, account_id=A)
    with pytest.raises(InvalidTransitionError, match=r"no rule folds ledger\.unheard\.v1"):
        LedgerState().apply(unheard)


def test_an_outcome_of_a_hold_that_was_not_folded_is_refused() -> None:
    """Who knows of the hold, and did not fold it, cannot fold what ends it (P2)."""
    state = LedgerState(recall=lambda _: Closed(HoldState.HELD, 1, 0))
    model = ledger()
    model.void(CALL, T[2])
    with pytest.raises(InvalidTransitionError, match="where no hold is open"):
        state.apply(model.log[-1])


def test_a_refusal_makes_its_key_refused() -> None:
    """The event has the key in a shorter writing than holds have it (P3, P8)."""
    model = ledger()
    model.hold(OTHER, A, 50, T[2], key=KEY)
    assert model.state.idempotency == {KEY[0]: (KEY[1], OTHER, HoldState.REFUSED)}


def test_events_that_move_no_money_are_passed_over() -> None:
    """The log holds more than money (P7)."""
    state = LedgerState()
    state.apply(
        ApiKeyRevoked(**{**ENVELOPE, "originator_id": UUID(A)}, originator_version=1, reason="lost")
    )
    assert state == LedgerState()


def test_a_key_follows_its_call() -> None:
    """Held, then settled; refused; and held anew after a void, all under one hash (P3)."""
    model = ledger()
    model.hold(OTHER, A, 5, T[2], key=KEY)
    assert model.state.idempotency == {KEY[0]: (KEY[1], OTHER, HoldState.HELD)}
    model.void(OTHER, T[3], event_id="v")
    assert model.state.idempotency == {KEY[0]: (KEY[1], OTHER, HoldState.VOIDED)}
    assert model.state.closed[OTHER] == (HoldState.VOIDED, 2, 0)
    model.hold(OTHER, A, 5, T[4], key=KEY, follows="v")
    assert OTHER not in model.state.closed
    assert model.state.open_holds[OTHER].version == 3
    model.settle(OTHER, 1, T[5])
    assert model.state.idempotency == {KEY[0]: (KEY[1], OTHER, HoldState.SETTLED)}
    model.hold(str(UUID(int=9)), A, 50, T[6], key=("ef" * 32, "cd" * 32))
    assert model.state.idempotency["ef" * 32] == ("cd" * 32, str(UUID(int=9)), HoldState.REFUSED)
    assert model.state.closed[str(UUID(int=9))] == (HoldState.REFUSED, 1, 0)


def test_a_grant_opens_a_lot() -> None:
    """With what orders it: priority, end, and the place of its event in the log (money rule 9)."""
    grants = ledger().log[:2]
    bought = Lot(
        lot_id=BOUGHT, kind="purchase", priority=30, expires_at=NEVER, sequence=2, available=20
    )
    trial = Lot(lot_id=TRIAL, kind="trial", priority=10, expires_at=T[10], sequence=1, available=10)
    assert replayed(grants).account(A).lots == {TRIAL: trial, BOUGHT: bought}
    alone = LedgerState()
    alone.apply(grants[0])
    assert alone.account(A).lots == {TRIAL: replace(trial, sequence=0)}


def test_a_refused_call_opens_its_account() -> None:
    """An account without credits is one with 0, and no other comes into being (P10)."""
    model = ModelLedger()
    model.hold(CALL, A, 1, T[1], key=KEY)
    assert list(replayed(model.log).accounts) == [A]


def test_breakage_adds_up() -> None:
    """Two lots that expired broke both (money rule 9)."""
    model = ModelLedger()
    model.grant(A, TRIAL, "trial", 10, T[10])
    model.grant(A, BOUGHT, "purchase", 20, T[11])
    model.hold(CALL, A, 1, T[20])
    account = model.state.account(A)
    assert (account.available, account.breakage) == (0, 30)
    assert model.state.trial_balance == {
        "issued:trial": -10,
        "issued:purchase": -20,
        f"customer:{A}:available": 0,
        "breakage": 30,
    }


def test_an_extended_hold_lies_on_both_its_parts() -> None:
    """In burn-down order, under the next version, and the lots say so too (money rule 9)."""
    state = extended().state
    hold = state.open_holds[CALL]
    assert hold.parts == [part(TRIAL, 10), part(BOUGHT, 2), part(BOUGHT, 5)]
    assert (hold.amount, hold.version, hold.state) == (17, 2, HoldState.HELD)
    lots = state.account(A).lots
    assert [(lot.available, lot.held) for lot in lots.values()] == [(0, 10), (13, 7)]


def test_what_is_beyond_the_hold_comes_from_the_lots_left() -> None:
    """Spent, released and forfeited parts each leave their lot (money rule 9)."""
    lots = settled().state.account(A).lots
    assert [(lot.available, lot.held) for lot in lots.values()] == [(0, 0), (15, 0)]
    lots = released().state.account(A).lots
    assert [(lot.available, lot.held) for lot in lots.values()] == [(0, 0), (20, 0)]


def test_house_loss_adds_up() -> None:
    """What the call lost at its expiry is not lost again by its late outcome (money rule 11)."""
    model = ledger()
    model.expire(CALL, 2, T[2])
    assert model.state.closed[CALL] == (HoldState.EXPIRED, 2, 2)
    model.settle(CALL, 5, T[3])
    assert model.state.closed[CALL] == (HoldState.EXPIRED, 3, 5)
    assert model.state.account(A).house_loss == 5
    balance = model.state.trial_balance
    assert (balance["house_loss"], balance["revenue:usage"]) == (-5, 5)


def test_the_trial_balance_names_every_side() -> None:
    """Each account of the chart has what the story put there, zero in all (P4)."""
    model = settled()
    model.hold(OTHER, A, 5, T[3])
    assert model.state.trial_balance == {
        "issued:trial": -10,
        "issued:purchase": -20,
        f"customer:{A}:available": 10,
        f"customer:{A}:held": 5,
        "revenue:usage": 15,
    }
    assert released().state.trial_balance == {
        "issued:trial": -10,
        "issued:purchase": -20,
        f"customer:{A}:available": 20,
        f"customer:{A}:held": 0,
        "breakage": 6,
        "revenue:usage": 4,
    }


def test_replay_refuses_a_lot_that_was_granted_before() -> None:
    """A grant that stands twice under its own lot is no second grant (P1, P3)."""
    grant, *_ = expired_log()
    state = replayed([grant])
    with pytest.raises(InvalidTransitionError, match=f"lot {TRIAL} was granted before"):
        state.apply(replace(grant, originator_version=2))
    assert state.accounts[A].granted == 10
