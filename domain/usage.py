"""What a call used, in tokens, in one convention for all providers.

`input_tokens` includes cached and cache-written ones, `output_tokens` includes reasoning,
whatever the provider's own convention (contract, section "calls").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UsageSource = Literal["provider", "estimated"]

ASCII_CHARACTERS_PER_TOKEN = 4
TWO_BYTE_CHARACTERS_PER_TOKEN = 2
FOUR_BYTE_TOKENS_PER_CHARACTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one call; `source` says whether the provider or we counted."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"

    def as_dict(self) -> dict[str, int | str]:
        """The usage as it stands in events and replies."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_input_tokens": self.cached_input_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "source": self.source,
        }


def reported_usage(
    *,
    prompt_tokens: int,
    completion_tokens: int,
    total_tokens: int,
    cached_tokens: int,
    cache_write_tokens: int,
    reasoning_tokens: int,
) -> Usage:
    """Bring a provider's Chat Completions report into our convention.

    Where the total equals prompt + completion + reasoning, the reasoning lies outside the
    completion (measured on every xAI reply with reasoning) and is added; else it is inside.
    Parts never exceed their whole, so that no term is ever charged a negative count.
    """
    prompt, completion = max(prompt_tokens, 0), max(completion_tokens, 0)
    reasoning = max(reasoning_tokens, 0)
    if reasoning and total_tokens == prompt + completion + reasoning:
        completion += reasoning
    cached = min(max(cached_tokens, 0), prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=cached,
        cache_write_tokens=min(max(cache_write_tokens, 0), prompt - cached),
        reasoning_tokens=min(reasoning, completion),
    )


def estimate_tokens(text: str) -> int:
    """Count tokens by script, for replies that came without a usage report (money rule 6).

    ASCII counts four characters a token; two-byte scripts (Latin with marks, Greek,
    Cyrillic, Hebrew, Arabic) two characters; three-byte scripts (CJK, Indic, Thai) one;
    four-byte characters (emoji) two tokens each. Rounded up.
    """
    if text.isascii():
        return -(-len(text) // ASCII_CHARACTERS_PER_TOKEN)
    ascii_count = len(text.encode("ascii", "ignore"))
    four = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    middle = len(text) - ascii_count - four
    three = len(text.encode("utf-8", "surrogatepass")) - ascii_count - 4 * four - 2 * middle
    two = middle - three
    return (
        -(-ascii_count // ASCII_CHARACTERS_PER_TOKEN)
        + -(-two // TWO_BYTE_CHARACTERS_PER_TOKEN)
        + three
        + FOUR_BYTE_TOKENS_PER_CHARACTER * four
    )


def estimated_usage(*, input_tokens: int, output_tokens: int) -> Usage:
    """Our own count; prompt and output are at least one token each (money rule 6)."""
    return Usage(
        input_tokens=max(input_tokens, 1),
        output_tokens=max(output_tokens, 1),
        source="estimated",
    )
