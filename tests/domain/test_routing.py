"""Order of offers, and how they are doing: pure rules in tables and small stories."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.routing import (
    BreakerLimits,
    BreakerState,
    Choice,
    OfferHealth,
    Policy,
    Sort,
    Standing,
    Verdict,
    Wishes,
    arrange,
    verdict_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = BreakerLimits(failures=3, open_ms=1_000, successes=2, cool_down_ms=500)


def choice(provider: str, price: int = 10, latency: int | None = None) -> Choice:
    """An offer that is doing well."""
    usd = Decimal(price)
    return Choice(provider, price, usd, usd, OfferHealth(LIMITS, latency_ms=latency))


OFFERS = [choice("a", 30, 10), choice("b", 10, 90), choice("c", 20, 50)]


def order(policy: Policy, wishes: Wishes | None = None, *, dice: int = 1, caller: str = "x") -> str:
    """Providers in the order in which they are tried."""
    found = arrange(OFFERS, policy, wishes or Wishes(), now_ms=0, dice=dice, caller=caller)
    return "".join(OFFERS[index].provider for index in found)


ORDERS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, "abc"),
    ({"sort": Sort.CHEAPEST}, {}, "bca"),
    ({"sort": Sort.FASTEST}, {}, "acb"),
    ({"order": ("c",)}, {}, "cab"),
    ({"order": ("c", "b"), "sort": Sort.CHEAPEST}, {}, "cba"),
    # The caller's wishes come before the operator's order.
    ({"order": ("c",)}, {"order": ("b",)}, "bac"),
    ({}, {"sort": Sort.CHEAPEST}, "bca"),
    ({}, {"only": ("b", "c")}, "bc"),
    ({}, {"ignore": ("a",)}, "bc"),
    ({}, {"order": ("c", "a"), "allow_fallbacks": False}, "ca"),
    ({}, {"max_input": Decimal(20)}, "bc"),
    ({}, {"max_output": Decimal(9)}, ""),
]


@pytest.mark.parametrize(("policy", "wishes", "expected"), ORDERS)
def test_order(policy: dict[str, Any], wishes: dict[str, Any], expected: str) -> None:
    """Each line: the operator's policy, the caller's wishes, and the order (rule: routing)."""
    assert order(Policy(**policy), Wishes(**wishes)) == expected


def test_what_was_never_tried_is_tried_first_by_the_fastest() -> None:
    """Nothing else would tell how fast it is (rule: routing)."""
    offers = [choice("a", latency=10), choice("new")]
    found = arrange(offers, Policy(sort=Sort.FASTEST), Wishes(), now_ms=0, dice=0, caller="x")
    assert found == [1, 0]


def test_weights_are_shares() -> None:
    """Of many calls each provider gets its share; weight 0 comes last (rule: routing)."""
    policy = Policy(sort=Sort.WEIGHTED, weights={"a": 3, "b": 1, "c": 0})
    firsts = Counter(order(policy, dice=dice)[0] for dice in range(2_000))
    assert firsts["c"] == 0
    assert 1_350 < firsts["a"] < 1_650
    assert order(policy, dice=7).endswith("c")


def test_sticky_sticks_to_the_caller() -> None:
    """The same caller gets the same provider; all callers get all of them (rule: routing)."""
    policy = Policy(sort=Sort.STICKY)
    assert {order(policy, dice=dice, caller="me") for dice in range(20)} == {
        order(policy, caller="me")
    }
    assert len({order(policy, caller=str(number))[0] for number in range(60)}) == 3


def test_a_breaker_opens_probes_and_closes() -> None:
    """Open after so many failures, one probe at a time, closed by successes (rule: routing)."""
    health = OfferHealth(LIMITS)
    for _ in range(2):
        health.failed(0)
    assert health.standing(0) is Standing.GOOD
    health.failed(0)
    assert (health.state(0), health.standing(999)) == (BreakerState.OPEN, Standing.BROKEN)
    assert (health.state(1_000), health.standing(1_000)) == (
        BreakerState.HALF_OPEN,
        Standing.GOOD,
    )
    health.begin(1_000)
    assert health.standing(1_000) is Standing.BROKEN, "others wait for the probe"
    health.failed(1_100)
    assert health.state(2_000) is BreakerState.OPEN
    for at in (2_100, 2_200):
        health.begin(at)
        health.succeeded(5)
    assert health.state(2_200) is BreakerState.CLOSED


def test_a_probe_that_ends_by_somebody_elses_fault_frees_its_place() -> None:
    """The next caller probes; a closed breaker has no probe at all (P12)."""
    health = OfferHealth(LIMITS)
    health.begin(0)
    assert health.standing(0) is Standing.GOOD
    for _ in range(3):
        health.failed(0)
    health.begin(1_000)
    assert health.standing(1_000) is Standing.BROKEN
    health.neutral()
    assert (health.state(1_000), health.standing(1_000)) == (
        BreakerState.HALF_OPEN,
        Standing.GOOD,
    )


def test_success_forgets_earlier_failures() -> None:
    """Only consecutive failures open a breaker (rule: routing)."""
    health = OfferHealth(LIMITS)
    for _ in range(5):
        health.failed(0)
        health.failed(0)
        health.succeeded(5)
    assert health.untroubled


def test_a_cool_down_lasts_as_long_as_the_provider_says() -> None:
    """429 with Retry-After, without it, and with a foolish one (rule: routing, rule: bounded)."""
    for told, until in ((2_000, 2_000), (None, 500), (10**12, LIMITS.cool_down_max_ms)):
        health = OfferHealth(LIMITS)
        health.limited(0, told)
        assert health.standing(until - 1) is Standing.COOLING
        assert health.standing(until) is Standing.GOOD


def test_an_offer_in_trouble_comes_last_and_stays_in() -> None:
    """Better a try than a refusal: broken after cooling after good (rule: routing)."""
    offers = [choice("a"), choice("b"), choice("c")]
    for _ in range(3):
        offers[0].health.failed(0)
    offers[1].health.limited(0, 1_000)
    found = arrange(offers, Policy(), Wishes(order=("a",)), now_ms=1, dice=0, caller="x")
    assert found == [2, 1, 0]


def test_latency_is_an_average_that_follows() -> None:
    """An eighth of the distance a time, in whole milliseconds (rule: routing)."""
    health = OfferHealth(LIMITS)
    health.succeeded(100)
    health.succeeded(180)
    assert health.latency_ms == 110


VERDICTS = [
    *((status, Verdict.CALLER) for status in (400, 413, 422)),
    (429, Verdict.LIMITED),
    (409, Verdict.SKIPPED),
    *((status, Verdict.PROVIDER) for status in (None, 200, 401, 402, 403, 404, 408, 500, 503, 529)),
]


@pytest.mark.parametrize(("status", "verdict"), VERDICTS)
def test_verdicts(status: int | None, verdict: Verdict) -> None:
    """What fails over, and what is held against the provider (rule: routing)."""
    assert verdict_of(status) is verdict


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=8),
    st.sampled_from(list(Sort)),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_every_order_is_of_the_admitted_offers(
    made: Sequence[tuple[str, int]], sort: Sort, dice: int, strict: bool
) -> None:
    """None twice, none that was not admitted, none forgotten (rule: routing)."""
    offers = [choice(name, price) for name, price in made]
    wishes = Wishes(order=("a", "b"), allow_fallbacks=not strict)
    found = arrange(offers, Policy(sort=sort), wishes, now_ms=0, dice=dice, caller="x")
    admitted = [i for i, each in enumerate(offers) if not strict or each.provider in "ab"]
    assert sorted(found) == admitted
