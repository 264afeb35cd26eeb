"""Charges worked out anew from their hold, and every way in which they can be wrong."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from domain.events import ledger as ev
from domain.ledger.holds import HoldState
from domain.ledger.state import NEW, Closed, LedgerState, closed_by
from domain.pricing import charges
from domain.pricing.charges import Prices, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL = UUID("00000000-0000-7000-8000-0000000000c1")
ENVELOPE: dict[str, Any] = {
    "originator_id": CALL,
    "originator_version": 2,
    "id": "e",
    "effective_at": "-",
    "actor": "-",
    "correlation_id": "r",
    "account_id": "a",
}
TERMS = {"input_per_million": "0.15", "output_per_million": "0.60"}
USAGE = {"input_tokens": 3, "output_tokens": 5, "source": "estimated", "implausible": True}
COST = 3_450  # 3 x 150 + 5 x 600


def price(provider: str, model: str, terms: Mapping[str, str] = TERMS) -> dict[str, str]:
    """A price as a hold states it."""
    version = version_of(provider, model, "file", terms)
    return {"version": version, "source": "file", "effective_at": "-", **terms}


HOLD = ev.HoldPlaced(
    **{**ENVELOPE, "originator_version": 1, "id": "h"},
    user_id="u",
    key_id="k",
    provider="p",
    model="m",
    amount_nano_usd=5_000,
    estimated_cost_nano_usd=700,
    input_tokens_bound=1,
    output_tokens_bound=1,
    stream_reply=False,
    price=price("p", "m"),
    alternatives=[{"provider": "q", "model": "n", "price": price("q", "n")}],
)
SETTLED = ev.HoldSettled(
    **{**ENVELOPE, "causation_id": "h"},
    usage=USAGE,
    cost_nano_usd=COST,
    cost_exact_nano_usd=f"{COST}.00",
    price_version=HOLD.price["version"],
    provider="p",
    model="m",
    settled_nano_usd=COST - 50,
    house_loss_nano_usd=50,
)
SEARCHED = replace(HOLD, price=price("p", "m", {**TERMS, "extra_web_search": "0.01"}))
SEARCH = replace(
    SETTLED,
    usage={**USAGE, "extras": ["web_search"]},
    price_version=SEARCHED.price["version"],
    cost_nano_usd=COST + 10_000_000,
    cost_exact_nano_usd=f"{COST + 10_000_000}",
    settled_nano_usd=COST + 10_000_000 - 50,
)
VOIDED = ev.HoldVoided(**{**ENVELOPE, "causation_id": "h"})
EXPIRED = ev.HoldExpired(**{**ENVELOPE, "correlation_id": "sweep"}, house_loss_nano_usd=700)
EXTENDED = ev.HoldExtended(**ENVELOPE, amount_nano_usd=1)
LATE = ev.HouseLossBooked(
    **ENVELOPE,
    usage=USAGE,
    cost_nano_usd=COST,
    cost_exact_nano_usd=str(COST),
    price_version=HOLD.price["version"],
    provider="p",
    model="m",
    house_loss_nano_usd=COST - 700,
)


def faults(
    event: ev.CallEvent, hold: ev.HoldPlaced = HOLD, lost: tuple[int, ...] = (0,)
) -> list[str]:
    """What is wrong with an event of the call."""
    return list(Prices().faults_of(hold, event, lost))


@pytest.mark.parametrize("event", [SETTLED, VOIDED, EXPIRED, EXTENDED, HOLD])
def test_what_follows_from_its_hold_is_right(event: ev.CallEvent) -> None:
    """A charge, a void, an expiry, an extension (P4, money rule 1)."""
    assert faults(event) == []


def test_a_late_outcome_is_lost_but_for_what_was_lost_before() -> None:
    """Its cost is that of its usage too (money rule 11)."""
    assert faults(LATE, lost=(700, 900)) == []
    assert "of which 0 was lost before" in faults(LATE)[0]


def test_an_alternative_is_settled_by_its_own_price() -> None:
    """A hold names every offer that may be tried (money rule 12)."""
    other = HOLD.alternatives[0]["price"]["version"]
    assert faults(replace(SETTLED, provider="q", model="n", price_version=other)) == []
    assert "does not state" in faults(replace(SETTLED, price_version=other))[0]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (replace(SETTLED, account_id="b"), "is of account b, its hold of a"),
        (replace(SETTLED, causation_id="x"), "names x as its cause"),
        (replace(VOIDED, causation_id="x"), "names x as its cause"),
        (replace(SETTLED, correlation_id="x"), "has the request id 'x'"),
        (replace(SETTLED, actor="api_key:x"), "is by api_key:x, its hold of -"),
        (replace(VOIDED, actor="api_key:x"), "is by api_key:x, its hold of -"),
        (replace(SETTLED, settled_nano_usd=1), "books 51 for a cost of 3450"),
        (replace(SETTLED, cost_nano_usd=COST - 1, settled_nano_usd=COST - 51), "costs 3450 (3450"),
        (replace(SETTLED, cost_exact_nano_usd="3450.4"), "costs 3450 (3450"),
        (replace(SETTLED, usage={**USAGE, "output_tokens": 6}), "costs 4050"),
        (replace(SETTLED, usage={**USAGE, "output_tokens": -1}), "a usage that cannot be"),
        (replace(SETTLED, usage={**USAGE, "output_tokens": True}), "a usage that cannot be"),
        (replace(SETTLED, usage={}), "states no usage"),
        (replace(VOIDED, settled_nano_usd=2), "is void and charges 2"),
        (replace(VOIDED, house_loss_nano_usd=5), "is void and books a loss of 5"),
        (replace(EXPIRED, house_loss_nano_usd=2), "expired with 2 lost, 700 estimated"),
    ],
)
def test_what_does_not_follow_is_named(event: ev.CallEvent, said: str) -> None:
    """Each figure and each binding by itself (P4, P5)."""
    (fault,) = faults(event)
    assert said in fault


def test_who_acted_is_the_holds_own_key_or_the_system() -> None:
    """A caller's hold names its key; what the system ended was no caller's doing (P5)."""
    assert list(Prices().faults_of_hold(replace(HOLD, actor="api_key:k"))) == []
    (fault,) = Prices().faults_of_hold(replace(HOLD, actor="api_key:other"))
    assert fault == "is by api_key:other, whose key is k"
    assert faults(replace(VOIDED, actor="system:recovery")) == []


def test_a_price_is_named_by_its_content() -> None:
    """Changed terms, another version, or terms that are no price (P4, money rule 12)."""
    for changed in ({"output_per_million": "0.61"}, {"version": "p/m@0"}, {"source": "elsewhere"}):
        hold = replace(HOLD, price={**HOLD.price, **changed})
        (fault,) = Prices().faults_of_hold(hold)
        assert "whose terms are not those of" in fault
    wrong = price("p", "m", {"input_per_million": "-1", "output_per_million": "0"})
    hold = replace(HOLD, price=wrong)
    (fault,) = Prices().faults_of_hold(hold)
    assert "that is none: input_per_million" in fault
    # The settlement's own figures say nothing then: the hold was named already.
    assert faults(replace(SETTLED, price_version=wrong["version"]), hold) == []
    assert list(Prices().faults_of_hold(HOLD)) == []


def test_the_digest_is_of_what_was_always_digested() -> None:
    """A version's name may never change: events cite it (P5)."""
    named = version_of("p", 'größe\u2028\n\x01/"m"', "file", TERMS)
    content = msgspec.json.encode(["p", 'größe\u2028\n\x01/"m"', "file", sorted(TERMS.items())])
    assert blake2b(content, digest_size=6).hexdigest() == named.rpartition("@")[2]
    assert version_of("p", "m", "file", TERMS) == "p/m@8c792a7531bb"


def test_prices_are_compiled_once_and_not_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few prices stand on many calls (rule: bounded)."""
    monkeypatch.setattr(charges, "PRICES_MAX", 1)
    prices = Prices()
    first = prices.stated("p", "m", price("p", "m"))
    assert prices.stated("p", "m", price("p", "m")) is first
    prices.stated("q", "m", price("q", "m"))
    assert prices.stated("p", "m", price("p", "m")) is not first


def test_a_call_that_was_let_go_is_recalled() -> None:
    """The fold of a long log keeps no call that ended; a further event asks for it (P8)."""
    asked: list[str] = []
    voided = replace(VOIDED, held_nano_usd=0)
    hold = replace(HOLD, amount_nano_usd=0)

    def recall(call_id: str) -> Closed:
        asked.append(call_id)
        return closed_by([hold, voided])

    state = LedgerState(recall=recall)
    state.apply(hold)
    state.apply(voided)
    state.closed.clear()
    state.apply(replace(hold, originator_version=3))
    assert asked == [str(CALL)]
    assert state.open_holds[str(CALL)].version == 3
    assert LedgerState().recall("anything") == NEW


def test_how_a_stream_leaves_its_call() -> None:
    """State, version and loss, of expiry and of what came late (money rule 11)."""
    late = replace(LATE, originator_version=3)
    assert closed_by([]) == NEW
    assert closed_by([HOLD, EXPIRED]) == Closed(HoldState.EXPIRED, 2, 700)
    assert closed_by([HOLD, EXPIRED, late]) == Closed(HoldState.EXPIRED, 3, COST)


def test_an_extra_is_worked_out_by_the_price_of_its_hold() -> None:
    """What a call asked for beside its tokens, and nothing that its price lacks (money rule 1)."""
    assert list(Prices().faults_of(SEARCHED, SEARCH)) == []
    for extras, said in (
        ([], "costs 10003450"),
        (["speed"], "charges for speed, which its price does not have"),
        ("web_search", "states extras that cannot be"),
        ([7], "states extras that cannot be"),
    ):
        wrong = replace(SEARCH, usage={**USAGE, "extras": extras})
        (fault,) = Prices().faults_of(SEARCHED, wrong)
        assert fault.startswith(said)
