"""What events of transcripts are read as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.realtime.transcripts.events import (
    COMPLETED,
    NO_REPORT,
    PREFIX,
    read_transcript_event,
)
from domain.realtime.transcripts import Heard


def report(used: Any, *, by_length: bool) -> Heard | None:
    """What a completed transcript reports."""
    event = read_transcript_event(json.dumps({"type": COMPLETED, "item_id": "a", "usage": used}))
    assert event is not None
    return event.report(by_length=by_length)


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (1.3, Heard(milliseconds=1_300)),
        (2, Heard(milliseconds=2_000)),
        (0.0004, Heard()),
        (0.0005, Heard(milliseconds=1)),
        (1e3, Heard(milliseconds=1_000_000)),
        (-0.1, NO_REPORT),
        (1e12, NO_REPORT),
        ("1", NO_REPORT),
        (True, NO_REPORT),
        ([1], NO_REPORT),
        (None, None),
    ],
)
def test_a_length_is_milliseconds(seconds: Any, found: Heard | None) -> None:
    """To the nearest; what is no length cannot be (money rule 6, P4)."""
    assert report({"type": "duration", "seconds": seconds}, by_length=True) == found


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (
            {
                "input_tokens": 13,
                "output_tokens": 9,
                "input_token_details": {"text_tokens": 3, "audio_tokens": 10},
            },
            Heard(text=3, audio=10, output=9),
        ),
        ({"input_tokens": 13, "output_tokens": 9}, Heard(audio=13, output=9)),
        (
            {"input_tokens": 13, "output_tokens": 9, "input_token_details": {"text_tokens": 3}},
            Heard(text=3, audio=10, output=9),
        ),
        ({"input_tokens": 1, "output_tokens": 10**30}, NO_REPORT),
        ({"input_tokens": 1.5, "output_tokens": 1}, NO_REPORT),
        ({"input_tokens": True, "output_tokens": 1}, NO_REPORT),
        ({"input_tokens": 13}, NO_REPORT),
        ({"seconds": 3}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_tokens_are_those_of_their_kinds(told: Any, found: Heard | None) -> None:
    """Without details all of the input was heard; what is no count cannot be (money rule 6)."""
    assert report(told, by_length=False) == found


def test_parts_beyond_their_whole_are_below_zero() -> None:
    """Which no report can be (money rule 6, P1)."""
    details = {"audio_tokens": 10**6}
    told = {"input_tokens": 13, "output_tokens": 9, "input_token_details": details}
    found = report(told, by_length=False)
    assert found is not None
    assert not found.within(Heard(10**9, 10**9, 10**9, 10**9))


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"type":7}', "[" * 9_000])
def test_what_is_no_event_is_none(text: str) -> None:
    """Whatever a provider sends (rule: refuse clearly)."""
    assert read_transcript_event(text) is None


def test_items_are_named_with_the_part_that_is_not_the_first() -> None:
    """So that each is charged once (P3)."""
    for index, name in ((None, "a"), (0, "a"), (2, "a/2"), (-1, "a"), ("x", "a"), (2**90, "a")):
        told = {"type": f"{PREFIX}delta", "item_id": "a", "content_index": index, "delta": "b"}
        event = read_transcript_event(json.dumps(told))
        assert event is not None
        assert (event.item, event.text) == (name, "b")
    event = read_transcript_event('{"type":"x","item_id":7,"delta":8,"text":"c"}')
    assert event is not None
    assert (event.item, event.text) == ("", "c")
