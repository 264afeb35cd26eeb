"""Terms that may not be said, in whole texts and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.guardrails.sentences import SENTENCE_CHARACTERS_MAX, end_of_sentences
from domain.guardrails.terms import (
    TERM_CHARACTERS_MAX,
    TERMS_MAX,
    CheckedText,
    TermError,
    TermFoundError,
    Terms,
)

TERMS = Terms(["Project Nightjar", "cat", "<|end|>"])


@pytest.mark.parametrize(
    "text",
    [
        *("the CAT.", "cat", "(cat)", "project nightjar", "x<|end|>y", "ｃａｔ", "c\u200ba\u00adt"),
        *("concat cat", "Project\u00a0Nightjar!", "c\x07a\u3164t", "c\x7fat", "ca\U000e0041t"),
    ],
)
def test_a_term_is_found_whatever_its_form(text: str) -> None:
    """Case, width, and what nobody sees make no other word (rule: access)."""
    assert TERMS.said(text)


@pytest.mark.parametrize("text", ["", "concat", "category", "cat_x", "Nightjar", "c a t"])
def test_a_part_of_a_word_is_no_term(text: str) -> None:
    """Whole words alone (rule: access)."""
    assert not TERMS.said(text)


def test_escapes_inside_json_hide_nothing() -> None:
    """They are what they stand for (rule: access)."""
    assert TERMS.said(r'{"a": "\u0063at"}', inside_json=True)
    assert not TERMS.said(r"\u0063at")


@pytest.mark.parametrize(
    "terms",
    [
        [],
        [" "],
        ["\u200b"],
        ["x" * (TERM_CHARACTERS_MAX + 1)],
        [str(at) for at in range(TERMS_MAX + 1)],
    ],
)
def test_a_list_of_terms_has_limits(terms: list[str]) -> None:
    """None, too many, empty, too long (rule: bounded, rule: refuse clearly)."""
    with pytest.raises(TermError):
        Terms(terms)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", 0),
        ("No end", 0),
        ("One. Two", 5),
        ("One.Two", 0),
        ('"Ha!" x', 6),
        ("句。後", 2),
        ("a\nb", 2),
    ],
)
def test_sentences_end_where_they_seem_to(text: str, end: int) -> None:
    """Too many ends only mean less waiting (rule: wire)."""
    assert end_of_sentences(text) == end


def pieces(text: str, size: int) -> str:
    """What of a text is told that comes so many characters at a time."""
    channel = CheckedText(TERMS, inside_json=False)
    told = "".join(channel.add(text[at : at + size]) for at in range(0, len(text), size))
    return told + channel.end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_sentence_is_looked_at_before_any_of_it_is_told(size: int) -> None:
    """However it is cut; a term may begin in one sentence and end in the next
    (rule: access, rule: wire).
    """
    harmless = "A category. Concat it! 猫。 Done"
    assert pieces(harmless, size) == harmless
    for text in ("All is well. A cat sat.", "It is Project\nNightjar. So", "the cat"):
        channel = CheckedText(TERMS, inside_json=False)
        told = ""
        with pytest.raises(TermFoundError):
            for at in range(0, len(text), size):
                told += channel.add(text[at : at + size])
            told += channel.end()
        assert not TERMS.said(told)


def test_a_sentence_without_an_end_waits_only_so_long() -> None:
    """Its maximum is told without what could be the beginning of a term
    (rule: bounded).
    """
    channel = CheckedText(TERMS, inside_json=False)
    told = ""
    for _ in range(1_000):
        told += channel.add("word " * 3)
        assert len(channel.held) <= SENTENCE_CHARACTERS_MAX + 15
    assert told
    channel.add("Project ")
    with pytest.raises(TermFoundError):
        for _ in range(1_000):
            channel.add("Nightjar ")


@given(st.text(alphabet="cat .!\u200bx", max_size=60), st.integers(1, 9))
def test_a_text_passes_in_pieces_unchanged_or_not_at_all(text: str, size: int) -> None:
    """What is not blocked is told to the letter (rule: wire)."""
    if TERMS.said(text):
        with pytest.raises(TermFoundError):
            pieces(text, size)
    else:
        assert pieces(text, size) == text
