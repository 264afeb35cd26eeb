"""GET /ranking/models and /ranking/apps: public, from our own traffic, cached for a moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import Response

from command_api.errors import ApiError
from projections.redis_sink import sinks_of
from query_api.rankings import read_app_ranking, read_model_ranking

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from command_api.gateway import Gateway
    from event_store.database import ReadPool

DAYS = 7
LIMIT = 50
LIMIT_MAX = 1_000

Order = Literal["requests", "tokens", "users"]


def add_ranking_routes(app: FastAPI, gateway: Gateway, reads: ReadPool) -> None:
    """Serve both routes."""
    settings = gateway.settings
    sinks = sinks_of(settings.redis_url)

    async def ranked(
        name: str, read: Callable[..., list[dict[str, Any]]], days: int, order: Order
    ) -> list[Any]:
        if not 1 <= days <= settings.ranking_days_max:
            message = f"days must be between 1 and {settings.ranking_days_max}"
            raise ApiError(422, "invalid_window", message)
        key = f"ranking:{name}:{days}:{order}"
        known = await gateway.cache.get(key)
        if known is None:
            found = await asyncio.to_thread(
                read, reads, sinks, days=days, order=order, limit=LIMIT_MAX
            )
            known = msgspec.json.encode(found)
            if settings.ranking_cache_s:
                await gateway.cache.put(key, known, ttl_s=settings.ranking_cache_s)
        rows: list[Any] = msgspec.json.decode(known)
        return rows

    def page(rows: list[Any], limit: int, offset: int) -> Response:
        if not 1 <= limit <= LIMIT_MAX or offset < 0:
            message = f"limit must be between 1 and {LIMIT_MAX}, offset at least 0"
            raise ApiError(422, "invalid_page", message)
        shown = rows[offset : offset + limit]
        body = {"success": True, "data": shown, "count": len(shown)}
        more = {"total": len(rows), "limit": limit, "offset": offset}
        return Response(msgspec.json.encode({**body, **more}), media_type="application/json")

    @app.get("/ranking/models")
    async def models(
        limit: int = LIMIT, offset: int = 0, days: int = DAYS, order: Order = "tokens"
    ) -> Response:
        """The models used most, with the trend against the window before."""
        return page(await ranked("models", read_model_ranking, days, order), limit, offset)

    @app.get("/ranking/apps")
    async def apps(
        limit: int = LIMIT, offset: int = 0, days: int = DAYS, order: Order = "tokens"
    ) -> Response:
        """The apps that call most, as callers name them by HTTP-Referer or X-Title."""
        return page(await ranked("apps", read_app_ranking, days, order), limit, offset)
