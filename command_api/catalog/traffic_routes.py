"""Providers, and what our own traffic says of them: stats, trends, leading models.

Providers and trends are public; money and numbers of users are for callers with a key, unless
the operator shows them to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Response

from command_api.catalog.catalog import ALL, Catalog, Shown
from edge.access import OPEN
from edge.errors import bad_request, invalid_key
from edge.replies import json_reply, page_of, timestamp, usd
from providers.inference.registry.built_in import BY_NAME
from providers.inference.registry.trouble import TroubleKind
from query_api.parts import FOR_CALLERS, SeesAll
from query_api.traffic.queries import NOTHING, Figures

if TYPE_CHECKING:
    from providers.inference.registry.offers import Provider

router = APIRouter()
Range = Literal["1h", "24h", "7d", "30d"]
RangeOrAll = Literal["1h", "24h", "7d", "30d", "all"]
TRENDING_LIMIT, TRENDING_LIMIT_MAX = 10, 100
TOP_LIMIT, TOP_LIMIT_MAX = 5, 20
PROVIDERS_LIMIT = 50


def _per_request(value: int, requests: int) -> int:
    return value // requests if requests else 0


def _stats(figures: Figures) -> dict[str, Any]:
    """The figures under the names that older clients know."""
    return {
        "total_requests": figures.requests,
        "total_tokens": figures.tokens,
        "total_cost": usd(figures.charged),
        "unique_users": figures.users,
        "avg_speed_tokens_per_sec": figures.tokens_per_second,
        "avg_tokens_per_request": _per_request(figures.tokens, figures.requests),
        "avg_cost_per_request": usd(_per_request(figures.charged, figures.requests)),
    }


def _model_line(each: Figures) -> dict[str, Any]:
    return {
        "model": each.model,
        "requests": each.requests,
        "tokens": each.tokens,
        "cost": usd(each.charged),
    }


def _known(catalog: Catalog, name: str) -> str:
    found = catalog.gateway_named(name)
    if found is None:
        message = "Name one provider: GET /v1/provider lists them."
        raise bad_request("unknown_gateway", message, "gateway")
    return found


@router.get("/v1/models/trending", dependencies=[OPEN])
async def trending(
    catalog: Shown,
    sees_all: SeesAll,
    gateway: str = ALL,
    time_range: Range = "24h",
    limit: int = TRENDING_LIMIT,
    sort_by: Literal["requests", "tokens", "users"] = "requests",
) -> Response:
    """The models used most of late; what they earned, and for how many, is for callers."""
    if sort_by == "users" and not sees_all:
        message = "The order by users is for callers with an API key."
        raise invalid_key(message)
    named = catalog.gateway_named(gateway)
    traffic = await catalog.traffic(time_range)
    rows = [each for each in traffic.by_model if named in (None, each.provider)]
    rows.sort(key=lambda each: getattr(each, sort_by), reverse=True)
    shown = page_of(rows, limit, 0, TRENDING_LIMIT_MAX)
    data = [
        {
            "model": each.model,
            "provider": each.provider,
            "requests": each.requests,
            "total_tokens": each.tokens,
            "unique_users": each.users if sees_all else None,
            "total_cost": usd(each.charged) if sees_all else None,
            "avg_speed": each.tokens_per_second,
            "gateway": each.provider,
        }
        for each in shown
    ]
    about = {"gateway": gateway, "time_range": time_range, "sort_by": sort_by}
    return json_reply(
        {"success": True, "data": data, "count": len(data), **about, "timestamp": timestamp()}
    )


@router.get("/v1/provider", dependencies=[OPEN])
async def providers(
    catalog: Shown, limit: int = PROVIDERS_LIMIT, offset: int = 0, gateway: str = ALL
) -> Response:
    """All providers; those without a key are listed as unconfigured."""
    registry = catalog.registry
    named = catalog.gateway_named(gateway)
    names = [*registry.providers, *registry.unconfigured]
    rows = [_provider_line(catalog, name) for name in names if named in (None, name)]
    shown = page_of(rows, limit, offset)
    return json_reply(
        {
            "data": shown,
            "total": len(rows),
            "returned": len(shown),
            "offset": offset,
            "limit": limit,
            "gateway": gateway,
            "timestamp": timestamp(),
        }
    )


@router.get("/v1/provider/{name}/stats", dependencies=FOR_CALLERS)
async def provider_stats(catalog: Shown, name: str, time_range: RangeOrAll = "24h") -> Response:
    """What was asked of one provider."""
    found = _known(catalog, name)
    traffic = await catalog.traffic(time_range)
    rows = [each for each in traffic.by_model if each.provider == found]
    data = {
        "provider": found,
        "gateway": found,
        **_stats(traffic.by_provider.get(found, NOTHING)),
        "unique_models": len(rows),
        "top_model": rows[0].model if rows else None,
        "model_breakdown": [_model_line(each) for each in rows],
    }
    return json_reply(
        {"success": True, "data": data, "time_range": time_range, "timestamp": timestamp()}
    )


@router.get("/v1/provider/{name}/top-models", dependencies=FOR_CALLERS)
async def top_models(
    catalog: Shown, name: str, limit: int = TOP_LIMIT, time_range: RangeOrAll = "24h"
) -> Response:
    """The models asked most of one provider."""
    found = _known(catalog, name)
    if not 1 <= limit <= TOP_LIMIT_MAX:
        message = f"limit must be between 1 and {TOP_LIMIT_MAX}."
        raise bad_request("invalid_value", message, "limit")
    traffic = await catalog.traffic(time_range)
    rows = [each for each in traffic.by_model if each.provider == found][:limit]
    about = {"count": len(rows), "time_range": time_range, "timestamp": timestamp()}
    data = [_model_line(each) for each in rows]
    return json_reply({"success": True, "provider": found, "data": data, **about})


def _standing(provider: Provider | None) -> dict[str, Any]:
    """Whether a provider has a key, accepts it, and can be reached, as this process knows."""
    if provider is None:
        return {
            "configured": False,
            "reachable": None,
            "refused": None,
            "status": "unconfigured",
            "trouble": None,
        }
    trouble = provider.trouble
    kind = trouble.kind if trouble else None
    return {
        "configured": True,
        "reachable": kind is not TroubleKind.UNREACHABLE,
        "refused": kind is TroubleKind.REFUSED,
        "status": str(kind) if kind else "stale" if provider.stale else "ready",
        "trouble": {"code": trouble.code, "at": trouble.at} if trouble else None,
    }


def _provider_line(catalog: Catalog, name: str) -> dict[str, Any]:
    registry = catalog.registry
    provider = registry.providers.get(name)
    entry = BY_NAME.get(name)
    fetched_at = catalog.lists.fetched_at.get(name)
    count = 0
    if provider is not None:
        count = len({*provider.models, *provider.listed, *provider.unpriced})
    return {
        "slug": name,
        "name": name,
        **_standing(provider),
        "model_count": count,
        "unpriced_count": len(provider.unpriced) if provider else 0,
        "list_fetched_at": None if fetched_at is None else int(fetched_at),
        "logo_url": None,
        "site_url": entry.site_url if entry else None,
        "privacy_policy_url": None,
        "terms_of_service_url": None,
        "status_page_url": None,
        "source": "built_in" if entry else "providers_file",
    }


@router.get("/v1/gateway/{gateway}/stats", dependencies=FOR_CALLERS)
async def gateway_stats(catalog: Shown, gateway: str, time_range: RangeOrAll = "24h") -> Response:
    """What was asked through one gateway, by the developers of its models."""
    found = _known(catalog, gateway)
    traffic = await catalog.traffic(time_range)
    provider = catalog.registry.providers.get(found)
    breakdown: dict[str, dict[str, int]] = {}
    for each in traffic.by_model:
        if each.provider != found:
            continue
        canonical = provider.canonical_of(each.model) if provider else each.model
        line = breakdown.setdefault(canonical.partition("/")[0], {"requests": 0, "tokens": 0})
        line["requests"] += each.requests
        line["tokens"] += each.tokens
    top = max(breakdown, key=lambda name: breakdown[name]["requests"], default=None)
    data = {
        "gateway": found,
        **_stats(traffic.by_provider.get(found, NOTHING)),
        "unique_providers": len(breakdown),
        "top_provider": top,
        "provider_breakdown": breakdown,
    }
    return json_reply(
        {"success": True, "data": data, "time_range": time_range, "timestamp": timestamp()}
    )


@router.get("/v1/gateways/summary", dependencies=FOR_CALLERS)
async def summary(catalog: Shown, time_range: RangeOrAll = "24h") -> Response:
    """All gateways side by side, and their sum."""
    traffic = await catalog.traffic(time_range)
    registry = catalog.registry
    gateways = {name: _stats(traffic.by_provider.get(name, NOTHING)) for name in registry.providers}
    totals = {
        "requests": traffic.total.requests,
        "tokens": traffic.total.tokens,
        "cost": usd(traffic.total.charged),
        "unique_users": traffic.total.users,
        "models": len({each.model for each in traffic.by_model}),
    }
    data = {"time_range": time_range, "gateways": gateways, "totals": totals}
    return json_reply({"success": True, "data": data, "timestamp": timestamp()})
