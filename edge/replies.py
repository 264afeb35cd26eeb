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


def check_page(limit: int, offset: int, *, most: int) -> None:
    """A page outside /v1; raises ApiError 422 for one that cannot be."""
    if not 1 <= limit <= most or offset < 0:
        message = f"limit must be between 1 and {most}, offset at least 0"
        raise ApiError(422, "invalid_page", message)


def page_of(
    rows: Sequence[Row], limit: int | None, offset: int, most: int | None = None
) -> Sequence[Row]:
    """A page of rows below /v1; raises ApiError 400 for one that cannot be."""
    if offset < 0 or (limit is not None and (limit < 0 or (most is not None and limit > most))):
        span = "at least 0" if most is None else f"between 0 and {most}"
        message = f"limit must be {span}, offset at least 0."
        raise bad_request("invalid_value", message, "limit")
    return rows[offset : None if limit is None else offset + limit]
