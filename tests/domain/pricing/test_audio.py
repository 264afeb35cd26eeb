"""How long a file of audio is taken to be, and what its seconds cost."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest

from domain.ledger.holds import CallBound
from domain.ledger.rerating import _unpriced
from domain.pricing.audio import (
    Length,
    container_of,
    length_of,
    second_rate,
    speech_bound,
    spoken_tokens,
)
from domain.pricing.charges import usage_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage

pytestmark = pytest.mark.pure


def wav(
    *,
    kind: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    block: int | None = None,
    byte_rate: int | None = None,
    before: bytes = b"",
    told: int = 32_000,
) -> bytes:
    """The header of a WAV, up to its samples."""
    block = channels * bits // 8 if block is None else block
    byte_rate = rate * block if byte_rate is None else byte_rate
    form = struct.pack("<HHIIHH", kind, channels, rate, byte_rate, block, bits)
    made = b"RIFF\0\0\0\0WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    return made + b"data" + struct.pack("<I", told)


@pytest.mark.parametrize("told", [0, 32_000, 2**32 - 1])
def test_a_wav_of_samples_tells_its_length(told: int) -> None:
    """All that follows the header counts, whatever the header says of it (money rule 2)."""
    head = wav(told=told)
    assert length_of(head, len(head) + 96_000) == Length(3, 3, exact=True)
    assert length_of(head, len(head) + 96_001) == Length(4, 4, exact=True)
    assert length_of(head, len(head)) == Length(1, 1, exact=True)
    odd = wav(before=b"LIST" + struct.pack("<I", 3) + b"abc\0")
    assert length_of(odd, len(odd) + 32_000).counted == 1


@pytest.mark.parametrize(
    "head",
    [
        wav(kind=2),
        wav(channels=0),
        wav(channels=9),
        wav(rate=0),
        wav(rate=400_000),
        wav(bits=12),
        wav(block=64),
        wav(byte_rate=10**9),
        wav()[:40],
        wav()[:16] + b"\x08\0\0\0" + wav()[20:],
        b"RIFF\0\0\0\0WAVE" + b"data" + b"\0\0\0\0",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 20,
    ],
)
def test_a_header_that_cannot_be_bounds_nothing(head: bytes) -> None:
    """A file cannot make itself short: its size bounds it then (money rule 2)."""
    found = length_of(head, 750_000)
    assert (found.most, found.exact) == (1_000, False)


def test_a_header_longer_than_its_file_bounds_nothing() -> None:
    """Samples that begin behind the end are none (money rule 2)."""
    assert not length_of(wav(), 20).exact


def test_a_format_cut_off_bounds_nothing() -> None:
    """Half a format says nothing (money rule 2)."""
    head = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0"
    assert not length_of(head, 32_000).exact


@pytest.mark.parametrize(
    ("head", "container", "most", "counted"),
    [
        (b"ID3\4", "mp3", 1_000, 63),
        (b"\xff\xfb\x90", "mp3", 1_000, 63),
        (b"OggS", "ogg", 1_334, 250),
        (b"fLaC", "flac", 1_000, 20),
        (b"\x1a\x45\xdf\xa3", "webm", 1_334, 250),
        (b"\0\0\0\x20ftypM4A ", "mp4", 1_334, 125),
        (b"what", "", 1_334, 63),
        (b"", "", 1_334, 63),
    ],
)
def test_the_size_bounds_what_is_compressed(
    head: bytes, container: str, most: int, counted: int
) -> None:
    """By its first bytes, never by a name (money rule 2, money rule 6)."""
    assert container_of(head) == container
    assert length_of(head, 1_000_000) == Length(most, counted)
    assert length_of(head, 1_000_000).at_most(60).most == 60


def price(**terms: str) -> PriceVersion:
    """A price of these terms."""
    return PriceVersion(version="v", source="s", effective_at="", terms=PriceTerms.parse(terms))


def test_a_minute_costs_what_it_is_said_to() -> None:
    """Whisper's 0.006 USD are 100,000 nano-USD a second (P4)."""
    whisper = price(per_minute="0.006")
    assert (whisper.counts_seconds, whisper.counts_tokens) == (True, False)
    assert whisper.cost(Usage(0, 0, audio_seconds=61)).nano_usd == 6_100_000
    assert whisper.bound(input_tokens=0, output_tokens=0, audio_seconds=61) == 6_100_000
    assert Usage(0, 0, audio_seconds=61).as_dict()["audio_seconds"] == 61
    assert not price(input_per_million="1", output_per_million="1").counts_seconds


def test_a_second_of_a_third_is_rounded_once() -> None:
    """A price without an end in seconds has six decimals of a nano-USD (P4)."""
    assert second_rate(Decimal("0.00185")) == Decimal("30833.333333")
    cost = price(per_minute="0.00185").cost(Usage(0, 0, audio_seconds=2))
    assert cost == (61_667, "61666.666666")


def test_a_text_bounds_the_audio_that_it_can_become() -> None:
    """Half a second a character and the pauses, longer for a slow voice (money rule 2)."""
    assert speech_bound(20, 100) == (20, 400, 20 * 192_000 + 65_536)
    assert speech_bound(1, 100).seconds == 11
    assert speech_bound(20, 25).seconds == 50
    assert speech_bound(20, 400) == speech_bound(20, 100)


def test_what_was_made_of_a_text_is_counted_by_its_size() -> None:
    """At least a token, at most what the text can become (money rule 6, money rule 2)."""
    bound = speech_bound(20, 100)
    assert spoken_tokens("pcm", 1, bound) == 1
    assert spoken_tokens("pcm", 48_000, bound) == 20
    assert spoken_tokens("mp3", 16_001, bound) == 21
    assert spoken_tokens("opus", 10**9, bound) == 400


def test_characters_are_charged_to_the_last_one() -> None:
    """A millionth of the price each, exactly, beside tokens where both are stated (P4)."""
    by_text = price(per_million_characters="15")
    assert (by_text.counts_characters, by_text.counts_tokens) == (True, False)
    assert by_text.cost(Usage(0, 0, characters=11)) == (165_000, "165000")
    assert by_text.bound(input_tokens=0, output_tokens=0, characters=11) == 165_000
    odd = price(per_million_characters="0.0001", input_per_million="1", output_per_million="2")
    assert odd.cost(Usage(1, 1, characters=5)) == (3_000, "3000.5")
    assert odd.bound(input_tokens=1, output_tokens=1, characters=5) == 3_001
    assert not price(per_minute="1").counts_characters
    tokens = price(input_per_million="1", output_per_million="2")
    assert list(_unpriced(Usage(1, 0, characters=1), tokens)) == ["characters"]
    assert list(_unpriced(Usage(0, 0, characters=1), by_text)) == []


def test_characters_are_told_where_there_are_any() -> None:
    """An event of any other call stays as it was (P5)."""
    assert Usage(0, 0, characters=2).as_dict()["characters"] == 2
    assert "characters" not in Usage(1, 0).as_dict()
    assert usage_of(Usage(0, 0, characters=2).as_dict()) == Usage(0, 0, characters=2)
    assert CallBound(0, characters=3).beside_tokens["characters"] == 3
