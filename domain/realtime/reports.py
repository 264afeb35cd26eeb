"""What a `response.done` reports, brought into our convention. Pure.

Source: OpenAI's API, "response.done": `input_token_details` has text, audio, image and cached
tokens, the cached ones by kind; cached ones are part of their kind, and all are part of the total.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.pricing.usage import UNREADABLE, Usage


class ResponseReport(NamedTuple):
    """The counts as they stand; what is absent is 0."""

    input_tokens: int
    output_tokens: int
    audio: int = 0
    image: int = 0
    cached: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    spoken: int = 0

    def usage(self) -> Usage:
        """In our convention; parts never exceed their whole, and a negative one makes it unread."""
        if min(self) < 0:
            return UNREADABLE
        cached = min(self.cached, self.input_tokens)
        cached_audio = min(self.cached_audio, cached)
        cached_image = min(self.cached_image, cached - cached_audio)
        fresh = self.input_tokens - cached
        heard = min(max(self.audio - cached_audio, 0), fresh)
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_input_tokens=cached,
            audio_input_tokens=heard,
            audio_output_tokens=min(self.spoken, self.output_tokens),
            image_input_tokens=min(max(self.image - cached_image, 0), fresh - heard),
            cached_audio_input_tokens=cached_audio,
            cached_image_input_tokens=cached_image,
        )


def together(one: Usage, other: Usage) -> Usage:
    """Two responses of one session; where either was counted here, so is the sum.

    Uses are those of its transcripts, which stand in one of the two alone.
    """
    counts = {
        name: getattr(one, name) + getattr(other, name)
        for name in (
            *("input_tokens", "output_tokens", "cached_input_tokens"),
            *("audio_input_tokens", "audio_output_tokens", "image_input_tokens"),
            *("cached_audio_input_tokens", "cached_image_input_tokens"),
        )
    }
    provider = one.source == other.source == "provider"
    return Usage(
        **counts,
        uses=one.uses + other.uses,
        source="provider" if provider else "estimated",
        implausible=one.implausible or other.implausible,
    )
