"""The public catalog: models, one model, search, comparison. Fixed routes win over ids."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from command_api.catalog.catalog import ALL, Catalog, Shown
from command_api.catalog.comparison import compare
from command_api.catalog.listing import Body, PiecesResponse
from command_api.catalog.objects import offer_object, unpriced_object
from command_api.catalog.view import Direction, Search, SortBy, words_of
from edge.access import OPEN
from edge.asgi import accepts_gzip, header_of
from edge.errors import ApiError, bad_request
from edge.replies import json_reply, page_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH_LIMIT, SEARCH_LIMIT_MAX = 20, 100
DEVELOPER_LIMIT, DEVELOPER_LIMIT_MAX = 50, 250
COMPARED_MAX = 50
router = APIRouter(dependencies=[OPEN])
Modality = Literal["text", "image", "audio", "video", "moderation", "score", "multimodal"]


@router.get("/v1/models")
async def list_models(
    request: Request,
    catalog: Shown,
    limit: int | None = None,
    offset: int = 0,
    gateway: str | None = None,
    provider: str | None = None,
) -> Response:
    """OpenAI's list; complete without `limit`. Who has it already is told so."""
    named = catalog.gateway_named(gateway)
    listing = (await catalog.view.current()).listing
    places = listing.places(named, provider)
    shown = page_of(places, limit, offset)
    headers = {
        "etag": listing.tag(named, provider, limit, offset),
        "cache-control": "no-cache",
        "vary": "accept-encoding",
    }
    if _has(header_of(request.scope, b"if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    about = {
        "total": len(places),
        "returned": len(shown),
        "limit": limit,
        "offset": offset,
        "gateway": named or ALL,
        "timestamp": listing.made_at,
    }
    body = Body(listing, shown, about)
    whole = len(shown) == len(listing.rows) and limit is None
    if whole and named is None and accepts_gzip(header_of(request.scope, b"accept-encoding")):
        packed = listing.compressed or await catalog.reads.lane.run(listing.compress, body)
        headers["content-encoding"] = "gzip"
        return Response(packed, 200, headers, media_type="application/json")
    return PiecesResponse(body, headers)


def _has(if_none_match: bytes, tag: str) -> bool:
    """Whether one of the entity tags of a header is this, or any is meant (weak comparison)."""
    told = [each.strip() for each in if_none_match.decode("latin-1").split(",")]
    return "*" in told or tag in told or tag.removeprefix("W/") in told


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


@router.get("/v1/models/search")
async def search(  # noqa: PLR0913, PLR0917 - the parameters are the route's contract.
    catalog: Shown,
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
        words=words_of(q),
        modality=modality,
        min_context=min_context,
        max_context=max_context,
        min_price=_decimal("min_price", min_price),
        max_price=_decimal("max_price", max_price),
        gateway=catalog.gateway_named(gateway),
        sort_by=sort_by,
        order=order,
    )
    snapshot, found = await catalog.view.search(wanted, catalog.popularity)
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
            "data": await snapshot.rows(shown, wanted.gateway),
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


def _gateways_of(catalog: Catalog, text: str) -> list[str]:
    if text == ALL:
        return list(catalog.registry.providers)
    named = [catalog.gateway_named(each.strip()) for each in text.split(",") if each.strip()]
    return [each for each in named if each is not None]


@router.get("/v1/models/{provider}/{model:path}/compare")
async def compare_model(catalog: Shown, provider: str, model: str, gateways: str = ALL) -> Response:
    """The offers of one model at all providers, or at those named."""
    entry = catalog.entry(f"{provider}/{model}")
    return json_reply(
        {
            "success": True,
            "model_id": entry.canonical,
            "provider": provider,
            "model": model,
            **compare(entry, _gateways_of(catalog, gateways)),
            "timestamp": timestamp(),
        }
    )


@router.post("/models/batch-compare")
async def batch_compare(
    catalog: Shown,
    model_ids: list[str] = Query(),  # noqa: B008, FAST002 - FastAPI's way to repeat one.
    criteria: Literal["price", "context", "availability"] = "price",
) -> Response:
    """Several models side by side."""
    if len(model_ids) > COMPARED_MAX:
        message = f"model_ids holds more than {COMPARED_MAX} models."
        raise bad_request("invalid_value", message, "model_ids")
    results = []
    for model_id in model_ids:
        offer = catalog.registry.resolve(model_id)
        entry = catalog.entry_of(offer) if offer else None
        compared = compare(entry, _gateways_of(catalog, ALL)) if entry else None
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


@router.get("/models/{model_id:path}")
async def get_model(catalog: Shown, model_id: str, gateway: str | None = None) -> Response:
    """OpenAI's model object, what older clients read in `data` beside it; ids hold slashes."""
    named = catalog.gateway_named(gateway)
    registry = catalog.registry
    offers = registry.offers(model_id)
    if named is not None:
        offers = [each for each in offers if each.provider == named]
    if offers:
        model = offers[0]
        shown = offer_object(model)
        source = registry.providers[model.provider]
        raw = source.raw.get(model.id)
        others = catalog.entry_of(model).as_object()["offers"]
        return _one(model_id, shown, raw, others)
    unpriced = _unpriced(catalog, model_id)
    if unpriced is not None:
        return _one(model_id, *unpriced, [])
    if "/" not in model_id:
        return await _developer(catalog, model_id)
    raise catalog.router.refusal(model_id)


@router.get("/v1/models/{model_id:path}")
async def of_developer(
    catalog: Shown,
    model_id: str,
    gateway: str | None = None,
    limit: int = DEVELOPER_LIMIT,
    offset: int = 0,
) -> Response:
    """A model, or else all models of a developer."""
    if "/" not in model_id and not catalog.registry.offers(model_id):
        return await _developer(catalog, model_id, limit, offset)
    return await get_model(catalog, model_id, gateway)


def _unpriced(
    catalog: Catalog, model_id: str
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """A listed model without a price, and its entry in the provider's list."""
    found = catalog.registry.unpriced(model_id)
    if found is None:
        return None
    provider, item = found
    return unpriced_object(provider.name, item, provider.canonical_of(item.id)), item.raw


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


async def _developer(
    catalog: Catalog, developer: str, limit: int = DEVELOPER_LIMIT, offset: int = 0
) -> Response:
    """All models whose canonical id begins with an organisation's name."""
    snapshot = await catalog.view.current()
    found = snapshot.developers.get(developer.lower(), [])
    if not found:
        error: ApiError = catalog.router.refusal(developer)
        raise error
    shown = page_of(found, limit, offset, DEVELOPER_LIMIT_MAX)
    return json_reply(
        {
            "developer": developer,
            "models": await snapshot.rows(shown),
            "total": len(found),
            "count": len(shown),
            "offset": offset,
            "limit": limit,
            "gateway": ALL,
        }
    )
