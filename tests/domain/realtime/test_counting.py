"""What can lie in what goes through a session."""

from __future__ import annotations

import pytest

from domain.realtime.counting import (
    FORMATS,
    AudioFormat,
    Sent,
    audio_sent,
    bytes_of_base64,
    text_sent,
)


@pytest.mark.parametrize(
    ("form", "heard", "spoken"), [("audio/pcm", 10, 20), ("audio/pcmu", 10, 20)]
)
def test_a_second_of_audio_has_its_tokens(form: str, heard: int, spoken: int) -> None:
    """Ten where it is heard, twenty where it is made, in every format (money rule 2)."""
    made = FORMATS[form]
    second = 48_000 if made is AudioFormat.PCM else 8_000
    assert (made.heard(second), made.spoken(second)) == (heard, spoken)
    assert (made.heard(second + 1), made.spoken(second + 1)) == (heard + 1, spoken + 1)
    assert made.heard(0) == 0


def test_texts_and_sounds_are_bounded_and_counted() -> None:
    """The most that can be stands beside our own count (money rule 2, money rule 6)."""
    assert text_sent(9) == Sent(5, 3, 0)
    assert audio_sent(4_801, AudioFormat.PCM) == Sent(2, 2, 2)
    assert bytes_of_base64(8) == 6


def test_what_is_sent_adds_up_and_is_bounded() -> None:
    """Together, the larger of each, and never more than a model keeps (money rule 2)."""
    one, other = Sent(10, 4, 2), Sent(3, 6, 1)
    assert one.and_also(other) == Sent(13, 10, 3)
    assert one.or_more(other) == Sent(10, 6, 2)
    assert one.at_most(3) == Sent(3, 3, 2)
