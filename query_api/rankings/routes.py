"""GET /ranking/models and /ranking/apps: public, from our own traffic, cached for a moment.

How many users there are is for callers with a key, unless the operator shows it to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import APIRouter, Response

from edge.access import OPEN
from edge.errors import ApiError, invalid_key
from edge.replies import check_page, json_reply
from query_api.parts import Parts, ReadParts, SeesAll  # noqa: TC001 - FastAPI reads annotations.
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
    *,
    sees_all: bool,
) -> list[Any]:
    if not 1 <= days <= parts.ranking_days_max:
        message = f"days must be between 1 and {parts.ranking_days_max}"
        raise ApiError(422, "invalid_window", message)
    if order == "users" and not sees_all:
        message = "The order by users is for callers with an API key."
        raise invalid_key(message)
    key = f"ranking:{name}:{days}:{order}"

    async def make() -> bytes:
        known = await parts.cache.get(key)
        if known is None:
            found = await parts.public.run(
                read, parts.sinks, days=days, order=order, limit=LIMIT_MAX
            )
            known = msgspec.json.encode(found)
            if parts.ranking_cache_s:
                await parts.cache.put(key, known, ttl_s=parts.ranking_cache_s)
        return known

    rows: list[Any] = msgspec.json.decode(await parts.flights.get(key, make))
    return rows if sees_all else [{**each, "users": None} for each in rows]


def _page(rows: list[Any], limit: int, offset: int) -> Response:
    check_page(limit, offset, most=LIMIT_MAX)
    shown = rows[offset : offset + limit]
    body = {"success": True, "data": shown, "count": len(shown)}
    return json_reply({**body, "total": len(rows), "limit": limit, "offset": offset})


@router.get("/ranking/models", dependencies=[OPEN])
async def models(
    parts: Parts,
    sees_all: SeesAll,
    limit: int = LIMIT,
    offset: int = 0,
    days: int = DAYS,
    order: Order = "tokens",
) -> Response:
    """The models used most, with the trend against the window before."""
    rows = await _ranked(parts, "models", read_model_ranking, days, order, sees_all=sees_all)
    return _page(rows, limit, offset)


@router.get("/ranking/apps", dependencies=[OPEN])
async def apps(
    parts: Parts,
    sees_all: SeesAll,
    limit: int = LIMIT,
    offset: int = 0,
    days: int = DAYS,
    order: Order = "tokens",
) -> Response:
    """The apps that call most, as callers name them by HTTP-Referer or X-Title."""
    rows = await _ranked(parts, "apps", read_app_ranking, days, order, sees_all=sees_all)
    return _page(rows, limit, offset)
