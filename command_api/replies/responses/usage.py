"""Usage in the form of Responses: its reports as ours, and what is charged as one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.usage_report import at_tier, parse_usage
from domain.pricing.money import usd_number
from domain.pricing.usage import UNREADABLE
from domain.pricing.uses import counted_uses

if TYPE_CHECKING:
    from domain.pricing.usage import Usage

NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
    "num_sources_used": "num_sources_used",
}
"""The same counts by the names of Chat Completions."""


def reported(report: Any) -> Usage | None:
    """What a provider reports; None for no report. What cannot be read is one that cannot be.

    It goes the way that chat's goes, so that both cost the same.
    """
    if report is None:
        return None
    if not isinstance(report, dict):
        return UNREADABLE
    return parse_usage({NAMES[name]: told for name, told in report.items() if name in NAMES})


def reported_in(response: dict[str, Any]) -> Usage | None:
    """The same of a whole response: with the uses that its output shows, and its service tier."""
    usage = reported(response.get("usage"))
    if usage is None:
        return None
    output = response.get("output")
    if not usage.uses and isinstance(output, list):
        usage = usage._replace(uses=tuple(counted_uses(output).items()))
    return at_tier(usage, response.get("service_tier"))


def told(usage: Usage, nano_usd: int) -> dict[str, Any]:
    """What a translated response says of its usage, and in `cost` how many USD, exactly."""
    of_input: dict[str, Any] = {"cached_tokens": usage.cached_input_tokens}
    of_input["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": of_input,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "cost": msgspec.Raw(usd_number(nano_usd).encode()),
    }
