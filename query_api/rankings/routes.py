"""GET /ranking/models and /ranking/apps: public, from our own traffic, cached for a moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import APIRouter, Response

from edge.errors import ApiError
from edge.replies import check_page, json_reply
from query_api.parts import Parts, ReadParts  # noqa: TC001 - FastAPI reads annotations.
from query_api.rankings.queries import read_app_ranking, read_model_ranking

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = 7
LIMIT = 50
LIMIT_MAX = 1_000

Order = Literal["requests", "tokens", "users"]

router = APIRouter()


async def _ranked(
    parts: ReadParts,
    name: str,
    read: Callable[..., list[dict[str, Any]]],
    days: int,
    order: Order,
) -> list[Any]:
    if not 1 <= days <= parts.ranking_days_max:
        message = f"days must be between 1 and {parts.ranking_days_max}"
        raise ApiError(422, "invalid_window", message)
    key = f"ranking:{name}:{days}:{order}"
    known = await parts.cache.get(key)
    if known is None:
        found = await asyncio.to_thread(
            read, parts.reads, parts.sinks, days=days, order=order, limit=LIMIT_MAX
        )
        known = msgspec.json.encode(found)
        if parts.ranking_cache_s:
            await parts.cache.put(key, known, ttl_s=parts.ranking_cache_s)
    rows: list[Any] = msgspec.json.decode(known)
    return rows


def _page(rows: list[Any], limit: int, offset: int) -> Response:
    check_page(limit, offset, most=LIMIT_MAX)
    shown = rows[offset : offset + limit]
    body = {"success": True, "data": shown, "count": len(shown)}
    return json_reply({**body, "total": len(rows), "limit": limit, "offset": offset})


@router.get("/ranking/models")
async def models(
    parts: Parts, limit: int = LIMIT, offset: int = 0, days: int = DAYS, order: Order = "tokens"
) -> Response:
    """The models used most, with the trend against the window before."""
    rows = await _ranked(parts, "models", read_model_ranking, days, order)
    return _page(rows, limit, offset)


@router.get("/ranking/apps")
async def apps(
    parts: Parts, limit: int = LIMIT, offset: int = 0, days: int = DAYS, order: Order = "tokens"
) -> Response:
    """The apps that call most, as callers name them by HTTP-Referer or X-Title."""
    return _page(await _ranked(parts, "apps", read_app_ranking, days, order), limit, offset)
