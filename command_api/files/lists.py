"""What the lists of files and batches are asked with, and how a page is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = ("desc", "asc")
DIGITS_MAX = 9


def limit_of(text: str | None, *, usual: int, most: int) -> int:
    """How many a page has at most; raises ApiError 400."""
    if text is None:
        return usual
    digits = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
    if not digits or not 1 <= int(text) <= most:
        message = f"limit must be a whole number from 1 to {most}."
        raise bad_request("invalid_value", message, "limit")
    return int(text)


def descends(order: str | None) -> bool:
    """Whether the newest comes first; raises ApiError 400."""
    if order is not None and order not in ORDERS:
        message = f"order must be one of {', '.join(ORDERS)}."
        raise bad_request("invalid_value", message, "order")
    return order != "asc"


def page_of(found: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """As OpenAI tells a page; of what was found one may be more than it has."""
    page = list(found[:limit])
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(found) > limit,
    }
