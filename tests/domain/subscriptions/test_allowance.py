"""What a paid invoice gives: exact, once rounded, never less than nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidAmountError, InvalidCommandError
from domain.subscriptions.allowance import (
    QUANTITY_MAX,
    AbsurdInvoiceError,
    Line,
    Period,
    PeriodUnknownError,
    allowance_of,
)
from domain.subscriptions.tiers import OFFERS_MAX, Offer, Offers, Tier, highest, offers_of

NANO = 10**9
OFFERS = offers_of("pro=prod_pro/price_pro,max=prod_max/price_max")


def at(text: str) -> int:
    """A second of Unix time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


MONTHS = [
    ("2027-01-31", "2027-02-28"),
    ("2028-01-31", "2028-02-29"),
    ("2028-02-29", "2028-03-29"),
    ("2027-03-14", "2027-04-14"),
    ("2027-10-31", "2027-11-30"),
]


@pytest.mark.parametrize(("begins", "ends"), MONTHS)
def test_a_whole_period_gives_all_whatever_its_length(begins: str, ends: str) -> None:
    """Short months, leap days and days of 23 hours somewhere give no less (money rule 12)."""
    period = Period(at(begins), at(ends))
    for tier, usd in ((Tier.PRO, 20), (Tier.MAX, 150)):
        line = Line(tier, period, prorated=False, sign=1)
        assert allowance_of([line], OFFERS, []) == usd * NANO


@pytest.mark.parametrize(("begins", "ends"), MONTHS)
def test_a_change_gives_the_difference_for_the_rest(begins: str, ends: str) -> None:
    """A third of a period on: two thirds of 130 USD, rounded down once (P4)."""
    whole = Period(at(begins), at(ends))
    rest = Period(whole.begins + (whole.ends - whole.begins) // 3, whole.ends)
    up = [Line(Tier.PRO, rest, True, -1), Line(Tier.MAX, rest, True, 1)]
    exact = Fraction(130 * NANO * (rest.ends - rest.begins), whole.ends - whole.begins)
    assert allowance_of(up, OFFERS, [Period(0, 5), whole]) == int(exact)
    down = [line._replace(sign=-line.sign) for line in up]
    assert allowance_of(down, OFFERS, [whole]) == 0
    renewed = Line(Tier.PRO, Period(whole.ends, whole.ends + 2_592_000), prorated=False, sign=1)
    given = allowance_of([*down, renewed], OFFERS, [whole])
    assert given == max(0, (20 * NANO - exact).__floor__())


def test_a_line_that_costs_nothing_gives_nothing() -> None:
    """Nor does one of a tier that has no allowance (money rule 12)."""
    period = Period(0, 100)
    assert allowance_of([Line(Tier.MAX, period, prorated=False, sign=0)], OFFERS, []) == 0
    assert allowance_of([Line(Tier.BASIC, period, prorated=False, sign=1)], OFFERS, []) == 0
    assert allowance_of([], OFFERS, []) == 0


@given(st.integers(1, 10**7), st.integers(1, QUANTITY_MAX), st.data())
def test_parts_come_to_the_whole(length: int, quantity: int, data: st.DataObject) -> None:
    """Up and up again in one period never gives more than the highest from its begin (P4)."""
    whole = Period(0, length)
    first, second = sorted(data.draw(st.integers(0, length - 1)) for _ in range(2))
    begun = allowance_of([Line(Tier.PRO, whole, False, 1, quantity)], OFFERS, [])
    more = 0
    for change in (first, second):
        rest = Period(change, length)
        more += allowance_of(
            [
                Line(Tier.PRO, rest, prorated=True, sign=-1, quantity=quantity),
                Line(Tier.MAX, rest, prorated=True, sign=1, quantity=quantity),
                Line(Tier.MAX, rest, prorated=True, sign=-1, quantity=quantity),
                Line(Tier.PRO, rest, prorated=True, sign=1, quantity=quantity),
            ],
            OFFERS,
            [whole],
        )
    rest = Period(second, length)
    more += allowance_of(
        [
            Line(Tier.PRO, rest, prorated=True, sign=-1, quantity=quantity),
            Line(Tier.MAX, rest, prorated=True, sign=1, quantity=quantity),
        ],
        OFFERS,
        [whole],
    )
    assert begun + more <= 150 * NANO * quantity


@pytest.mark.parametrize("quantity", [0, -1, QUANTITY_MAX + 1, 10**30])
def test_absurd_lines_give_nothing(quantity: int) -> None:
    """No quantity but a small one, no time that ends before it begins (rule: refuse clearly)."""
    line = Line(Tier.PRO, Period(0, 10), prorated=False, sign=1, quantity=quantity)
    with pytest.raises(AbsurdInvoiceError):
        allowance_of([line], OFFERS, [])
    with pytest.raises(AbsurdInvoiceError):
        allowance_of([line._replace(quantity=1, period=Period(10, 10))], OFFERS, [])


def test_a_part_of_an_unknown_period_waits() -> None:
    """It is not guessed (P10)."""
    line = Line(Tier.PRO, Period(5, 10), prorated=True, sign=1)
    for known in ([], [Period(0, 11)], [Period(6, 10)]):
        with pytest.raises(PeriodUnknownError):
            allowance_of([line], OFFERS, known)


def test_offers_are_read() -> None:
    """Several prices of a product, amounts of tiers; the order of tiers (rule: contract)."""
    found = offers_of("pro=prod_a/price_1, pro=prod_a/price_2,max=prod-b/price_3,", "pro=7.5")
    assert found.offered("price_2", "prod_a") == Offer(Tier.PRO, "prod_a", "price_2")
    assert found.offered("price_3", None).tier is Tier.MAX
    assert (found.allowance(Tier.PRO), found.allowance(Tier.MAX)) == (7_500_000_000, 150 * NANO)
    assert (found.allowance(Tier.BASIC), found.tier_of("prod_z")) == (0, None)
    assert found.tier_of("prod-b") is Tier.MAX
    for price, product in (("price_9", None), ("price_1", "prod-b"), ("x" * 300, "")):
        with pytest.raises(InvalidCommandError, match="there is no price"):
            found.offered(price, product)
    assert (highest([]), highest([Tier.PRO, Tier.MAX, Tier.BASIC])) == (Tier.BASIC, Tier.MAX)


@pytest.mark.parametrize(
    "text",
    [
        "pro",
        "pro=prod_a",
        "pro=prod_a/",
        "pro=prod a/price_1",
        f"pro={'p' * 256}/price_1",
        "basic=prod_a/price_1",
        "gold=prod_a/price_1",
        "pro=prod_a/price_1,max=prod_a/price_2",
        "pro=prod_a/price_1,max=prod_b/price_1",
        ",".join(f"pro=prod_a/price_{n}" for n in range(OFFERS_MAX + 1)),
    ],
)
def test_what_is_no_offer_is_refused(text: str) -> None:
    """With the reason (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError):
        offers_of(text)


@pytest.mark.parametrize("usd", ["-1", "0", "ten", "1e30"])
def test_an_absurd_allowance_is_refused(usd: str) -> None:
    """As every amount is (rule: refuse clearly)."""
    with pytest.raises(InvalidAmountError):
        offers_of("", f"pro={usd}")
    assert isinstance(offers_of(""), Offers)
