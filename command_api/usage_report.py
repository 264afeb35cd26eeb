"""Reads a provider's usage report in Chat Completions form.

Field names measured on real replies: OpenAI's details, DeepSeek's cache hits, Together's
top-level cached_tokens, OpenRouter's cache_write_tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from domain.usage import Usage, reported_usage


class PromptDetails(msgspec.Struct):
    """Parts of the prompt."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """Parts of the completion."""

    reasoning_tokens: int | None = None


class ReportedUsage(msgspec.Struct):
    """The report as it stands in a reply or chunk."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None

    def usage(self) -> Usage | None:
        """The report in our convention; None when it names no prompt and no completion."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        prompt, completion = self.prompt_tokens or 0, self.completion_tokens or 0
        details, made = self.prompt_tokens_details, self.completion_tokens_details
        cached = (details.cached_tokens if details else None) or self.prompt_cache_hit_tokens
        return reported_usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=self.total_tokens or 0,
            cached_tokens=cached or self.cached_tokens or 0,
            cache_write_tokens=(details.cache_write_tokens or 0) if details else 0,
            reasoning_tokens=(made.reasoning_tokens or 0) if made else 0,
        )


def parse_usage(report: Any) -> Usage | None:
    """A report of any shape; None when it cannot be read, and then our own count is used."""
    try:
        return msgspec.convert(report, ReportedUsage, strict=False).usage()
    except msgspec.ValidationError:
        return None
