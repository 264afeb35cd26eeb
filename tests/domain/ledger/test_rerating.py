"""Calls rated by another version of a price: exact, or left as they are with why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.events.ledger import ChargeCorrected, HoldSettled
from domain.ledger.rerating import STATED, NotRated, Rated, Why, rate
from domain.pricing.money import ENTRY_NANO_USD_MAX
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms

CALL = UUID("00000000-0000-7000-8000-0000000000c1")
ENVELOPE: dict[str, Any] = {
    "originator_id": CALL,
    "originator_version": 2,
    "id": "e",
    "effective_at": "2026-01-01T00:00:00.000000Z",
    "actor": "test",
    "correlation_id": "c",
    "account_id": "a",
}
OFFER = ("p", "m")
USAGE = {"input_tokens": 100, "output_tokens": 50}
TERMS = {"input_per_million": "1", "output_per_million": "2"}
SETTLED = HoldSettled(
    **ENVELOPE,
    usage=USAGE,
    cost_nano_usd=200_000,
    cost_exact_nano_usd="200000",
    settled_nano_usd=200_000,
    price_version="old",
    provider="p",
    model="m",
    lots=[{"lot_id": "l", "amount_nano_usd": 200_000}],
)


def price(version: str = "new", **terms: str) -> PriceVersion:
    """A price of these terms."""
    parsed = PriceTerms.parse(terms or TERMS)
    return PriceVersion(version=version, source="s", effective_at="", terms=parsed)


def corrected(version: str, cost: int, charged: int) -> ChargeCorrected:
    """A correction to a cost, from what was charged before."""
    taken, back = max(cost - charged, 0), max(charged - cost, 0)
    return ChargeCorrected(
        **ENVELOPE,
        price_version=version,
        cost_nano_usd=cost,
        lot_id="n",
        taken_nano_usd=taken,
        returned_nano_usd=back,
        lots=[{"lot_id": "l", "amount_nano_usd": taken}],
        returned_lots=[{"lot_id": "l", "amount_nano_usd": back}],
    )


def rated(settled: HoldSettled, by: PriceVersion, *before: ChargeCorrected) -> Rated:
    """A call that can be rated."""
    found = rate(settled, before, OFFER, by)
    assert isinstance(found, Rated)
    return found


@pytest.mark.parametrize(
    ("usage", "terms", "exact"),
    [
        (USAGE, {"input_per_million": "0.0005", "output_per_million": "0.0001"}, "55"),
        (
            {**USAGE, "cached_input_tokens": 40, "cache_write_tokens": 10},
            {**TERMS, "cached_input_per_million": "0.1", "cache_write_per_million": "1.25"},
            "166500",
        ),
        ({**USAGE, "reasoning_tokens": 20}, {**TERMS, "reasoning_per_million": "5"}, "260000"),
        (
            {**USAGE, "input_tokens": 300},
            {**TERMS, "input_per_million_above_200": "2"},
            "700000",
        ),
        (
            {**USAGE, "extras": ["web_search"]},
            {**TERMS, "extra_web_search": "0.00001"},
            "210000",
        ),
        ({"input_tokens": 1, "output_tokens": 0}, {**TERMS, "input_per_million": "0.0005"}, "0.5"),
        (
            {"input_tokens": 0, "output_tokens": 0, "images": 2},
            {"per_image": "0.04"},
            "80000000",
        ),
    ],
)
def test_a_call_is_rated_on_its_usage_as_recorded(
    usage: dict[str, Any], terms: dict[str, str], exact: str
) -> None:
    """Cached, written, reasoned, by tier, with extras, of images (P4, money rule 1)."""
    found = rated(replace(SETTLED, usage=usage), price(**terms))
    assert found.new_exact == exact
    assert found.new == round(float(exact))
    assert (found.old, found.old_exact) == (200_000, "200000")
    assert found.charge == found.new - found.old
    assert found.changes


def test_the_same_cost_changes_nothing() -> None:
    """There is nothing to correct (money rule 17)."""
    assert not rated(SETTLED, price()).changes


def test_what_was_house_loss_stays_house_loss() -> None:
    """Who paid less than it cost pays no more, and gets back what is above (money rule 17)."""
    poor = replace(
        SETTLED,
        settled_nano_usd=150_000,
        house_loss_nano_usd=50_000,
        lots=[{"lot_id": "l", "amount_nano_usd": 150_000}],
    )
    for terms, moved in (("1.5", 0), ("1", -25_000), ("3", 25_000)):
        found = rated(poor, price(input_per_million="0.75", output_per_million=terms))
        assert found.charge == moved


def test_a_price_corrects_once() -> None:
    """Done before, or to another cost; another price goes from where it stands (money rule 17)."""
    before = corrected("new", 100_000, 200_000)
    half = price(input_per_million="0.5", output_per_million="1")
    assert rated(SETTLED, half, before) == Rated(100_000, "100000", 100_000, "100000", 0, done=True)
    assert not rated(SETTLED, half, before).changes
    other = rate(SETTLED, [corrected("new", 90_000, 200_000)], OFFER, half)
    assert isinstance(other, NotRated)
    assert other.why is Why.CORRECTED_OTHERWISE
    third = rated(SETTLED, price("third"), before)
    assert (third.old, third.new, third.charge) == (100_000, 200_000, 100_000)


@pytest.mark.parametrize(
    ("change", "terms", "why", "said"),
    [
        ({"provider": "q"}, {}, Why.OTHER_OFFER, "answered by q/m"),
        ({"usage": {}}, {}, Why.BAD_USAGE, "it states no usage"),
        ({"usage": {**USAGE, "input_tokens": -1}}, {}, Why.BAD_USAGE, "cannot be"),
        ({"usage": {**USAGE, "extras": ["plugins"]}}, {}, Why.NO_TERM, "no term for plugins"),
        ({"usage": {**USAGE, "images": 1}}, {}, Why.NO_TERM, "no term for images"),
        ({"usage": {**USAGE, "audio_seconds": 1}}, {}, Why.NO_TERM, "no term for seconds of audio"),
        ({}, {"per_image": "1"}, Why.NO_TERM, "no term for tokens"),
        (
            {"usage": {**USAGE, "cached_input_tokens": 10**9}},
            {"input_per_million": "1", "output_per_million": "1", "cached_input_per_million": "0"},
            Why.OUT_OF_RANGE,
            "-",
        ),
        ({"usage": {**USAGE, "output_tokens": ENTRY_NANO_USD_MAX}}, {}, Why.OUT_OF_RANGE, "cost"),
    ],
)
def test_what_cannot_be_rated_says_why(
    change: dict[str, Any], terms: dict[str, str], why: Why, said: str
) -> None:
    """Never guessed: no term, no usage, another's price, an absurd cost (P10)."""
    found = rate(replace(SETTLED, **change), [], OFFER, price(**terms))
    assert isinstance(found, NotRated)
    assert found.why is why
    assert said in found.said


def test_what_its_provider_stated_stays() -> None:
    """A cost that was stated for one call is better than one by a price (money rule 17)."""
    stated = corrected(STATED + "k", 100_000, 200_000)
    found = rate(
        SETTLED, [stated], OFFER, price("other", input_per_million="9", output_per_million="9")
    )
    assert isinstance(found, NotRated)
    assert found.why is Why.STATED_COST


def test_a_call_with_an_own_key_is_left_as_it_is() -> None:
    """The house's price was never its price (money rule 17)."""
    attempts = [{"provider": "p", "own_key": "k", "cost_nano_usd": 0}]
    found = rate(replace(SETTLED, attempts=attempts), [], OFFER, price())
    assert isinstance(found, NotRated)
    assert found.why is Why.OWN_KEY
