"""Replies of both sides, decided once: JSON bodies, amounts, instants, pages.

Below /v1 a page that cannot be is OpenAI's 400; elsewhere it is 422, as the framework answers to
parameters of a wrong type.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from fastapi import Response

from domain.pricing.money import usd_number
from edge.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = TypeVar("Row")

OFFSET_MAX = 10_000_000
"""Rows that a page may pass over; no list of ours is longer."""


def json_bytes(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer whose body is written already."""
    return Response(body, status, headers, media_type="application/json")


def json_reply(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return json_bytes(status, msgspec.json.encode(value), headers)


def usd(nano_usd: int) -> msgspec.Raw:
    """An amount in USD as a JSON number, printed exactly from nano-USD."""
    return msgspec.Raw(usd_number(nano_usd).encode())


def timestamp() -> str:
    """The present instant, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


def instant_of(name: str, text: str | None) -> datetime | None:
    """A day's begin or an instant, ISO 8601, in UTC unless it says otherwise; raises ApiError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} must be a day or an instant, such as 2026-01-31 or 2026-01-31T12:00:00Z."
        raise bad_request("invalid_value", message, name) from None


def check_page(limit: int, offset: int, *, most: int) -> None:
    """A page outside /v1; raises ApiError 422 for one that cannot be."""
    if not 1 <= limit <= most or not 0 <= offset <= OFFSET_MAX:
        message = f"limit must be between 1 and {most}, offset between 0 and {OFFSET_MAX}"
        raise ApiError(422, "invalid_page", message)


def page_of(
    rows: Sequence[Row], limit: int | None, offset: int, most: int | None = None
) -> Sequence[Row]:
    """A page of rows below /v1; raises ApiError 400 for one that cannot be."""
    most = OFFSET_MAX if most is None else most
    if not 0 <= offset <= OFFSET_MAX or (limit is not None and not 0 <= limit <= most):
        message = f"limit must be between 0 and {most}, offset between 0 and {OFFSET_MAX}."
        raise bad_request("invalid_value", message, "limit")
    return rows[offset : None if limit is None else offset + limit]
