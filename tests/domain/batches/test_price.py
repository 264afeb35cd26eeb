"""What a line of a batch costs."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.batches.price import batch_of, line_price
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms

pytestmark = pytest.mark.pure

WHOLE = PriceVersion(
    version="p/m@whole",
    source="file",
    effective_at="2026-01-01T00:00:00.000000Z",
    terms=PriceTerms.parse({"input_per_million": "0.15", "output_per_million": "0.60"}),
)


def test_a_line_pays_its_batchs_share() -> None:
    """A price of its own that says so, the same each time (money rule 12)."""
    half = line_price("p", "m", WHOLE, 50)
    assert half.terms.as_strings() == {"input_per_million": "0.075", "output_per_million": "0.3"}
    assert (half.source, half.effective_at) == ("file, batch: 50 of 100", WHOLE.effective_at)
    assert half.version == line_price("p", "m", WHOLE, 50).version != WHOLE.version


def test_all_of_a_price_is_the_price() -> None:
    """Its version is the catalog's (money rule 12)."""
    assert line_price("p", "m", WHOLE, 100) is WHOLE


@pytest.mark.parametrize("percent", [-1, 101])
def test_no_share_is_beyond_the_whole(percent: int) -> None:
    """Neither less than nothing nor more than all (P4)."""
    with pytest.raises(ValueError, match="no share"):
        line_price("p", "m", WHOLE, percent)


def test_a_call_names_its_batch_or_none() -> None:
    """By 32 digits as we write them, and nothing else (rule: refuse clearly)."""
    assert batch_of("batch_" + "0" * 31 + "7") == UUID(int=7)
    for other in ("", "batch_", "batch_7", "batch_" + "g" * 32, "batch_" + "0" * 33, "guarded_7"):
        assert batch_of(other) is None
