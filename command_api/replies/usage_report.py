"""Reads a provider's usage report in Chat Completions form.

Field names measured on real replies: OpenAI's details, DeepSeek's cache hits, Together's
top-level cached_tokens, Mistral's num_cached_tokens, OpenRouter's cache_write_tokens,
and the input and output tokens of OpenAI's image models.
"""

from __future__ import annotations

from typing import Any

import msgspec

from domain.pricing.usage import UNREADABLE, Report, Usage, reported_usage
from domain.pricing.uses import WEB_SEARCH


class Details(msgspec.Struct):
    """Parts of the prompt or of the completion."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    cache_write_1h_tokens: int | None = None


_NO_DETAILS = Details()
UNCOUNTED = -1
"""A count of uses that cannot be."""
COUNTED_BESIDE = frozenset(
    {"server_tool_use", "num_sources_used", "num_search_queries", "service_tier"}
)
"""Members of a report that are no counts of tokens."""


def at_tier(usage: Usage, told: Any) -> Usage:
    """The same usage, of a call of which its provider says that it was served at this tier."""
    return usage._replace(service_tier=told) if isinstance(told, str) else usage


class ReportedUsage(msgspec.Struct):
    """The report as it stands in a reply or chunk."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    prompt_token_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    num_cached_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    server_tool_use: Any = None
    num_sources_used: Any = None
    num_search_queries: Any = None
    service_tier: Any = None

    def usage(self) -> Usage | None:
        """The report in our convention; None when it names no prompt and no completion."""
        prompt = self.input_tokens if self.prompt_tokens is None else self.prompt_tokens
        completion = (
            self.output_tokens if self.completion_tokens is None else self.completion_tokens
        )
        if prompt is None and completion is None:
            if not self.total_tokens:
                return None
            prompt = self.total_tokens  # Embeddings of some providers report only this.
        of_prompt = self.prompt_tokens_details or self.prompt_token_details or _NO_DETAILS
        made = self.completion_tokens_details or _NO_DETAILS
        cached = (
            of_prompt.cached_tokens
            or self.prompt_cache_hit_tokens
            or self.cached_tokens
            or self.num_cached_tokens
        )
        usage = reported_usage(
            Report(
                prompt_tokens=prompt or 0,
                completion_tokens=completion or 0,
                total_tokens=self.total_tokens or 0,
                cached_tokens=cached or 0,
                cache_write_tokens=of_prompt.cache_write_tokens or 0,
                reasoning_tokens=made.reasoning_tokens or 0,
                audio_input_tokens=of_prompt.audio_tokens or 0,
                audio_output_tokens=made.audio_tokens or 0,
                cache_write_1h_tokens=of_prompt.cache_write_1h_tokens,
            )
        )
        if usage is UNREADABLE:
            return usage
        searches = self._searches()
        if searches is not None:
            usage = usage._replace(uses=((WEB_SEARCH, searches),))
        return at_tier(usage, self.service_tier) if self.service_tier else usage

    def _searches(self) -> int | None:
        """The searches of the web that were counted, by whichever name; None for no count.

        Anthropic's and OpenRouter's, xAI's, Perplexity's. What is no whole number cannot be.
        """
        told = self.server_tool_use
        if told is not None:
            told = told.get("web_search_requests") if isinstance(told, dict) else UNCOUNTED
        for other in (self.num_sources_used, self.num_search_queries):
            told = other if told is None else told
        return None if told is None else told if type(told) is int else UNCOUNTED


class FullUsage(ReportedUsage, kw_only=True):
    """A report with the three counts that OpenAI's own types require."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def parse_usage(report: Any) -> Usage | None:
    """A report of any shape; None when there is none in it.

    Whole numbers are read however they are written, as 9.0 or "9": protobuf's JSON writes so. What
    cannot be read is a report that cannot be.
    """
    try:
        return msgspec.convert(report, ReportedUsage, strict=False).usage()
    except msgspec.ValidationError:
        return UNREADABLE
