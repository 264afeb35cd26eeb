"""What a search unit is, what it costs, and which counts of it are believed."""

from __future__ import annotations

import pytest

from domain.ledger.rerating import _unpriced
from domain.pricing.prices import PriceVersion
from domain.pricing.searches import QUERY_TOKENS_MAX, search_units, units_can_be
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage

pytestmark = pytest.mark.pure

UNITS = [
    (10, [], 1),
    (10, [1], 1),
    (10, [0] * 100, 1),
    (10, [490] * 100, 1),
    (10, [490] * 99 + [491], 2),
    (10, [1] * 101, 2),
    (10, [490 * 100], 1),
    (10, [490 * 100 + 1], 2),
    (250, [250] * 100, 1),
    (251, [250] * 100, 1),
    (10**9, [251] * 100, 2),
    (0, [10**9], 20_000),
]


def version(**terms: str) -> PriceVersion:
    """A price."""
    return PriceVersion(version="v", source="s", effective_at="", terms=PriceTerms.parse(terms))


@pytest.mark.parametrize(("query", "documents", "units"), UNITS)
def test_a_search_is_a_hundred_chunks_of_500_tokens(
    query: int, documents: list[int], units: int
) -> None:
    """The query counts in every chunk, and fills at most half of it (money rule 2)."""
    assert search_units(query, documents) == units


def test_more_tokens_are_never_fewer_units() -> None:
    """So what bounds the tokens bounds the units (money rule 2)."""
    sizes = [1, 249, 250, 251, 499, 500, 501, 5_000, 50_000]
    for query in (0, 1, QUERY_TOKENS_MAX - 1, QUERY_TOKENS_MAX, 10_000):
        found = [search_units(query, [size] * 60) for size in sizes]
        assert found == sorted(found)
        assert search_units(query + 1, [5_000] * 60) >= search_units(query, [5_000] * 60)


@pytest.mark.parametrize(
    ("reported", "bound", "believed"),
    [(1, 1, True), (0, 1, False), (-1, 1, False), (2, 1, False), (5, 4, True), (6, 4, False)],
)
def test_a_count_of_units_is_believed_where_it_can_be(
    reported: int, bound: int, believed: bool
) -> None:
    """A quarter to spare, as with tokens (money rule 6)."""
    assert units_can_be(reported, bound) is believed
    assert not units_can_be(10**18, bound)


def test_searches_cost_by_the_thousand() -> None:
    """Where searches are priced, a missing token price is 0 (P10, money rule 1)."""
    priced = version(per_thousand_searches="2")
    usage = Usage(70, 0, searches=3)
    assert (priced.counts_searches, priced.counts_tokens) == (True, False)
    assert priced.cost(usage).nano_usd == 6_000_000
    assert priced.bound(input_tokens=70, output_tokens=0, searches=3) == 6_000_000
    assert priced.bound(input_tokens=70, output_tokens=0) == 0
    both = version(input_per_million="1", output_per_million="0", per_thousand_searches="0.0001")
    assert both.cost(usage) == (70 * 1_000 + 300, "70300")
    assert both.bound(input_tokens=70, output_tokens=0, searches=3) == 70_300
    assert PriceTerms.parse(both.terms.as_strings()) == both.terms
    assert not version(input_per_million="1", output_per_million="0").counts_searches


def test_searches_are_told_where_there_are_any() -> None:
    """An event of any other call stays as it was (P5)."""
    assert Usage(1, 0, searches=2).as_dict()["searches"] == 2
    assert "searches" not in Usage(1, 0).as_dict()


def test_a_price_without_searches_rates_none() -> None:
    """Nor tokens, where only searches have a price (P10)."""
    tokens = version(input_per_million="1", output_per_million="0")
    searches = version(per_thousand_searches="2")
    assert list(_unpriced(Usage(5, 0, searches=1), tokens)) == ["searches"]
    assert list(_unpriced(Usage(5, 0, searches=1), searches)) == []
    assert list(_unpriced(Usage(5, 0), searches)) == ["tokens"]
