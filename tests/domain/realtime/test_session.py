"""The counts of one session, from its first response to its end."""

from __future__ import annotations

import pytest

from domain.pricing.usage import Usage
from domain.realtime.counting import INSTRUCTIONS_TOKENS, AudioFormat, Sent
from domain.realtime.session import (
    ASKED_MAX,
    CONTEXT_TOKENS_UNKNOWN,
    OUTPUT_TOKENS_UNKNOWN,
    RESPONSES_MAX,
    SessionCount,
    TooManyResponsesError,
)
from tests.domain.realtime.test_reports import PRICE

NONE = Sent()


def counting(context: int | None = 32_000, output: int | None = 4_000) -> SessionCount:
    """A new session."""
    return SessionCount(PRICE, context_length=context, max_output_tokens=output)


def test_a_new_session_is_held_for_its_first_response() -> None:
    """What a provider says by itself, and the whole output (money rule 2)."""
    count = counting()
    assert count.bound == (INSTRUCTIONS_TOKENS, 4_000)
    assert count.bound.tokens == INSTRUCTIONS_TOKENS + 4_000
    assert count.next_response == count.bound
    assert count.end() is None


def test_what_is_said_is_read_by_the_next_response() -> None:
    """Texts, sounds and what a response reads apart, up to the context (money rule 2)."""
    count = counting()
    count.said(Sent(100, 50))
    count.hears(4_800 * 30, AudioFormat.PCM)
    count.hears(800 * 20, AudioFormat.G711)
    count.configured(Sent(3_000, 1_000))
    count.asks(Sent(7, 3))
    assert count.bound.input_tokens == 3_000 + 100 + 50 + 7
    count.said(Sent(10**9, 10**9))
    assert count.bound.input_tokens == 32_000
    assert counting(None, None).bound.output_tokens == OUTPUT_TOKENS_UNKNOWN
    count = counting(None)
    count.said(Sent(10**9, 10**9))
    assert count.bound.input_tokens == CONTEXT_TOKENS_UNKNOWN


def test_every_response_under_way_or_asked_for_is_covered() -> None:
    """Two that are asked for, one that began, and one more only where there is none (P1)."""
    count = counting()
    count.asks(NONE)
    count.asks(NONE)
    assert count.bound.output_tokens == 8_000
    count.began("one")
    assert (count.asked, count.open) == (1, 1)
    assert count.bound.output_tokens == 8_000
    count.declined()
    assert count.bound.output_tokens == 4_000
    count.declined()
    assert count.asked == 0
    before = count.cost_bound()
    count.done("one", Usage(1_000, 10))
    assert count.bound.input_tokens == 1_000 + INSTRUCTIONS_TOKENS + 10
    assert count.cost_bound() < before + 10**7


def test_a_response_that_makes_more_than_its_maximum_is_covered_too() -> None:
    """And beyond what any makes it is a flood (money rule 2, rule: bounded)."""
    count = counting()
    count.began("one")
    count.made("one", "word " * 4_000, 2_400 * 100)
    assert count.bound.output_tokens == 5_000 + 100 + 1_000
    assert not count.flooded
    count.made("one", "", 2_400 * 40_000)
    count.made("nobody", "x", 1)
    assert count.flooded


def test_output_counts_whether_its_beginning_was_told_or_not() -> None:
    """It is the caller's already: by a name, by none, and never more than a response is (P2)."""
    count = counting()
    count.asks(NONE)
    count.made("untold", "12345678", 0)
    assert (count.asked, count.open) == (0, 1)
    count.made("", "12345678", 0)
    used = count.done("", None)
    assert used is not None
    assert (used.output_tokens, used.source) == (4, "estimated")
    for _ in range(2):
        count.made("", "12345678", 0)
        count.made("", "12345678", 0)
        used = count.done("", None)
        assert used is not None
        assert used.output_tokens == 4
    count.made("untold", "word " * 3_000, 0)
    assert (count.open, count.flooded) == (0, False)
    count.made("untold", "word " * 40_000, 0)
    assert count.flooded
    for number in range(ASKED_MAX):
        count.made(str(number), "x", 0)
    with pytest.raises(TooManyResponsesError):
        count.made("more", "x", 0)


def test_a_report_is_charged_once() -> None:
    """Twice, again begun, or of a response without a name: nothing more (P3)."""
    count = counting()
    count.began("one")
    assert count.done("one", Usage(10, 5)) == Usage(10, 5)
    count.began("one")
    assert count.done("one", Usage(10, 5)) is None
    assert count.done("", Usage(10, 5)) is None
    assert count.end() == Usage(10, 5)


def test_a_response_that_only_ends_is_charged() -> None:
    """By its report, or by what it says as a whole where it has none, and once (P2, P3)."""
    count = counting()
    count.asks(NONE)
    for _ in range(2):
        assert count.done("silent", None) is None
        assert count.done("zero", Usage(0, 0)) is None
        assert count.done("unread", Usage(-1, -1)) is None
    assert count.done("reports", Usage(10, 5)) == Usage(10, 5)
    assert count.asked == 0
    assert count.done("reports", Usage(10, 5)) is None
    said = count.done("says", None, "12345678")
    assert said is not None
    assert (said.output_tokens, said.source) == (2, "estimated")
    assert count.done("says", None, "12345678") is None
    count.began("pieces")
    count.made("pieces", "1234", 0)
    pieces = count.done("pieces", None, "1234")
    assert pieces is not None
    assert pieces.output_tokens == 1


def test_what_cannot_be_is_counted_here() -> None:
    """By what was received, of each kind, and marked (money rule 6)."""
    count = counting()
    count.said(Sent(100, 40))
    count.hears(4_800 * 30, AudioFormat.PCM)
    count.began("one")
    count.made("one", "12345678", 2_400 * 3)
    usage = count.done("one", Usage(10**18, 10**18))
    assert usage == Usage(
        70,
        5,
        source="estimated",
        implausible=True,
        audio_input_tokens=30,
        audio_output_tokens=3,
    )


def test_a_response_that_made_nothing_costs_nothing_without_a_report() -> None:
    """Failed before any output (money rule 4)."""
    count = counting()
    count.began("one")
    usage = count.done("one", None)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (0, 0)
    count.began("two")
    used = count.end()
    assert used is not None
    assert PRICE.cost(used).nano_usd == 0


def test_what_nobody_ended_is_counted_at_the_end() -> None:
    """Up to what a response can be (money rule 4, P11)."""
    count = counting()
    count.form = AudioFormat.G711
    count.began("one")
    count.made("one", "", 400 * 20)
    used = count.end()
    assert used is not None
    assert (used.output_tokens, used.audio_output_tokens, used.source) == (20, 20, "estimated")
    count = counting()
    count.began("one")
    count.made("one", "", 2_400 * 10**6)
    used = count.end()
    assert used is not None
    assert used.output_tokens == 4_000 + 1_000 + 64


def test_responses_are_bounded() -> None:
    """At a time, and in a session (rule: bounded)."""
    count = counting()
    for number in range(ASKED_MAX):
        assert not count.crowded
        count.began(str(number))
    assert count.crowded
    with pytest.raises(TooManyResponsesError):
        count.began("more")
    count = counting()
    for number in range(RESPONSES_MAX):
        count.began(str(number))
        count.done(str(number), Usage(1, 1))
    with pytest.raises(TooManyResponsesError):
        count.began("more")
