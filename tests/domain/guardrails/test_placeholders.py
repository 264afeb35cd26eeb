"""Placeholders of one prompt, and the way back."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.guardrails.personal import Kind, Span, find
from domain.guardrails.placeholders import (
    VALUES_MAX,
    Placeholders,
    RestoredText,
    TooManyValuesError,
)


def made(text: str, *others: str) -> tuple[Placeholders, str]:
    """The placeholders of a prompt, and the prompt with them."""
    of = Placeholders([text, *others])
    return of, of.replaced(text, find(text, [Kind.EMAIL, Kind.IP]))


def test_the_same_value_has_the_same_placeholder() -> None:
    """In the prompt's order, so that a longer conversation begins with the same ones
    (rule: contract).
    """
    of, text = made("a@x.example b@x.example a@x.example 10.0.0.1")
    assert text == "[EMAIL_1] [EMAIL_2] [EMAIL_1] [IP_1]"
    assert (of.count, of.longest) == (4, 9)
    assert made("nothing")[1] == "nothing"
    assert made("nothing")[0].longest == 0


def test_only_what_stood_in_this_prompt_is_restored() -> None:
    """One that a model makes up, or the caller wrote himself, is text (rule: access)."""
    of, text = made("[EMAIL_1] and a@x.example", "[EMAIL_2]")
    assert text == "[EMAIL_1] and [EMAIL_3]"
    answer = "[EMAIL_1] [EMAIL_2] [EMAIL_3] [EMAIL_4] [IP_1] [EMAIL_03] [email_3]"
    assert of.restored(answer) == answer.replace("[EMAIL_3]", "a@x.example")
    other, _ = made("b@y.example")
    assert other.restored("[EMAIL_1] [EMAIL_3]") == "b@y.example [EMAIL_3]"
    assert Placeholders([]).restored("[EMAIL_1]") == "[EMAIL_1]"


def test_a_value_is_escaped_inside_json() -> None:
    """JSON's own text stays JSON (rule: wire)."""
    of = Placeholders([])
    value = 'a "quoted"\\\n line'
    placeholder = of.replaced(value, [Span(0, len(value), "OWN")])
    told = of.restored(f'{{"x": "{placeholder}"}}', inside_json=True)
    assert json.loads(told) == {"x": value}
    assert of.restored(placeholder) == value


def test_values_have_a_maximum() -> None:
    """A prompt of nothing else is a failure of the guard (rule: bounded)."""
    text = " ".join(f"u{at}@x.example" for at in range(VALUES_MAX + 1))
    of = Placeholders([])
    with pytest.raises(TooManyValuesError):
        of.replaced(text, find(text, [Kind.EMAIL]))


@given(
    st.lists(
        st.sampled_from(
            ["[EMAIL_1]", "[EMAIL_2]", "[EMAIL_9]", "[", "[EMA", "]", "[[", "x", " ä😀"]
        )
    ),
    st.lists(st.integers(0, 60)),
    st.booleans(),
)
def test_however_a_text_is_cut_it_is_restored_the_same(
    parts: list[str], cuts: list[int], inside_json: bool
) -> None:
    """At any character, also in the midst of a placeholder (rule: wire)."""
    of, _ = made("a@x.example b@x.example")
    text = "".join(parts)
    channel = RestoredText(of, inside_json=inside_json)
    places = sorted({0, len(text), *(each for each in cuts if each <= len(text))})
    told = ""
    for begin, end in pairwise(places):
        told += channel.add(text[begin:end])
        assert len(channel.held) < of.longest
    assert told + channel.end() == of.restored(text, inside_json=inside_json)
    assert channel.held == ""


def test_a_text_that_ends_inside_a_placeholder_ends_so() -> None:
    """What began and did not go on is what was made (rule: wire)."""
    of, _ = made("a@x.example")
    channel = RestoredText(of, inside_json=False)
    assert (channel.add("to [EMAIL_"), channel.held) == ("to ", "[EMAIL_")
    assert channel.end() == "[EMAIL_"
