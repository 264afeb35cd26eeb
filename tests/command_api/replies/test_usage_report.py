"""Providers' usage reports, under the names measured on real replies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.usage_report import ReportedUsage, parse_usage
from domain.pricing.usage import UNREADABLE, Usage

REPORTS: list[tuple[dict[str, Any], Usage | None]] = [
    ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, Usage(9, 4)),
    ({"prompt_tokens": 9, "completion_tokens": 4}, Usage(9, 4)),
    ({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}, Usage(9, 4)),
    ({"prompt_tokens": 9, "input_tokens": 1, "completion_tokens": 4}, Usage(9, 4)),
    ({"prompt_tokens": 0, "input_tokens": 1, "completion_tokens": 4}, Usage(0, 4)),
    ({"prompt_tokens": 9}, Usage(9, 0)),
    ({"total_tokens": 9}, Usage(9, 0)),
    ({"total_tokens": 0}, None),
    ({}, None),
    ({"prompt_tokens": "9", "completion_tokens": "4"}, Usage(9, 4)),
    ({"prompt_tokens": 9.0, "completion_tokens": 4.0}, Usage(9, 4)),
    ({"prompt_tokens": 9.5, "completion_tokens": 4}, UNREADABLE),
    ({"prompt_tokens": "nine"}, UNREADABLE),
    ({"prompt_tokens": True, "completion_tokens": 4}, UNREADABLE),
    ({"prompt_tokens": 1e300, "completion_tokens": 4}, UNREADABLE),
    ({"prompt_tokens": 9, "completion_tokens": -4}, UNREADABLE),
    ({"total_tokens": -9}, UNREADABLE),
    ({"prompt_tokens": 9, "prompt_tokens_details": "odd"}, UNREADABLE),
]
CACHED = [
    {"prompt_tokens_details": {"cached_tokens": 5}},
    {"prompt_token_details": {"cached_tokens": 5}},
    {"prompt_cache_hit_tokens": 5},
    {"cached_tokens": 5},
    {"num_cached_tokens": 5},
    {"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 5},
    {"prompt_tokens_details": {"cached_tokens": 5}, "cached_tokens": 3},
]
WHOLE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize(("report", "usage"), REPORTS)
def test_the_counts_are_found_under_either_name(
    report: dict[str, Any], usage: Usage | None
) -> None:
    """One that cannot be read is one that cannot be, and is replaced by our own count
    (money rule 6).
    """
    assert parse_usage(report) == usage


@pytest.mark.parametrize("told", CACHED)
def test_cached_tokens_are_found_wherever_a_provider_tells_them(told: dict[str, Any]) -> None:
    """They are priced as such, and are part of the input (money rule 1)."""
    assert parse_usage({**WHOLE, **told}) == Usage(9, 4, cached_input_tokens=5)


def test_parts_of_prompt_and_completion() -> None:
    """Cache writes, reasoning and audio each have a price of their own (money rule 1)."""
    report = {
        **WHOLE,
        "prompt_tokens_details": {"cache_write_tokens": 2, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 2},
    }
    assert parse_usage(report) == Usage(
        input_tokens=9,
        output_tokens=4,
        cache_write_tokens=2,
        cache_write_1h_tokens=2,
        reasoning_tokens=1,
        audio_input_tokens=3,
        audio_output_tokens=2,
    )


@pytest.mark.parametrize("report", [None, 7, "text", [], [WHOLE], True])
def test_what_is_no_object_is_no_report(report: Any) -> None:
    """It is replaced by our own count (money rule 6)."""
    assert parse_usage(report) == UNREADABLE


COUNTS = st.none() | st.integers(-(2**40), 2**40)


@given(
    report=st.dictionaries(
        st.sampled_from(
            [name for name in ReportedUsage.__struct_fields__ if "details" not in name]
        ),
        COUNTS,
    ),
    details=st.dictionaries(
        st.sampled_from(("cached_tokens", "cache_write_tokens", "reasoning_tokens")), COUNTS
    ),
)
def test_no_report_gives_a_negative_count_or_a_part_above_its_whole(
    report: dict[str, Any], details: dict[str, Any]
) -> None:
    """No charge falls below zero for what a provider claims (P1)."""
    whole = {**report, "prompt_tokens_details": details, "completion_tokens_details": details}
    usage = parse_usage(msgspec.json.decode(msgspec.json.encode(whole)))
    if usage is None or usage == UNREADABLE:
        return
    assert min(usage.input_tokens, usage.output_tokens) >= 0
    parts = (usage.cached_input_tokens, usage.cache_write_tokens, usage.audio_input_tokens)
    assert min(parts) >= 0 and sum(parts) <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens + usage.audio_output_tokens <= usage.output_tokens
