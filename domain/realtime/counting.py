"""How many tokens can lie in what goes through a session, before anybody has told it. Pure.

A user's audio is one token for 100 ms, a model's one for 50 ms (OpenAI, "Managing costs"). PCM has
24,000 samples of 16 bits a second, G.711 8,000 of 8 bits (OpenAI, "Realtime", audio formats).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

BASE64_CHARACTERS, BASE64_BYTES = 4, 3
"""Four characters of Base64 are three bytes."""
BYTES_PER_TOKEN_BOUND = 2
"""A text has never more tokens than half its bytes, as a hold counts them (money rule 2)."""
BYTES_PER_TOKEN_COUNTED = 4
"""Our own count (money rule 6)."""
MILLISECONDS_PER_TOKEN = 100
"""Of a user's audio."""
ITEM_TOKENS = 16
"""What stands around an item: its role, and the marks of a message."""
INSTRUCTIONS_TOKENS = 2_048
"""For what a provider says to its model where the caller says nothing."""


class AudioFormat(Enum):
    """Bytes of a token of audio: of what is heard, and of what is made."""

    PCM = (4_800, 2_400)
    G711 = (800, 400)

    def heard(self, size: int) -> int:
        """Tokens of so many bytes that a user says, rounded up."""
        return -(-size // self.value[0])

    def milliseconds(self, size: int) -> int:
        """How long so many bytes are that a user says, rounded up."""
        return -(-size * MILLISECONDS_PER_TOKEN // self.value[0])

    def spoken(self, size: int) -> int:
        """Tokens of so many bytes that a model says, rounded up."""
        return -(-size // self.value[1])


FORMATS = {
    "audio/pcm": AudioFormat.PCM,
    "pcm16": AudioFormat.PCM,
    "audio/pcmu": AudioFormat.G711,
    "audio/pcma": AudioFormat.G711,
    "g711_ulaw": AudioFormat.G711,
    "g711_alaw": AudioFormat.G711,
}
"""By the names of the protocol and of its beta."""


class Sent(NamedTuple):
    """Tokens of something that goes into a conversation: the most that can be, and our count.

    `heard` are those of the count that are audio.
    """

    most: int = 0
    counted: int = 0
    heard: int = 0

    def and_also(self, other: Sent) -> Sent:
        """Both together."""
        return Sent(self.most + other.most, self.counted + other.counted, self.heard + other.heard)

    def or_more(self, other: Sent) -> Sent:
        """Whichever is more, of each."""
        return Sent(
            max(self.most, other.most),
            max(self.counted, other.counted),
            max(self.heard, other.heard),
        )

    def at_most(self, tokens: int) -> Sent:
        """No more than a model keeps."""
        return Sent(min(self.most, tokens), min(self.counted, tokens), min(self.heard, tokens))


def bytes_of_base64(characters: int) -> int:
    """The most bytes that so many characters of Base64 are."""
    return characters * BASE64_BYTES // BASE64_CHARACTERS


def text_sent(size: int) -> Sent:
    """A text, or JSON, of so many bytes."""
    return Sent(-(-size // BYTES_PER_TOKEN_BOUND), -(-size // BYTES_PER_TOKEN_COUNTED))


def audio_sent(size: int, form: AudioFormat) -> Sent:
    """Audio of so many bytes, whose length its bytes tell."""
    tokens = form.heard(size)
    return Sent(tokens, tokens, tokens)
