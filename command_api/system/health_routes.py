"""How providers and the machinery are doing: /health/gateways, /health/optimizations, /health/{g}.

GET /health itself is open (`status_routes.py`).
"""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Response

from command_api.system.cache_routes import Keeper, System, done
from command_api.system.machinery import UNCONFIGURED, Machinery
from edge.errors import ApiError
from edge.replies import json_reply, timestamp
from providers.inference.lists.model_list import has_list

COLUMNS = ("status", "latency_ms", "models", "last_check", "error")
router = APIRouter()
one_gateway = APIRouter()
"""Its path would take those of all others below /health: it stands last of all."""


def _told(system: Machinery) -> dict[str, Any]:
    data, summary = system.all_health()
    return {"success": True, "data": data, "summary": summary, "timestamp": timestamp()}


@router.get("/health/gateways")
async def gateways(system: System, _: Keeper) -> Response:
    """How each provider has been doing, as this process knows it; nobody is asked."""
    return json_reply(_told(system))


@router.get("/health/gateways/dashboard/data")
async def dashboard_data(system: System, _: Keeper) -> Response:
    """The same."""
    return json_reply(_told(system))


@router.get("/health/gateways/dashboard")
async def dashboard(system: System, _: Keeper) -> Response:
    """The same as a page, which loads nothing from elsewhere."""
    data, summary = system.all_health()
    head = "".join(f"<th>{escape(name)}</th>" for name in ("gateway", *COLUMNS))
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{escape(_cell(each.get(column)))}</td>" for column in COLUMNS)
        + "</tr>"
        for name, each in sorted(data.items())
    )
    said = f"{summary['healthy']} healthy, {summary['degraded']} degraded, "
    said += f"{summary['unhealthy']} unhealthy, {summary['unconfigured']} unconfigured"
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gateways</title>'
        f"<h1>Gateways</h1><p>{escape(said)}</p><table><tr>{head}</tr>{rows}</table></html>"
    )
    headers = {"content-security-policy": "default-src 'none'", "cache-control": "no-store"}
    return Response(page, 200, headers, media_type="text/html")


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


@router.post("/health/gateways/{gateway}/fix")
async def fix(system: System, _: Keeper, gateway: str) -> Response:
    """Close a provider's circuits, so that it is tried again, and have its list anew."""
    provider = system.named(gateway)
    closed = system.router.forget(provider.name)
    had = await system.refresh(provider, force=True) if has_list(provider) else None
    message = f"{provider.name} is tried again."
    return done(
        message,
        gateway=provider.name,
        circuits_closed=closed,
        list_refreshed=had,
        health=system.health(provider),
    )


@router.get("/health/optimizations")
async def optimizations(system: System, _: Keeper) -> Response:
    """Connections to providers and kept replies of this process."""
    return json_reply(
        {
            "status": "healthy",
            "connection_pools": system.pools(),
            "response_cache": system.kept_replies(),
            "request_prioritization": system.queue.told(),
            "timestamp": timestamp(),
        }
    )


@router.get("/health/optimizations/connection-pools")
async def connection_pools(system: System, _: Keeper) -> Response:
    """The connections alone."""
    return json_reply({"status": "healthy", **system.pools(), "timestamp": timestamp()})


@router.get("/health/optimizations/cache")
async def kept_replies(system: System, _: Keeper) -> Response:
    """The kept replies alone."""
    return json_reply({"status": "healthy", **system.kept_replies(), "timestamp": timestamp()})


@router.get("/health/optimizations/prioritization")
async def prioritization(system: System, _: Keeper) -> Response:
    """Calls of this process under way, waiting and refused, by class."""
    return json_reply({"status": "healthy", **system.queue.told(), "timestamp": timestamp()})


@router.post("/health/optimizations/cache/clear")
async def clear_replies(system: System, _: Keeper) -> Response:
    """Forget all kept replies, of all gateways where Redis keeps them."""
    return done("Kept replies were forgotten.", cleared=await system.responses.clear())


@one_gateway.get("/health/{gateway}")
async def gateway_health(system: System, _: Keeper, gateway: str) -> Response:
    """How one provider has been doing."""
    if gateway in system.registry.unconfigured:
        found: dict[str, Any] = {"status": UNCONFIGURED, "available": False}
    elif gateway in system.registry.providers:
        found = system.health(system.registry.providers[gateway])
    else:
        message = f"There is no gateway {gateway[:64]!r}: GET /health/gateways lists them."
        raise ApiError(404, "unknown_gateway", message)
    body = {"success": True, "gateway": gateway, **found, "timestamp": timestamp()}
    return json_reply(body)
