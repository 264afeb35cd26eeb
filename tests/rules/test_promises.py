"""Every test keeps something that is promised, and every promise has a test that keeps it."""

from __future__ import annotations

import pytest

from tests.rules.promises import PAGE, PARTS, page, read_promises, read_tests, tags_of

PROMISES = read_promises()
TESTS = read_tests()

ENDS = [
    ("Twice is once (P3).", ("P3",)),
    ("Twice is once (P3)", ("P3",)),
    ("Twice is once (P3, money rule 8,\n    rule: wire).", ("P3", "money rule 8", "rule: wire")),
    ("Twice is once.\n\nAlso later (RFC 9110, 10.1.1) (P2).", ("P2",)),
    ("P3: twice is once.", ()),
    ("Twice (P3) is once.", ()),
    ("", ()),
]


@pytest.mark.parametrize(("docstring", "tags"), ENDS)
def test_tags_stand_at_the_end_of_a_docstring(docstring: str, tags: tuple[str, ...]) -> None:
    """In parentheses, over line breaks too; elsewhere they do not count (rule: tidy)."""
    assert tags_of(docstring) == tags


def test_every_test_names_what_it_keeps() -> None:
    """By the tags of `promises.toml`, and by no others (rule: tidy)."""
    assert [f"{t.path}: {t.name} ends with no tag" for t in TESTS if not t.tags] == []
    unknown = [
        f"{test.path}: {test.name} names {tag!r}"
        for test in TESTS
        for tag in test.tags
        if tag not in PROMISES
    ]
    assert unknown == [], f"known are {', '.join(PROMISES)}"


def test_every_promise_has_a_test() -> None:
    """But for those marked `not_yet`, a mark that goes with the first test (rule: tidy)."""
    named = {tag for test in TESTS for tag in test.tags}
    assert [tag for tag, each in PROMISES.items() if each.not_yet == (tag in named)] == []
    assert [tag for tag in PROMISES if not tag.startswith(tuple(PARTS))] == []


def test_the_page_is_what_the_generator_writes() -> None:
    """Its list of tests included: `python -m tests.rules.promises` renews it (rule: docs)."""
    assert PAGE.read_text() == page(PROMISES.values(), TESTS)
