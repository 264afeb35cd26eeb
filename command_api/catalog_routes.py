"""The public catalog: models, one model, search, comparison. Fixed routes win over ids."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import Query, Response

from command_api.catalog_view import (
    CatalogView,
    Direction,
    Search,
    SortBy,
    compare,
    offer_object,
    unpriced_object,
)
from command_api.errors import ApiError, bad_request
from providers.inference.built_in import OTHER_NAMES
from query_api.traffic import read_traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

    from command_api.catalog_view import Entry
    from command_api.gateway import Gateway
    from event_store.database import ReadPool
    from providers.inference.offers import Provider

SEARCH_LIMIT, SEARCH_LIMIT_MAX = 20, 100
DEVELOPER_LIMIT = 50
COMPARED_MAX = 50
ALL = "all"
POPULAR_RANGE = "7d"
Modality = Literal["text", "image", "audio", "video", "multimodal"]


def json_reply(value: Any) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), media_type="application/json")


def timestamp() -> str:
    """The present instant, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()


def page_of(rows: list[Any], limit: int | None, offset: int, most: int | None = None) -> list[Any]:
    """A page of rows; raises ApiError 400 for an odd one."""
    if offset < 0 or (limit is not None and (limit < 0 or (most is not None and limit > most))):
        span = "at least 0" if most is None else f"between 0 and {most}"
        message = f"limit must be {span}, offset at least 0."
        raise bad_request("invalid_value", message, "limit")
    return rows[offset : None if limit is None else offset + limit]


class Catalog:
    """What the catalog's routes share."""

    def __init__(self, gateway: Gateway, reads: ReadPool) -> None:
        """One for each process."""
        self.gateway, self.reads = gateway, reads
        self.view = CatalogView(gateway.registry)

    def gateway_named(self, name: str | None) -> str | None:
        """The provider that a `gateway` parameter means, None for all; raises ApiError 400."""
        if name is None or name == ALL:
            return None
        name = OTHER_NAMES.get(name, name)
        registry = self.gateway.registry
        if name not in registry.providers and name not in registry.unconfigured:
            message = f"There is no gateway {name!r}: GET /v1/provider lists them."
            raise bad_request("unknown_gateway", message, "gateway")
        return name

    async def popularity(self) -> dict[str, int]:
        """Requests of the last days by canonical id, for ordering; cached for a moment."""
        settings = self.gateway.settings
        known = await self.gateway.cache.get("popularity")
        if known is None:
            traffic = await asyncio.to_thread(read_traffic, self.reads, POPULAR_RANGE)
            found: dict[str, int] = {}
            for each in traffic.by_model:
                provider = self.gateway.registry.providers.get(each.provider)
                if provider is not None:
                    canonical = provider.canonical_of(each.model)
                    found[canonical] = found.get(canonical, 0) + each.requests
            known = msgspec.json.encode(found)
            if settings.ranking_cache_s:
                await self.gateway.cache.put("popularity", known, ttl_s=settings.ranking_cache_s)
        return msgspec.json.decode(known, type=dict[str, int])

    def entry(self, model: str) -> Entry:
        """The entry of what a caller wrote; raises ApiError 404 or as the router says."""
        registry = self.gateway.registry
        offer = registry.resolve(model)
        if offer is None:
            raise self.gateway.router.refusal(model)
        return self.view.entries()[offer.canonical]


def add_catalog_routes(app: FastAPI, catalog: Catalog) -> None:
    """Serve the routes of models; those of fixed names first."""
    _add_list(app, catalog)
    _add_search(app, catalog)
    _add_comparison(app, catalog)
    _add_model(app, catalog)


def _add_list(app: FastAPI, catalog: Catalog) -> None:
    @app.get("/v1/models")
    async def list_models(
        limit: int | None = None,
        offset: int = 0,
        gateway: str | None = None,
        provider: str | None = None,
    ) -> Response:
        """OpenAI's list; complete without `limit`."""
        named = catalog.gateway_named(gateway)
        rows = [
            each
            for each in catalog.view.objects()
            if (named is None or each["source_gateway"] == named)
            and (provider is None or provider in (each["provider_slug"], each["owned_by"]))
        ]
        shown = page_of(rows, limit, offset)
        return json_reply(
            {
                "object": "list",
                "data": shown,
                "total": len(rows),
                "returned": len(shown),
                "limit": limit,
                "offset": offset,
                "gateway": named or ALL,
                "timestamp": timestamp(),
            }
        )


def _decimal(name: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        message = f"{name} must be a decimal number of USD per million tokens."
        raise bad_request("invalid_value", message, name)
    return value


def _add_search(app: FastAPI, catalog: Catalog) -> None:
    @app.get("/v1/models/search")
    async def search(  # noqa: PLR0913, PLR0917 - the parameters are the route's contract.
        q: str = "",
        modality: Modality | None = None,
        min_context: int | None = None,
        max_context: int | None = None,
        min_price: str | None = None,
        max_price: str | None = None,
        gateway: str = ALL,
        sort_by: SortBy = "price",
        order: Direction = "asc",
        limit: int = SEARCH_LIMIT,
        offset: int = 0,
    ) -> Response:
        """Models by name, modality, context and price (USD per million input tokens)."""
        wanted = Search(
            text=q,
            modality=modality,
            min_context=min_context,
            max_context=max_context,
            min_price=_decimal("min_price", min_price),
            max_price=_decimal("max_price", max_price),
            gateway=catalog.gateway_named(gateway),
            sort_by=sort_by,
            order=order,
        )
        popularity = await catalog.popularity() if sort_by == "popularity" else {}
        found = catalog.view.search(wanted, popularity)
        shown = page_of(found, limit, offset, SEARCH_LIMIT_MAX)
        applied = {
            "q": q or None,
            "modality": modality,
            "min_context": min_context,
            "max_context": max_context,
            "min_price": min_price,
            "max_price": max_price,
            "gateway": gateway,
            "sort_by": sort_by,
            "order": order,
        }
        return json_reply(
            {
                "success": True,
                "data": [each.as_object(wanted.gateway) for each in shown],
                "meta": {
                    "total": len(found),
                    "limit": limit,
                    "offset": offset,
                    "returned": len(shown),
                    "filters_applied": {k: v for k, v in applied.items() if v is not None},
                },
                "timestamp": timestamp(),
            }
        )


def _add_comparison(app: FastAPI, catalog: Catalog) -> None:
    def gateways_of(text: str) -> list[str]:
        if text == ALL:
            return list(catalog.gateway.registry.providers)
        named = [catalog.gateway_named(each.strip()) for each in text.split(",") if each.strip()]
        return [each for each in named if each is not None]

    @app.get("/v1/models/{provider}/{model:path}/compare")
    async def compare_model(provider: str, model: str, gateways: str = ALL) -> Response:
        """The offers of one model at all providers, or at those named."""
        entry = catalog.entry(f"{provider}/{model}")
        return json_reply(
            {
                "success": True,
                "model_id": entry.canonical,
                "provider": provider,
                "model": model,
                **compare(entry, gateways_of(gateways)),
                "timestamp": timestamp(),
            }
        )

    @app.post("/models/batch-compare")
    async def batch_compare(
        model_ids: list[str] = Query(),  # noqa: B008, FAST002 - FastAPI's way to repeat one.
        criteria: Literal["price", "context", "availability"] = "price",
    ) -> Response:
        """Several models side by side."""
        if len(model_ids) > COMPARED_MAX:
            message = f"model_ids holds more than {COMPARED_MAX} models."
            raise bad_request("invalid_value", message, "model_ids")
        results = []
        for model_id in model_ids:
            offer = catalog.gateway.registry.resolve(model_id)
            entry = catalog.view.entries().get(offer.canonical) if offer else None
            compared = compare(entry, gateways_of(ALL)) if entry else None
            results.append(
                {
                    "model_id": model_id,
                    "comparison": compared,
                    "gateways_available": [each.provider for each in entry.offers] if entry else [],
                }
            )
        order: dict[str, Callable[[dict[str, Any]], Any]] = {
            "price": lambda each: Decimal(
                (each["comparison"] or {}).get("savings", {}).get("cheapest_cost") or "Infinity"
            ),
            "context": lambda each: -_longest(each["comparison"]),
            "availability": lambda each: -len(each["gateways_available"]),
        }
        results.sort(key=order[criteria])
        return json_reply(
            {
                "success": True,
                "criteria": criteria,
                "models_compared": len(results),
                "results": results,
                "timestamp": timestamp(),
            }
        )


def _longest(compared: dict[str, Any] | None) -> int:
    rows = compared["comparisons"] if compared else []
    return max((each.get("context_length") or 0 for each in rows), default=0)


def _add_model(app: FastAPI, catalog: Catalog) -> None:
    async def get_model(model_id: str, gateway: str | None = None) -> Response:
        """OpenAI's model object, what older clients read in `data` beside it; ids hold slashes."""
        named = catalog.gateway_named(gateway)
        registry = catalog.gateway.registry
        offers = registry.offers(model_id)
        if named is not None:
            offers = [each for each in offers if each.provider == named]
        if offers:
            model = offers[0]
            shown = offer_object(model)
            source = registry.providers[model.provider]
            raw = source.raw.get(model.id)
            others = catalog.view.entries()[model.canonical].as_object()["offers"]
            return _one(model_id, shown, raw, others)
        unpriced = _unpriced(catalog, model_id)
        if unpriced is not None:
            return _one(model_id, *unpriced, [])
        if "/" not in model_id:
            return _developer(catalog, model_id)
        raise catalog.gateway.router.refusal(model_id)

    async def of_developer(
        model_id: str, gateway: str | None = None, limit: int = DEVELOPER_LIMIT, offset: int = 0
    ) -> Response:
        """A model, or else all models of a developer."""
        if "/" not in model_id and not catalog.gateway.registry.offers(model_id):
            return _developer(catalog, model_id, limit, offset)
        return await get_model(model_id, gateway)

    handler: Callable[..., Awaitable[Response]] = of_developer
    app.get("/v1/models/{model_id:path}")(handler)
    app.get("/models/{model_id:path}")(get_model)


def _unpriced(
    catalog: Catalog, model_id: str
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """A listed model without a price, and its entry in the provider's list."""
    registry = catalog.gateway.registry
    name = registry.unpriced(model_id)
    if name is None:
        return None
    provider: Provider = registry.providers[name]
    own = model_id.removeprefix(f"{name}/") if registry.pins(model_id) else model_id
    item = provider.unpriced[own]
    return unpriced_object(name, item, provider.canonical_of(own)), item.raw


def _one(
    model_id: str,
    shown: dict[str, Any],
    raw: dict[str, Any] | None,
    offers: list[dict[str, Any]],
) -> Response:
    gateway = shown["source_gateway"]
    provider, _, model = model_id.partition("/")
    return json_reply(
        {
            **shown,
            "offers": offers,
            "data": {**shown, f"raw_{gateway}": raw},
            "provider": provider,
            "model": model or provider,
            "gateway": gateway,
            "timestamp": timestamp(),
        }
    )


def _developer(
    catalog: Catalog, developer: str, limit: int = DEVELOPER_LIMIT, offset: int = 0
) -> Response:
    """All models whose canonical id begins with an organisation's name."""
    found = [
        each
        for name, each in catalog.view.entries().items()
        if name.partition("/")[0] == developer.lower() and "/" in name
    ]
    if not found:
        error: ApiError = catalog.gateway.router.refusal(developer)
        raise error
    shown = page_of(found, limit, offset)
    return json_reply(
        {
            "developer": developer,
            "models": [each.as_object() for each in shown],
            "total": len(found),
            "count": len(shown),
            "offset": offset,
            "limit": limit,
            "gateway": ALL,
        }
    )
