"""Order of offers, and how they are doing: pure rules in tables and small stories."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.routing.health import BreakerLimits, OfferHealth
from domain.routing.order import Choice, Policy, Sort, Wishes, arrange

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


def test_the_least_busy_has_the_fewest_tries_without_output() -> None:
    """A try counts until it gave output, failed, was limited or was given up; what other gateways
    tell of theirs counts for nothing (rule: routing).
    """
    offers = [choice("a"), choice("b"), choice("c")]
    policy = Policy(sort=Sort.LEAST_BUSY)

    def first() -> str:
        found = arrange(offers, policy, Wishes(), now_ms=0, dice=0, caller="x")
        return offers[found[0]].provider

    a, b, c = (each.health for each in offers)
    a.failed(0)
    assert a.waiting == 0
    for each in (a, a, b):
        each.begin(0)
    assert first() == "c"
    c.begin(0)
    c.begin(0)
    assert first() == "b"
    a.succeeded(5)
    a.neutral()
    assert (a.waiting, first()) == (0, "a")
    c.limited(0, 0)
    c.failed(0)
    assert c.waiting == 0


def test_of_two_drawn_the_one_with_less_to_wait_for_is_first() -> None:
    """The slowest is never first while nobody waits, and each of the others is (rule: routing)."""
    offers = [choice("a", latency=10), choice("b", latency=900), choice("c", latency=11)]
    policy = Policy(sort=Sort.LOWEST_LATENCY)

    def firsts() -> Counter[str]:
        found = (
            arrange(offers, policy, Wishes(), now_ms=0, dice=dice, caller="x")
            for dice in range(600)
        )
        return Counter(offers[each[0]].provider for each in found)

    quiet = firsts()
    assert quiet["b"] == 0
    assert quiet["a"] > 300 and quiet["c"] > 150
    for _ in range(200):
        offers[0].health.begin(0)
    busy = firsts()
    assert busy["a"] == 0 and busy["b"] > 150
    offers[1].health.latency_ms = None
    assert firsts()["b"] > 300, "what was never tried is tried"
    for _ in range(LIMITS.failures):
        offers[2].health.failed(0)
    assert firsts()["c"] == 0
    only_c = Wishes(only=("c",))
    assert arrange(offers, policy, only_c, now_ms=0, dice=1, caller="x") == [2]


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


def test_an_offer_in_trouble_comes_last_and_stays_in() -> None:
    """Better a try than a refusal: broken after cooling after good (rule: routing)."""
    offers = [choice("a"), choice("b"), choice("c")]
    for _ in range(3):
        offers[0].health.failed(0)
    offers[1].health.limited(0, 1_000)
    found = arrange(offers, Policy(), Wishes(order=("a",)), now_ms=1, dice=0, caller="x")
    assert found == [2, 1, 0]


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
