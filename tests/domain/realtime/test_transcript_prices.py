"""The price of a session with transcripts by another model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.pricing.charges import Prices
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from domain.pricing.uses import HEARD_AUDIO, HEARD_MILLISECONDS, HEARD_OUTPUT, HEARD_TEXT
from domain.realtime.transcript_prices import transcript_terms, with_transcripts
from tests.domain.realtime.test_reports import PRICE


def priced(**terms: str) -> PriceVersion:
    """A model that writes down what it hears."""
    return PriceVersion(
        version="p/heard@1",
        source="test",
        effective_at="2026-02-01T00:00:00.000000Z",
        terms=PriceTerms.parse(terms),
    )


CLOCK = priced(per_minute="0.006")
SCRIBE = priced(input_per_million="2.5", audio_input_per_million="6", output_per_million="10")


def test_a_minute_costs_what_it_costs_elsewhere() -> None:
    """Sixty thousand milliseconds are sixty seconds of the same model (money rule 1, P4)."""
    price = with_transcripts("p", "voice", PRICE, CLOCK)
    assert price is not None
    used = Usage(0, 0, uses=((HEARD_MILLISECONDS, 60_000),))
    assert price.cost(used) == CLOCK.cost(Usage(0, 0, audio_seconds=60))
    odd = priced(per_minute="0.0017")
    price = with_transcripts("p", "voice", PRICE, odd)
    assert price is not None
    assert price.cost(used).nano_usd == odd.cost(Usage(0, 0, audio_seconds=60)).nano_usd


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_tokens_cost_what_they_cost_elsewhere(text: int, audio: int, output: int) -> None:
    """Each kind at the second model's own price, with one rounding (money rule 1, P4)."""
    price = with_transcripts("p", "voice", PRICE, SCRIBE)
    assert price is not None
    counts = ((HEARD_TEXT, text), (HEARD_AUDIO, audio), (HEARD_OUTPUT, output))
    used = Usage(0, 0, uses=tuple(each for each in counts if each[1]))
    alone = Usage(text + audio, output, audio_input_tokens=audio)
    assert price.cost(used).nano_usd == SCRIBE.cost(alone).nano_usd


def test_both_models_are_one_cost() -> None:
    """The sum is exact and rounded once; the first model's terms are untouched (P4)."""
    price = with_transcripts("p", "voice", PRICE, CLOCK)
    assert price is not None
    voice, heard = Usage(7, 3), Usage(7, 3, uses=((HEARD_MILLISECONDS, 10),))
    assert price.cost(voice) == PRICE.cost(voice)
    assert price.cost(heard).nano_usd == PRICE.cost(voice).nano_usd + 1_000


def test_its_name_is_that_of_its_content() -> None:
    """Whoever checks a call compiles it from what the hold states (money rule 12)."""
    price = with_transcripts("p", "voice", PRICE, SCRIBE)
    assert price is not None
    stated = {
        "version": price.version,
        "source": price.source,
        "effective_at": price.effective_at,
        **price.terms.as_strings(),
    }
    assert Prices().stated("p", "voice", stated) == price
    assert price.source == "test; transcripts by p/heard@1"
    assert price.effective_at == SCRIBE.effective_at
    other = with_transcripts("p", "voice", PRICE, CLOCK)
    assert other is not None
    assert other.version != price.version


@pytest.mark.parametrize(
    "terms",
    [
        {"per_image": "1"},
        {"per_minute": "0.006", "per_request": "0.1"},
        {
            "input_per_million": "1",
            "output_per_million": "1",
            "input_per_million_above_1000": "2",
        },
    ],
)
def test_what_cannot_be_told_of_a_sum_has_no_price(terms: dict[str, str]) -> None:
    """Neither minutes nor tokens, tiers by length, or a price of a request (P10)."""
    assert transcript_terms(priced(**terms)) is None
    assert with_transcripts("p", "voice", PRICE, priced(**terms)) is None


def test_a_price_never_has_more_decimals_than_one_may() -> None:
    """What would is rounded half to even (P4)."""
    terms = transcript_terms(
        priced(input_per_million="0.000000000000000015", output_per_million="100")
    )
    assert terms is not None
    assert terms["transcript_text_tokens_per_thousand"] == "0"
    assert terms["transcript_output_tokens_per_thousand"] == "0.1"
