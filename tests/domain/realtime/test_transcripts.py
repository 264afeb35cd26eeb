"""What transcripts of a session use, by what was heard and what is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.pricing.usage import Usage
from domain.realtime import transcripts
from domain.realtime.counting import AudioFormat
from domain.realtime.transcript_prices import with_transcripts
from domain.realtime.transcripts import (
    MARGIN_TOKENS,
    Heard,
    TooManyTranscriptsError,
    TranscriptCount,
)
from tests.domain.realtime.test_reports import PRICE
from tests.domain.realtime.test_session import counting
from tests.domain.realtime.test_transcript_prices import CLOCK, SCRIBE

if TYPE_CHECKING:
    from domain.realtime.session import SessionCount

BY_LENGTH, BY_TOKENS = (with_transcripts("p", "voice", PRICE, each) for each in (CLOCK, SCRIBE))
MINUTE = 60_000
TEXT = "It was a dark and stormy night"


def by_length() -> TranscriptCount:
    """Paid by the length."""
    assert BY_LENGTH is not None
    return TranscriptCount(BY_LENGTH)


def by_tokens() -> TranscriptCount:
    """Paid by tokens."""
    assert BY_TOKENS is not None
    return TranscriptCount(BY_TOKENS)


def test_the_most_is_all_that_was_heard() -> None:
    """With a second's rounding for an item, and for the next one (money rule 2)."""
    count = by_length()
    assert count.most(0) == Heard(milliseconds=1_000)
    assert count.most(MINUTE) == Heard(milliseconds=MINUTE + 1_000)
    count.commits()
    count.commits()
    assert count.most(MINUTE) == Heard(milliseconds=MINUTE + 3_000)
    assert count.most(150) == Heard(milliseconds=150 + 2_000)
    assert count.cost_bound(MINUTE) == 63 * 100_000


def test_tokens_are_bounded_by_length_items_and_wish() -> None:
    """Each item reads the wish again (money rule 2)."""
    count = by_tokens()
    count.wished(100)
    count.wished(40)
    most = count.most(MINUTE)
    assert most == Heard(
        text=50 + MARGIN_TOKENS, audio=2_000 + MARGIN_TOKENS, output=1_000 + MARGIN_TOKENS
    )
    assert count.cost_bound(MINUTE) == 114 * 2_500 + 2_064 * 6_000 + 1_064 * 10_000


def test_reports_are_charged_once_by_item() -> None:
    """Twice, and late pieces after the end: no second charge (P3, money rule 6)."""
    count = by_length()
    for _ in range(3):
        count.made("a", TEXT)
        count.done("a", Heard(milliseconds=900), TEXT, MINUTE)
    count.done("b", Heard(milliseconds=100), TEXT, MINUTE)
    assert count.end(MINUTE) == Heard(milliseconds=1_000)
    assert (count.estimated, count.implausible) == (False, False)


@pytest.mark.parametrize("told", [-1, MINUTE + 2_001, 10**18, 0])
def test_a_report_that_cannot_be_is_the_items_length(told: int) -> None:
    """Negative, beyond all that was heard, absurd, nothing for a text (money rule 6, P1)."""
    count = by_length()
    count.committed("a", 7_000)
    count.committed("a", 9_000)
    count.done("a", Heard(milliseconds=told), TEXT, MINUTE)
    assert count.used == Heard(milliseconds=7_000)
    assert (count.estimated, count.implausible) == (True, True)


def test_reports_together_are_never_more_than_what_was_heard() -> None:
    """Each may be, all of them not: the rest is left of the whole (P1, money rule 2)."""
    count = by_length()
    for name in "abcdef":
        count.done(name, Heard(milliseconds=MINUTE), TEXT, MINUTE)
    assert count.used.within(count.most(MINUTE))
    assert count.implausible


def test_no_report_is_our_own_count() -> None:
    """By the item's own audio, or by what came since the last one (money rule 4, money rule 6)."""
    count = by_tokens()
    count.wished(40)
    count.committed("a", 1_050)
    count.made("a", TEXT[:10])
    count.made("a", TEXT[10:])
    count.done("a", None, "", 5_000)
    assert count.used == Heard(text=10, audio=11, output=8)
    count.done("b", None, TEXT, 5_050)
    assert count.used == Heard(text=20, audio=11 + 40, output=16)
    assert (count.estimated, count.implausible) == (True, False)
    silent = by_length()
    silent.done("a", None, "", 1_000)
    assert silent.end(1_000) == Heard()
    assert not silent.estimated


def test_a_transcript_without_an_end_is_counted_where_it_was_received() -> None:
    """An item of which nothing was received is free (money rule 4, P11)."""
    count = by_length()
    count.committed("a", 2_000)
    count.committed("b", 5_000)
    count.made("b", TEXT)
    count.made("c", "")
    assert count.end(5_000) == Heard(milliseconds=3_000)
    assert count.estimated
    assert count.end(5_000) == Heard(milliseconds=3_000)


def test_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, committed or done: no session has endlessly many (rule: bounded)."""
    monkeypatch.setattr(transcripts, "TRANSCRIPTS_MAX", 1)
    count = by_length()
    count.made("a", TEXT)
    with pytest.raises(TooManyTranscriptsError):
        count.made("b", TEXT)
    count.done("a", None, TEXT, 0)
    with pytest.raises(TooManyTranscriptsError):
        count.done("b", None, TEXT, 0)
    count.committed("a", 0)
    with pytest.raises(TooManyTranscriptsError):
        count.committed("b", 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.integers(-5, 200_000),
            st.booleans(),
            st.sampled_from(["", TEXT, TEXT * 100]),
        ),
        max_size=12,
    ),
    st.integers(0, 200_000),
    st.booleans(),
)
def test_nothing_costs_more_than_is_held_for(
    reports: list[tuple[str, int, bool, str]], heard: int, length: bool
) -> None:
    """Whatever a provider says, in whatever order (P1, money rule 2)."""
    count = by_length() if length else by_tokens()
    price = BY_LENGTH if length else BY_TOKENS
    assert price is not None
    for item, told, ended, text in reports:
        if not ended:
            count.made(item, text)
            continue
        used = Heard(milliseconds=told) if length else Heard(audio=told, output=told // 2)
        count.done(item, used, text, heard)
    found = count.end(heard)
    assert found.within(count.most(heard))
    assert price.cost(Usage(0, 0, uses=found.uses)).nano_usd <= count.cost_bound(heard)


def session_of() -> SessionCount:
    """A session with transcripts."""
    count = counting()
    assert BY_LENGTH is not None
    count.transcribes(BY_LENGTH, 20)
    count.transcribes(BY_LENGTH, 10)
    return count


def test_a_session_is_held_for_its_transcripts_too() -> None:
    """What was heard, however it is written (money rule 2)."""
    count, plain = session_of(), counting()
    for each in (count, plain):
        each.hears(48 * 1_000, AudioFormat.PCM)
        each.hears(8 * 500, AudioFormat.G711)
    assert count.heard_ms == 1_500
    assert count.cost_bound() == plain.cost_bound() + 2_500 * 100


def test_both_models_are_settled_as_one() -> None:
    """Responses and transcripts, or transcripts alone (P3, money rule 1)."""
    count = session_of()
    count.hears(48_000, AudioFormat.PCM)
    assert count.transcripts is not None
    count.transcripts.done("a", Heard(milliseconds=900), TEXT, count.heard_ms)
    heard = (("transcript_milliseconds", 900),)
    count.began("one")
    count.made("one", "x", 0)
    count.done("one", Usage(5, 7))
    assert count.end() == Usage(5, 7, uses=heard)
    count = session_of()
    count.hears(48_000, AudioFormat.PCM)
    assert count.transcripts is not None
    count.transcripts.done("a", None, TEXT, count.heard_ms)
    assert count.end() == Usage(
        0, 0, source="estimated", uses=(("transcript_milliseconds", 1_000),)
    )
    assert session_of().end() is None


def test_a_transcript_without_measure_is_a_flood() -> None:
    """More text than so much audio can be, four times over (rule: bounded)."""
    count = session_of()
    assert count.transcripts is not None
    count.transcripts.made("a", "x" * 4 * MARGIN_TOKENS * 4)
    assert not count.flooded
    count.transcripts.made("a", "xxxx")
    assert count.flooded
