"""Reports of responses in our convention, and their sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import UNREADABLE, Usage
from domain.realtime.reports import ResponseReport, together

PRICE = PriceVersion(
    version="v",
    source="test",
    effective_at="2026-01-01T00:00:00.000000Z",
    terms=PriceTerms.parse(
        {
            "input_per_million": "4",
            "cached_input_per_million": "0.4",
            "output_per_million": "16",
            "audio_input_per_million": "32",
            "cached_audio_input_per_million": "0.3",
            "audio_output_per_million": "64",
            "image_input_per_million": "5",
            "cached_image_input_per_million": "0.5",
        }
    ),
)
COUNTS = st.integers(0, 10**6)


def test_openais_example_costs_what_its_kinds_cost() -> None:
    """Each kind at its own price, fresh and cached (money rule 1, P4)."""
    usage = ResponseReport(
        132, 121, audio=13, image=9, cached=64, cached_audio=4, spoken=91
    ).usage()
    fresh = (132 - 64 - 9 - 9) * 4_000 + 9 * 32_000 + 9 * 5_000
    cached = 60 * 400 + 4 * 300
    made = 30 * 16_000 + 91 * 64_000
    assert PRICE.cost(usage).nano_usd == fresh + cached + made


def test_cached_images_have_their_price() -> None:
    """They are part of the cached tokens, and fresh ones are not (money rule 1)."""
    usage = ResponseReport(100, 0, image=100, cached=100, cached_image=100).usage()
    assert usage.image_input_tokens == 0
    assert PRICE.cost(usage).nano_usd == 100 * 500


def test_a_negative_count_is_no_report() -> None:
    """It cannot be, so that our own count stands in (money rule 6)."""
    assert ResponseReport(1, 1, audio=-1).usage() == UNREADABLE


@given(st.builds(ResponseReport, *[COUNTS] * 8))
def test_no_term_is_ever_negative(report: ResponseReport) -> None:
    """Parts never exceed their whole, however they are told (P1, P4)."""
    usage = report.usage()
    fresh = usage.input_tokens - usage.cached_input_tokens
    assert fresh - usage.audio_input_tokens - usage.image_input_tokens >= 0
    again = usage.cached_audio_input_tokens + usage.cached_image_input_tokens
    assert 0 <= again <= usage.cached_input_tokens <= usage.input_tokens
    assert 0 <= usage.audio_output_tokens <= usage.output_tokens
    most = PRICE.bound(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    assert 0 <= PRICE.cost(usage).nano_usd <= most


@given(st.builds(ResponseReport, *[COUNTS] * 8), st.builds(ResponseReport, *[COUNTS] * 8))
def test_a_session_costs_what_its_responses_cost(
    one: ResponseReport, other: ResponseReport
) -> None:
    """The sum has the sum of their costs, exactly (P3, P4)."""
    both = together(one.usage(), other.usage())
    apart = PRICE.cost(one.usage()), PRICE.cost(other.usage())
    assert PRICE.cost(both).nano_usd == sum(each.nano_usd for each in apart)
    assert both.source == "provider"


def test_a_count_of_our_own_marks_the_sum() -> None:
    """Estimated and implausible stay so (money rule 6)."""
    counted = Usage(1, 1, source="estimated", implausible=True)
    both = together(Usage(1, 1), counted)
    assert (both.source, both.implausible) == ("estimated", True)
