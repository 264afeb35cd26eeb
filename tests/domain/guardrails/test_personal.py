"""What is found in a text, by its form."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.guardrails.folding import folded, likened
from domain.guardrails.patterns import compiled
from domain.guardrails.personal import Kind, find

ALL = tuple(Kind)
MILLION = 1_000_000


def found(text: str) -> list[tuple[str, str]]:
    """Kinds and values, in the text's order."""
    return [(each.kind, text[each.start : each.end]) for each in find(text, ALL)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to Ann.Lee+x@mail.example.co.uk.", "EMAIL", "Ann.Lee+x@mail.example.co.uk"),
        ("jörg@bücher.example", "EMAIL", "jörg@bücher.example"),
        ("card 4111 1111 1111 1111 12/27", "CARD", "4111 1111 1111 1111"),
        ("378282246310005", "CARD", "378282246310005"),
        ("iban DE89 3704 0044 0532 0130 00 and more words", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "IBAN", "gb82west12345698765432"),
        ("ZZ33123456789012345", "", ""),
        ("from 192.168.10.254:80", "IP", "192.168.10.254"),
        ("from 2001:db8::ff00:42:8329 on", "IP", "2001:db8::ff00:42:8329"),
        ("::ffff:10.0.0.1", "IP", "::ffff:10.0.0.1"),
        ("call +49 (0)30 1234-567 now", "PHONE", "+49 (0)30 1234-567"),
        ("call (030) 1234567", "PHONE", "(030) 1234567"),
        ("call 415-555-2671", "PHONE", "415-555-2671"),
        # Wide digits, digits of other scripts, and what nobody sees between them.
        ("４１１１１１１１１１１１１１１１", "CARD", "４１１１１１１１１１１１１１１１"),
        ("+٤٩ ٣٠ ١٢٣٤٥٦٧", "PHONE", "+٤٩ ٣٠ ١٢٣٤٥٦٧"),
        ("an\u200bn＠exa\u00admple.org", "EMAIL", "an\u200bn＠exa\u00admple.org"),
        ("an\x07n@exa\x7fmple.org", "EMAIL", "an\x07n@exa\x7fmple.org"),
        ("ann@\u2800exa\u3164mple\U000e0041.org", "EMAIL", "ann@\u2800exa\u3164mple\U000e0041.org"),
        ("4111\x07 1111 1111\x1b 1111", "CARD", "4111\x07 1111 1111\x1b 1111"),
        (
            "\u200b\u200b4111\u20111111\u20111111\u20111111\u200b",
            "CARD",
            "4111\u20111111\u20111111\u20111111",
        ),
    ],
)
def test_personal_data_is_found_by_its_form(text: str, kind: str, value: str) -> None:
    """As it came, to the character, whatever stands around it (rule: access)."""
    assert found(text) == ([(kind, value)] if kind else [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111 1111 1111 1112",
        "94111111111111111",
        "DE88ABCDEFGHIJKLMNOPQR",
        "DE8937040044",
        "999.1.1.1 and 1.2.3 and 1.2.3.4.5",
        "at 12:30:45 std::vector :: 0.0.0.0",
        "on 2026-11-30, 12345 pieces of 1,000,000",
        "@ a@ @b a@b",
        "99999999999999999999999999999999",
    ],
)
def test_what_only_resembles_it_stays(text: str) -> None:
    """A wrong check digit, half an address, a date, a time (rule: access)."""
    assert found(text) == []


def test_where_two_overlap_the_first_kind_is_taken() -> None:
    """Each character is replaced once, in the text's order (rule: access)."""
    text = "5500 0000 0000 0004 a@b.example 10.0.0.1 c@d.example"
    assert [each for each, _ in found(text)] == ["CARD", "EMAIL", "IP", "EMAIL"]
    own = [("WORD", compiled(r"\w{1,20}")), ("NONE", compiled("zzz"))]
    spans = find("ab a@b.example cd", [Kind.EMAIL], own)
    assert [each.kind for each in spans] == ["WORD", "EMAIL", "WORD"]


@pytest.mark.parametrize(
    "piece",
    ["a", "a@", "1", "1 ", "a.", ":", "1.", "+1", "(0", "DE89", "aa:", "a@b.", "[", "．", "\u200b"],
)
def test_work_grows_with_the_length_alone(piece: str) -> None:
    """Whatever is repeated: eight times the text takes about eight times as long
    (rule: bounded).
    """
    short, long = (piece * (size // len(piece)) for size in (40_000, 320_000))
    times = []
    for text in (short, long):
        begun = time.process_time()
        find(text, ALL)
        times.append(time.process_time() - begun)
    assert times[1] < 8 * times[0] * 4 + 0.3


@given(st.text(alphabet="a1@.:-+ [\u200b４ß\u0301", max_size=80))
def test_places_are_those_of_the_text_as_it_came(text: str) -> None:
    """Spans lie in the text, in order and apart (rule: bounded)."""
    at = 0
    for each in find(text, ALL):
        assert at <= each.start < each.end <= len(text)
        at = each.end


def test_a_text_is_folded_only_as_far_as_it_must_be() -> None:
    """Plain letters stay what they are; without what is unseen each has its place
    (rule: bounded).
    """
    assert folded("abc").span(1, 2) == (1, 2)
    assert folded("ä 1").text == "ä 1"
    assert folded("１\u00a0\u2013").text == "1 -"
    unseen = folded("a\u200b\u200bb")
    assert (unseen.text, unseen.span(0, 2), unseen.span(1, 2)) == ("ab", (0, 4), (3, 4))
    assert likened("ＦＯＯ\u200b Straße") == "foo strasse"
    assert likened("ABC") == "abc"
