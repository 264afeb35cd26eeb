"""When a provider wants to be asked again, in any of the ways in which providers say it.

`Retry-After` in seconds or as a date (RFC 9110, 10.2.3), `retry-after-ms` (Azure),
`X-RateLimit-Reset` as epoch milliseconds or seconds, in the headers or inside the error
(OpenRouter, `error.metadata.headers`), and `RetryInfo.retryDelay` (Google).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from command_api.replies.error_objects import details_of, error_of

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_AFTER_S_MAX = 86_400
EPOCH_MS_LEAST = 100_000_000_000
"""Larger numbers are milliseconds since 1970, smaller ones seconds."""
EPOCH_S_LEAST = 1_000_000_000


def retry_after_s(headers: Mapping[bytes, bytes], body: Any) -> int | None:
    """Whole seconds to wait, rounded up; None when the provider does not say."""
    told = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.items()
    }
    for source in (told, _nested_headers(body)):
        found = _in_headers(source)
        if found is not None:
            return min(max(found, 0), RETRY_AFTER_S_MAX)
    delay = _retry_delay(body)
    return None if delay is None else min(delay, RETRY_AFTER_S_MAX)


def _in_headers(headers: Mapping[str, str]) -> int | None:
    given = headers.get("retry-after", "").strip()
    if given:
        seconds = _number(given)
        return seconds if seconds is not None else _until_date(given)
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return -(-milliseconds // 1_000)
    reset = _number(headers.get("x-ratelimit-reset", ""))
    if reset is None or reset < EPOCH_S_LEAST:
        return None
    until_ms = reset if reset >= EPOCH_MS_LEAST else reset * 1_000
    return max(0, -(-(until_ms - time.time_ns() // 1_000_000) // 1_000))


def _number(text: str) -> int | None:
    """A decimal number of at most 15 digits, rounded up."""
    whole, point, rest = text.strip().partition(".")
    if not whole.isdecimal() or len(whole) > 15:  # noqa: PLR2004 - more is no time.
        return None
    return int(whole) + (1 if point and rest.strip("0") else 0)


def _until_date(text: str) -> int | None:
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0, int((until - datetime.now(UTC)).total_seconds()) + 1)


def _nested_headers(body: Any) -> dict[str, str]:
    about = error_of(body).get("metadata")
    headers = about.get("headers") if isinstance(about, dict) else None
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _retry_delay(body: Any) -> int | None:
    for each in details_of(body):
        delay = each.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    return None
