"""Operators' own patterns: what is taken of regular expressions, and how long it takes."""

from __future__ import annotations

import time

import pytest

from domain.guardrails.patterns import (
    PATTERN_CHARACTERS_MAX,
    REACH_MAX,
    WINDOW_CHARACTERS,
    PatternError,
    compiled,
    spans,
)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\bE-\d{6}\b", "see E-123456.", "E-123456"),
        (r"AB|C[0-9a-f]{2,4}", "Cafe", "Cafe"),
        (r"[^]x]{3}", "ab]cde", "cde"),
        (r"Kd\.? ?\d{1,8}", "Kd. 42", "Kd. 42"),
        (r"\.\+\n", "a.+\n", ".+\n"),
        # It is possessive: the first item takes all, and nothing is left for the second.
        (r"\d{1,4}\d", "1234", ""),
        (r"ä.\w", "ä-x", "ä-x"),
    ],
)
def test_a_pattern_is_items_in_a_row(pattern: str, text: str, found: str) -> None:
    """Characters, escapes, classes, edges, stated repeats, and ways (rule: contract)."""
    match = compiled(pattern).search(text)
    assert (match[0] if match else "") == found


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "a" * (PATTERN_CHARACTERS_MAX + 1), "a*", "a+", "(a)", "(?:a|b)", "^a", "a$", "a|"),
        *("|a", r"\b", "a{0,5}", "a{", "a{1,}", "a{2,1}", "[a", "a]]{", "\\", r"\1", r"(?<=a)b"),
        *("[z-a]", "a{257}", "(a+)+$", "a??", "a{1,2}{1,2}", r"\p", "[a[b]", "a{9999}"),
    ],
)
def test_what_could_run_for_ever_is_no_pattern(pattern: str) -> None:
    """Groups, open repeats, references, looks around, and what matches nothing
    (rule: bounded, rule: refuse clearly).
    """
    with pytest.raises(PatternError):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{1,80}\d{1,80}x",
        r"a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaaaaaaaaaa",
        r"\d{1,60}y|\d{1,60}z|[0-9a]{1,60}[0-9a]{1,60}!",
        r".{1,255}x",
    ],
)
def test_the_worst_pattern_on_the_worst_text_ends(pattern: str) -> None:
    """What takes others' engines for ever takes a moment (rule: bounded)."""
    made = compiled(pattern)
    begun = time.process_time()
    for text in ("1" * 500_000, "a" * 500_000):
        list(spans(made, text))
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("pattern", [r"\bx{1,256}\b", r"a[^a]{0,200}", "x", r"x\b"])
def test_windows_are_not_seen_in_what_is_found(pattern: str) -> None:
    """At each place around a window's end the same as at once (rule: bounded)."""
    made = compiled(pattern)
    for place in range(WINDOW_CHARACTERS - REACH_MAX - 2, WINDOW_CHARACTERS + 3, 17):
        text = "a" + "y " * (place // 2) + "x" * REACH_MAX + " ax" + " " * WINDOW_CHARACTERS + "x"
        assert list(spans(made, text)) == [each.span() for each in made.finditer(text)]
    assert list(spans(made, "")) == []
