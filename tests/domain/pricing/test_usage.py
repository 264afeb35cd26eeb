"""Usage in one convention, and our own count by script (money rule 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.pricing.usage import (
    Report,
    TextCount,
    Usage,
    estimate_tokens,
    estimated_usage,
    reported_usage,
)

ANSWERS = [
    # What was used; the most answer → what counts of it.
    (Usage(9, 5), 5, Usage(9, 5)),
    (Usage(9, 6), 5, Usage(9, 5)),
    (Usage(9, 65, reasoning_tokens=60), 5, Usage(9, 65, reasoning_tokens=60)),
    (Usage(9, 70, reasoning_tokens=60), 5, Usage(9, 65, reasoning_tokens=60)),
    (Usage(9, 8, audio_output_tokens=7), 5, Usage(9, 5, audio_output_tokens=5)),
]


@pytest.mark.parametrize(("used", "most", "counts"), ANSWERS)
def test_an_answer_counts_up_to_its_maximum(used: Usage, most: int, counts: Usage) -> None:
    """Reasoning stands beside it, and parts never exceed their whole (money rule 2)."""
    assert used.with_answer_at_most(most) == counts


REPORTS = [
    # prompt, completion, total, cached, written, reasoning → input, output, cached, written, reas.
    ((10, 5, 15, 0, 0, 0), (10, 5, 0, 0, 0)),
    ((10, 5, 15, 4, 0, 3), (10, 5, 4, 0, 3)),
    ((10, 5, 15, 4, 0, 0), (10, 5, 4, 0, 0)),
    ((10, 5, 15, 4, 3, 0), (10, 5, 4, 3, 0)),
    # One token more than the parts was made.
    ((10, 5, 16, 0, 0, 0), (10, 6, 0, 0, 1)),
    # Reasoning outside the completion, as xAI reports it: added.
    ((10, 5, 18, 0, 0, 3), (10, 8, 0, 0, 3)),
    # Reasoning above the completion with a plain total, as OpenRouter may report it: not added.
    ((10, 5, 15, 0, 0, 9), (10, 5, 0, 0, 5)),
    # Thoughts that only the total counts, as Gemini's OpenAI endpoint reports: made, so output.
    ((35, 12, 109, 0, 0, 0), (35, 74, 0, 0, 62)),
    # Cached tokens beside the prompt: part of the input.
    ((10, 5, 22, 7, 0, 0), (17, 5, 7, 0, 0)),
    # A total below its parts says nothing.
    ((10, 5, 12, 0, 0, 3), (10, 5, 0, 0, 3)),
    # Parts never exceed their whole.
    ((10, 5, 15, 99, 99, 0), (10, 5, 10, 0, 0)),
    ((10, 5, -1, -1, -1, -1), (10, 5, 0, 0, 0)),
    # A negative whole cannot be.
    ((-1, 5, 15, 0, 0, 0), (-1, -1, 0, 0, 0)),
    ((10, -1, 15, 4, 0, 0), (-1, -1, 0, 0, 0)),
]


@pytest.mark.parametrize(("report", "expected"), REPORTS)
def test_reports(report: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Each line: a provider's numbers, and ours (P4, money rule 6)."""
    names = (
        *("prompt_tokens", "completion_tokens", "total_tokens"),
        *("cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    )
    usage = reported_usage(Report(**dict(zip(names, report, strict=True))))
    assert usage == Usage(
        input_tokens=expected[0],
        output_tokens=expected[1],
        cached_input_tokens=expected[2],
        cache_write_tokens=expected[3],
        reasoning_tokens=expected[4],
        cache_write_1h_tokens=expected[3],
    )


SCRIPTS = [
    ("", 0),
    ("abcd", 1),
    ("abcde", 2),
    ("привет", 3),
    ("你好", 2),
    ("👋", 2),
    ("é", 1),
    ("abcde 👋👋 你好 éé", 9),
]


@pytest.mark.parametrize(("text", "tokens"), SCRIPTS)
def test_scripts(text: str, tokens: int) -> None:
    """Four ASCII characters a token, two of a two-byte script, one of a longer (money rule 6)."""
    assert estimate_tokens(text) == tokens
    assert isinstance(estimate_tokens(text), int)


@given(st.lists(st.text()))
def test_pieces_count_as_their_whole(pieces: list[str]) -> None:
    """However a text is cut, nothing is rounded at the cuts (money rule 6)."""
    count = TextCount()
    for each in pieces:
        count.add(each)
    assert count.tokens == estimate_tokens("".join(pieces))


@given(st.text())
def test_the_count_is_sane(text: str) -> None:
    """Something is at least one token, and no character more than two (money rule 6)."""
    assert (estimate_tokens(text) > 0) == bool(text)
    assert estimate_tokens(text) <= 2 * len(text)


def test_an_estimate_is_at_least_one_each() -> None:
    """Prompt and output, and marked as estimated (money rule 6)."""
    usage = estimated_usage(input_tokens=0, output_tokens=0)
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (1, 1, "estimated")


def test_audio_beside_the_prompt_is_input() -> None:
    """As Mistral reports it: a total of text, audio and completion (money rule 6)."""
    report = Report(
        prompt_tokens=9, completion_tokens=248, total_tokens=632, audio_input_tokens=375
    )
    usage = reported_usage(report)
    assert (usage.input_tokens, usage.audio_input_tokens) == (384, 375)
    assert usage.as_dict()["audio_input_tokens"] == 375


@pytest.mark.parametrize(("told", "kept"), [(None, 7), (0, 0), (3, 3), (9, 7), (-1, 0)])
def test_what_is_kept_for_an_hour_lies_in_what_is_written(told: int | None, kept: int) -> None:
    """As the provider splits it; where nobody does, all of it may be (P4, money rule 6)."""
    report = Report(10, 5, 15, cache_write_tokens=7, cache_write_1h_tokens=told)
    usage = reported_usage(report)
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (7, kept)
    assert usage.as_dict().get("cache_write_1h_tokens", 0) == kept


def test_rare_counts_are_told_only_where_there_are_any() -> None:
    """An event carries the counts that its cost can be reckoned from (money rule 6)."""
    plain = Usage(3, 2)
    told = {
        "input_tokens": 3,
        "output_tokens": 2,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "source": "provider",
    }
    assert plain.as_dict() == told
    assert plain.with_input_images(2).as_dict() == {**told, "input_images": 2}
    made = plain.with_images(1, 64)
    assert made.as_dict() == {**told, "images": 1, "image_pixels": 64}
    spoken = plain._replace(audio_output_tokens=2)
    assert spoken.as_dict() == {**told, "audio_output_tokens": 2}


def test_parts_leave_each_other_room() -> None:
    """Audio is none of the cached, written or reasoning tokens, however much is claimed (P4)."""
    report = Report(10, 5, 15, 4, 3, 2, audio_input_tokens=99, audio_output_tokens=99)
    assert reported_usage(report) == Usage(
        10,
        5,
        4,
        3,
        2,
        audio_input_tokens=3,
        audio_output_tokens=3,
        cache_write_1h_tokens=3,
    )
    usage = reported_usage(report._replace(audio_input_tokens=1, audio_output_tokens=1))
    assert (usage.audio_input_tokens, usage.audio_output_tokens) == (1, 1)
