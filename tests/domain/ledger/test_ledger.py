"""Lots, the model ledger, replay, postings and upcasters."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidTransitionError
from domain.events import ledger as ev
from domain.ledger.lots import NEVER, Lot, burn_down
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.postings import postings_of
from domain.ledger.state import LedgerState
from domain.pricing.money import ENTRY_NANO_USD_MAX as MOST
from domain.upcasters import upcast

A = "00000000-0000-7000-8000-00000000000a"
CALLS = [f"00000000-0000-7000-8000-0000000000c{n}" for n in range(5)]
LOTS = [f"00000000-0000-7000-8000-0000000000b{n}" for n in range(5)]
T = [f"2026-01-01T00:00:{n:02d}.000000Z" for n in range(60)]


def lot(name: str, priority: int, expires_at: str, sequence: int, available: int) -> Lot:
    """A lot with something on it."""
    return Lot(
        lot_id=name,
        kind="bonus",
        priority=priority,
        expires_at=expires_at,
        sequence=sequence,
        available=available,
    )


BURNS = [
    # Priority before expiry before age.
    ([("a", 30, NEVER, 1, 5), ("b", 10, NEVER, 2, 5)], 6, [("b", 5), ("a", 1)]),
    ([("a", 20, NEVER, 1, 5), ("b", 20, T[9], 2, 5)], 6, [("b", 5), ("a", 1)]),
    ([("a", 20, NEVER, 2, 5), ("b", 20, NEVER, 1, 5)], 6, [("b", 5), ("a", 1)]),
    # A lot stops counting at its instant.
    ([("a", 10, T[5], 1, 5), ("b", 20, NEVER, 2, 5)], 5, [("b", 5)]),
    ([("a", 10, T[6], 1, 5), ("b", 20, NEVER, 2, 5)], 5, [("a", 5)]),
    ([("a", 10, NEVER, 1, 5)], 6, None),
    ([("a", 10, NEVER, 1, 5)], 0, []),
    # The last nano-USD of a lot counts as well.
    ([("a", 10, NEVER, 1, 1), ("b", 20, NEVER, 2, 5)], 2, [("a", 1), ("b", 1)]),
]


@pytest.mark.parametrize(("lots", "need", "expected"), BURNS)
def test_burn_down_order(lots: list[Any], need: int, expected: list[Any] | None) -> None:
    """Priority before expiry before age, judged at the sixth instant (money rule 9)."""
    taken = burn_down([lot(*each) for each in lots], need, T[5])
    named = None if taken is None else [(part.lot_id, n) for part, n in taken]
    assert named == expected


def ledger() -> ModelLedger:
    """10 on a trial lot that expires at T[10], 20 on one that never does."""
    model = ModelLedger()
    model.grant(A, LOTS[0], "trial", 10, T[10])
    model.grant(A, LOTS[1], "purchase", 20, None)
    return model


def figures(model: ModelLedger) -> tuple[int, ...]:
    """available, held, settled, breakage, house loss."""
    account = model.state.account(A)
    return (
        account.available,
        account.held,
        account.settled,
        account.breakage,
        account.house_loss,
    )


def hold(call: int, amount: int, at: int, **more: Any) -> tuple[Any, ...]:
    """A line of the table."""
    return ("hold", CALLS[call], A, amount, T[at], more)


# fmt: off
LINES: list[tuple[str, list[tuple[Any, ...]], list[str], tuple[int, ...]]] = [
    ("settle below", [hold(0, 12, 1), ("settle", CALLS[0], 11, T[2])], ["ok", "ok"], (19, 0, 11, 0, 0)),
    ("void", [hold(0, 12, 1), ("void", CALLS[0], T[2])], ["ok", "ok"], (30, 0, 0, 0, 0)),
    ("too much", [hold(0, 31, 1)], ["insufficient_credits"], (30, 0, 0, 0, 0)),
    ("above the hold", [hold(0, 5, 1), ("settle", CALLS[0], 29, T[2])], ["ok", "ok"], (1, 0, 29, 0, 0)),
    ("house loss", [hold(0, 5, 1), ("settle", CALLS[0], 40, T[2])], ["ok", "ok"], (0, 0, 30, 0, 10)),
    ("held credits are not taken", [hold(0, 20, 1), hold(1, 5, 1), ("settle", CALLS[1], 40, T[2])],
     ["ok", "ok", "ok"], (0, 20, 10, 0, 30)),
    ("released after expiry is breakage", [hold(0, 8, 1), ("settle", CALLS[0], 3, T[20])],
     ["ok", "ok"], (20, 0, 3, 7, 0)),
    ("settles from an expired lot", [hold(0, 8, 1), ("settle", CALLS[0], 8, T[20])],
     ["ok", "ok"], (20, 0, 8, 2, 0)),
    ("expiry is booked by the next append", [hold(0, 5, 20)], ["ok"], (15, 5, 0, 10, 0)),
    ("an expired lot does not count", [hold(0, 21, 10)], ["insufficient_credits"], (20, 0, 0, 10, 0)),
    ("extended", [hold(0, 5, 1), ("extend", CALLS[0], 20, T[2]), ("settle", CALLS[0], 25, T[3])],
     ["ok", "ok", "ok"], (5, 0, 25, 0, 0)),
    ("not extended", [hold(0, 5, 1), ("extend", CALLS[0], 26, T[2])],
     ["ok", "insufficient_credits"], (25, 5, 0, 0, 0)),
    ("twice settled", [hold(0, 5, 1), ("settle", CALLS[0], 5, T[2]), ("settle", CALLS[0], 5, T[3])],
     ["ok", "ok", "already_resolved"], (25, 0, 5, 0, 5)),
    ("late after expiry", [hold(0, 5, 1), ("expire", CALLS[0], 2, T[2]), ("settle", CALLS[0], 5, T[3])],
     ["ok", "ok", "already_resolved"], (30, 0, 0, 0, 5)),
    ("unknown", [("settle", CALLS[0], 5, T[2]), ("void", CALLS[1], T[2])],
     ["unknown_call", "unknown_call"], (30, 0, 0, 0, 0)),
    ("zero", [hold(0, 0, 1), ("settle", CALLS[0], 0, T[2])], ["ok", "ok"], (30, 0, 0, 0, 0)),
    ("key in progress", [hold(0, 5, 1, key=("ab" * 32, "cd" * 32)), hold(1, 5, 1, key=("ab" * 32, "cd" * 32))],
     ["ok", "idempotency_in_progress"], (25, 5, 0, 0, 0)),
    ("key with another input", [hold(0, 5, 1, key=("ab" * 32, "cd" * 32)), hold(1, 5, 1, key=("ab" * 32, "ef" * 32))],
     ["ok", "idempotency_key_reused"], (25, 5, 0, 0, 0)),
    ("key settled", [hold(0, 5, 1, key=("ab" * 32, "cd" * 32)), ("settle", CALLS[0], 1, T[2]),
     hold(1, 5, 1, key=("ab" * 32, "cd" * 32))], ["ok", "ok", "idempotency_settled"], (29, 0, 1, 0, 0)),
    ("key voided, then again", [hold(0, 5, 1, key=("ab" * 32, "cd" * 32)), ("void", CALLS[0], T[2], {"event_id": "v"}),
     hold(0, 5, 3, key=("ab" * 32, "cd" * 32), follows="v")], ["ok", "ok", "ok"], (25, 5, 0, 0, 0)),
    ("a copy of a voided hold", [hold(0, 5, 1), ("void", CALLS[0], T[2], {"event_id": "v"}),
     hold(0, 5, 3), hold(0, 5, 3, follows="x")], ["ok", "ok", *["call_exists"] * 2], (30, 0, 0, 0, 0)),
    ("outcomes of the hold before", [hold(0, 5, 1, event_id="h"), ("void", CALLS[0], T[2], {"event_id": "v"}),
     hold(0, 6, 3, event_id="i", follows="v"), ("void", CALLS[0], T[4], {"follows": "h"}),
     ("extend", CALLS[0], 1, T[4], {"follows": "h"}), ("settle", CALLS[0], 4, T[5], {"follows": "h"}),
     ("settle", CALLS[0], 2, T[6], {"follows": "i"}), ("settle", CALLS[0], 5, T[7], {"follows": "h"})],
     ["ok", "ok", "ok", *["already_resolved"] * 3, "ok", "already_resolved"], (28, 0, 2, 0, 5)),
    ("an outcome of a hold that never was", [hold(0, 5, 1, event_id="h"), ("void", CALLS[0], T[2], {"follows": "x"}),
     ("settle", CALLS[0], 5, T[2], {"follows": "x"})], ["ok", *["unknown_call"] * 2], (25, 5, 0, 0, 0)),
    ("an outcome that names no hold", [hold(0, 5, 1, event_id="h"), ("settle", CALLS[0], 5, T[2])],
     ["ok", "ok"], (25, 0, 5, 0, 0)),
    ("late, after the next try was refused", [hold(0, 5, 1, event_id="h"), ("void", CALLS[0], T[2], {"event_id": "v"}),
     hold(0, 50, 3, key=("ab" * 32, "cd" * 32), follows="v"), ("settle", CALLS[0], 4, T[5], {"follows": "h"})],
     ["ok", "ok", "insufficient_credits", "already_resolved"], (30, 0, 0, 0, 4)),
    ("key stays refused", [hold(0, 50, 1, key=("ab" * 32, "cd" * 32)), hold(1, 5, 1, key=("ab" * 32, "cd" * 32))],
     ["insufficient_credits", "idempotency_refused"], (30, 0, 0, 0, 0)),
    ("a grant is given once", [("grant", A, LOTS[1], "purchase", 20, None)], ["ok"], (30, 0, 0, 0, 0)),
    ("a call is held once", [hold(0, 5, 1), hold(0, 5, 2)], ["ok", "call_exists"], (25, 5, 0, 0, 0)),
    ("settled, then held again", [hold(0, 5, 1), ("settle", CALLS[0], 5, T[2]), hold(0, 5, 3)],
     ["ok", "ok", "call_exists"], (25, 0, 5, 0, 0)),
    ("extended too late", [hold(0, 5, 1), ("void", CALLS[0], T[2]), ("extend", CALLS[0], 5, T[3])],
     ["ok", "ok", "already_resolved"], (30, 0, 0, 0, 0)),
    ("expired twice", [hold(0, 5, 1), ("expire", CALLS[0], 2, T[2]), ("expire", CALLS[0], 2, T[3])],
     ["ok", "ok", "already_resolved"], (30, 0, 0, 0, 2)),
    ("unknown expiry and extension", [("expire", CALLS[0], 2, T[2]), ("extend", CALLS[0], 2, T[2])],
     ["unknown_call", "unknown_call"], (30, 0, 0, 0, 0)),
    ("expired, then held again", [hold(0, 5, 1), ("expire", CALLS[0], 2, T[2]), hold(0, 6, 3, follows="-")],
     ["ok", "ok", "ok"], (24, 6, 0, 0, 2)),
    ("refused with a key, then resolved", [hold(0, 50, 1, key=("ab" * 32, "cd" * 32)), ("void", CALLS[0], T[2])],
     ["insufficient_credits", "unknown_call"], (30, 0, 0, 0, 0)),
    ("key voided, then another call", [hold(0, 5, 1, key=("ab" * 32, "cd" * 32)), ("void", CALLS[0], T[2]),
     hold(1, 5, 3, key=("ab" * 32, "cd" * 32))], ["ok", "ok", "call_exists"], (30, 0, 0, 0, 0)),
    ("absurd amounts", [hold(0, -1, 1), hold(0, MOST + 1, 1), hold(0, 1, 1, estimated_cost=-1),
     ("grant", A, LOTS[2], "bonus", 0, None), hold(0, 5, 1), ("extend", CALLS[0], -1, T[2]),
     ("extend", CALLS[0], MOST - 4, T[2]), ("settle", CALLS[0], MOST + 1, T[3])],
     [*["amount_out_of_range"] * 4, "ok", *["amount_out_of_range"] * 3], (25, 5, 0, 0, 0)),
    ("extended after a lot's end", [hold(0, 5, 1), ("extend", CALLS[0], 21, T[20])],
     ["ok", "insufficient_credits"], (20, 5, 0, 5, 0)),
    ("settled above after a lot's end", [hold(0, 5, 1), ("settle", CALLS[0], 30, T[20])],
     ["ok", "ok"], (0, 0, 25, 5, 5)),
    ("voided too late", [hold(0, 5, 1), ("settle", CALLS[0], 5, T[2]), ("void", CALLS[0], T[3])],
     ["ok", "ok", "already_resolved"], (25, 0, 5, 0, 0)),
    ("the last of a lot expires too", [hold(0, 9, 1), hold(1, 1, 20)], ["ok", "ok"], (19, 10, 0, 1, 0)),
    ("late twice", [hold(0, 5, 1), ("void", CALLS[0], T[2]), ("settle", CALLS[0], 4, T[3]),
     ("settle", CALLS[0], 6, T[4])], ["ok", "ok", "already_resolved", "already_resolved"],
     (30, 0, 0, 0, 6)),
]
# fmt: on


@pytest.mark.parametrize(
    ("lines", "answers", "expected"), [row[1:] for row in LINES], ids=[row[0] for row in LINES]
)
def test_commands(
    lines: list[tuple[Any, ...]], answers: list[str], expected: tuple[int, ...]
) -> None:
    """Commands, their answers, and then available, held, settled, breakage, house loss
    (P1, P3, P4, money rule 3, money rule 7, money rule 8, money rule 9, money rule 11).
    """
    model = ledger()
    got = []
    for name, *arguments in lines:
        more = arguments.pop() if isinstance(arguments[-1], dict) else {}
        got.append(getattr(model, name)(*arguments, **more))
    assert got == answers
    assert figures(model) == expected
    assert model.state.trial_balance_sum() == 0


def test_what_can_be_spent_leaves_out_lots_that_have_ended() -> None:
    """Booked or not, a lot stops counting at its instant (money rule 9)."""
    model = ledger()
    assert [model.available_at(A, T[at]) for at in (9, 10, 11)] == [30, 20, 20]
    assert model.state.account(A).available == 30


def test_events_carry_what_was_asked_and_what_was_there() -> None:
    """Replay needs the figures on the events, not only the balances (P8)."""
    model = ledger()
    model.hold(CALLS[0], A, 12, T[1], estimated_cost=3)
    model.settle(CALLS[0], 11, T[2])
    model.hold(CALLS[1], A, 50, T[3], key=("ab" * 32, "cd" * 32))
    model.settle(CALLS[0], 4, T[4])
    trial, bought, placed, settled, refused, late = model.log
    assert isinstance(trial, ev.CreditsGranted) and trial.priority == 10
    assert isinstance(bought, ev.CreditsGranted) and bought.priority == 30
    assert isinstance(placed, ev.HoldPlaced) and placed.estimated_cost_nano_usd == 3
    assert isinstance(settled, ev.HoldSettled)
    assert (settled.cost_nano_usd, settled.cost_exact_nano_usd) == (11, "11")
    assert isinstance(refused, ev.HoldRefused)
    assert (refused.available_nano_usd, refused.amount_nano_usd) == (19, 50)
    assert isinstance(late, ev.HouseLossBooked)
    assert (late.cost_nano_usd, late.house_loss_nano_usd) == (4, 4)


def test_an_empty_lot_has_nothing_to_expire() -> None:
    """Its end is no event: it would move no money (money rule 9)."""
    model = ledger()
    model.hold(CALLS[0], A, 10, T[1])
    model.hold(CALLS[1], A, 5, T[20])
    assert not [event for event in model.log if isinstance(event, ev.LotExpired)]


def test_a_late_outcome_is_booked_on_its_own_account() -> None:
    """Whatever other accounts did meanwhile (P2)."""
    model, other = ledger(), CALLS[4]
    model.hold(CALLS[0], A, 5, T[1])
    model.void(CALLS[0], T[2])
    model.grant(other, LOTS[2], "bonus", 9, None)
    model.settle(CALLS[0], 4, T[3])
    assert [model.state.account(each).house_loss for each in (A, other)] == [4, 0]


def test_every_event_posts_to_zero() -> None:
    """Double entry, event by event (P4)."""
    model = ledger()
    model.hold(CALLS[0], A, 12, T[1])
    model.settle(CALLS[0], 40, T[20])
    model.hold(CALLS[1], A, 0, T[21])
    model.expire(CALLS[1], 3, T[22])
    model.settle(CALLS[1], 9, T[23])
    for event in model.log:
        assert sum(line.amount_nano_usd for line in postings_of(event)) == 0
    assert model.state.trial_balance["house_loss"] == -model.state.account(A).house_loss


TAMPERED = [
    {"amount_nano_usd": 13},
    {"originator_version": 7},
    {"lots": []},
    {"lots": [{"lot_id": LOTS[0], "amount_nano_usd": 12}]},
]


@pytest.mark.parametrize("change", TAMPERED)
def test_replay_refuses_a_tampered_log(change: dict[str, Any]) -> None:
    """`ledger verify` would name the position (P8)."""
    model = ledger()
    model.hold(CALLS[0], A, 12, T[1])
    state = LedgerState()
    for event in model.log[:-1]:
        state.apply(event)
    with pytest.raises(InvalidTransitionError):
        state.apply(replace(model.log[-1], **change))


def test_a_first_version_grant_is_read_as_the_second() -> None:
    """The first schema had no priority: it follows from the kind (P5)."""
    old = {"kind": "trial", "amount_nano_usd": 5}
    topic, state = upcast("ledger.credits_granted.v1", old)
    assert topic == ev.CreditsGranted.TOPIC
    assert state == {"kind": "trial", "amount_nano_usd": 5, "priority": 10}
    assert "priority" not in old


def test_a_first_version_refusal_is_read_as_the_second() -> None:
    """Of all that was asked for, what its key needs is left, in the shorter writing (P5)."""
    old = {
        "id": "e",
        "account_id": A,
        "amount_nano_usd": 5,
        "price": {"version": "p"},
        "idempotency": {"key_hash": "ab" * 32, "digest": "cd" * 32},
    }
    topic, state = upcast("ledger.hold_refused.v1", old)
    assert topic == ev.HoldRefused.TOPIC
    assert set(state) == {"id", "account_id", "amount_nano_usd", "key_hash", "digest"}
    written = (b64encode(bytes.fromhex(each * 32)).decode().rstrip("=") for each in ("ab", "cd"))
    assert (state["key_hash"], state["digest"]) == tuple(written)


def test_streams_are_named_by_category_and_id() -> None:
    """call-<uuid>, credit_account-<uuid> (rule: contract)."""
    model = ledger()
    assert model.log[0].stream == f"credit_account-{A}"
    assert UUID(model.log[0].stream[-36:]) == UUID(A)
