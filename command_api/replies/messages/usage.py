"""Usage in Anthropic's form: its reports as ours, and what is charged as one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.usage_report import parse_usage
from domain.pricing.money import usd_number
from domain.pricing.usage import UNREADABLE
from providers.inference.adapters.anthropic.reply import usage_of

if TYPE_CHECKING:
    from domain.pricing.usage import Usage


def reported(report: Any, searches: int = 0) -> Usage | None:
    """What Anthropic reports; None for no report. What cannot be read is a report that cannot be.

    It goes the way that it goes when chat is translated, so that both cost the same. `searches` are
    those that the message shows.
    """
    if report is None:
        return None
    try:
        return parse_usage(usage_of(report, searches))
    except (AttributeError, TypeError):
        return UNREADABLE


def told(usage: Usage, nano_usd: int) -> dict[str, Any]:
    """What a translated reply says of its usage, and in `cost` how many USD it costs, exactly."""
    fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    thought = usage.reasoning_tokens
    made = {"output_tokens_details": {"thinking_tokens": thought}} if thought else {}
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        **made,
        "cost": msgspec.Raw(usd_number(nano_usd).encode()),
    }
