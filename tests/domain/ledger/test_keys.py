"""What an idempotency key answers, and when it is forgotten (money rule 8)."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.ledger.holds import HoldState
from domain.ledger.keys import (
    CALL_EXISTS,
    KEY_IN_PROGRESS,
    KEY_REFUSED,
    KEY_REUSED,
    KEY_SETTLED,
    answer_of_key,
    named_key,
)
from domain.ledger.model.ledger import ModelLedger

A, LOT = str(UUID(int=1)), str(UUID(int=2))
NOW = "2026-01-01T00:00:00.000000Z"
KEYS = {name: (name * 64, "f" * 64) for name in "abcd"}


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (HoldState.HELD, KEY_IN_PROGRESS),
        (HoldState.SETTLED, KEY_SETTLED),
        (HoldState.REFUSED, KEY_REFUSED),
        (HoldState.VOIDED, None),
        (HoldState.EXPIRED, None),
    ],
)
def test_a_known_key_answers_by_its_hold(state: HoldState, answer: str | None) -> None:
    """Only a call that ended without a charge may go on, and no other call in its place (P3)."""
    known = ("digest", "call", state)
    assert answer_of_key(known, "digest", "call") == answer
    assert answer_of_key(known, "digest", "another") == (answer or CALL_EXISTS)
    assert answer_of_key(known, "other", "call") == KEY_REUSED


def called(model: ModelLedger, number: int, key: str, *, amount: int = 1) -> str:
    """A call with a hold under a key; its id, which is that of the event too."""
    call = str(UUID(int=number))
    model.hold(call, A, amount, NOW, key=KEYS[key], event_id=call)
    return call


def test_a_key_is_forgotten_with_the_event_that_last_asked_for_it() -> None:
    """A hold without a key, and keys that others asked for, stay as they are (money rule 8)."""
    model = ModelLedger()
    model.grant(A, LOT, "bonus", 30, None)
    settled, refused, open_ = (
        called(model, 11, "a"),
        called(model, 12, "b", amount=90),
        called(model, 13, "c"),
    )
    model.settle(settled, 1, NOW)
    young = called(model, 14, "d")
    model.void(young, NOW, event_id="void")
    model.hold(young, A, 1, NOW, key=KEYS["d"], event_id="later", follows="void")
    model.void(young, NOW, event_id="again")
    model.prune({settled, refused, open_, young})
    assert {key[0] for key in model.state.idempotency} == {"c", "d"}
    model.hold(young, A, 1, NOW, event_id="without", follows="again")
    model.prune({"without"})
    assert {key[0] for key in model.state.idempotency} == {"c", "d"}
    model.prune({"later"})
    assert {key[0] for key in model.state.idempotency} == {"c"}
    assert model.hold(str(UUID(int=15)), A, 1, NOW, key=KEYS["a"]) == "ok"


def test_who_asks_again_leaves_its_key_open() -> None:
    """Refused for funds it leaves no trace, so that the same key holds once there are credits; at
    last it asks as anybody does, and is refused for good (P3, money rule 8).
    """
    model = ModelLedger()
    model.grant(A, LOT, "bonus", 5, None)
    call, events = str(UUID(int=21)), len(model.log)
    for _ in range(2):
        answer = model.hold(call, A, 9, NOW, key=KEYS["a"], event_id=call, asks_again=True)
        assert answer == "insufficient_credits"
    assert (len(model.log), model.state.idempotency) == (events, {})
    other = str(UUID(int=22))
    assert model.hold(other, A, 5, NOW, key=KEYS["a"], event_id=other, asks_again=True) == "ok"
    assert model.hold(call, A, 9, NOW, key=KEYS["b"], event_id=call) == "insufficient_credits"
    again = model.hold(call, A, 9, NOW, key=KEYS["b"], event_id=call, asks_again=True)
    assert again != "insufficient_credits"
    assert named_key("h", "d", asks_again=True) == {
        "key_hash": "h",
        "digest": "d",
        "refusal": "open",
    }
    assert named_key("h", "d", asks_again=False) == {"key_hash": "h", "digest": "d"}
