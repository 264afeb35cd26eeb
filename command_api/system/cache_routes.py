"""What is cached of providers' lists, and having it anew: /cache/… and the catalog's /admin/…."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from command_api.system.machinery import LISTS, Machinery
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.errors import UPSTREAM, ApiError, unavailable
from edge.replies import json_reply, timestamp
from providers.inference.lists.modelz import ModelzUnavailableError

if TYPE_CHECKING:
    from providers.inference.registry.offers import Provider

HUGGINGFACE = "huggingface"
SHOWN = 5
"""So many ids of each provider are shown to who looks for what is wrong."""

router = APIRouter()
Keeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_SYSTEM).caller)]


async def _machinery_of(request: Request) -> Machinery:
    found: Machinery = request.app.state.machinery
    return found


System = Annotated[Machinery, Depends(_machinery_of)]


def done(message: str, **more: Any) -> Response:
    """What a command answers."""
    return json_reply(
        {
            "status": "success",
            "success": True,
            "message": message,
            **more,
            "timestamp": timestamp(),
        }
    )


def _huggingface(system: Machinery) -> Provider:
    """Raises ApiError 400 where it is not configured."""
    return system.named(HUGGINGFACE)


@router.get("/cache/status")
async def cache_status(system: System, _: Keeper) -> Response:
    """The lists of all providers: how old, how many models."""
    return json_reply({"success": True, "data": system.list_states(), "timestamp": timestamp()})


@router.post("/cache/refresh/{gateway}")
async def refresh(system: System, _: Keeper, gateway: str, force: bool = False) -> Response:  # noqa: FBT001, FBT002 - a parameter of the route.
    """Have a provider's list anew; `force` fetches it though another gateway just has."""
    provider = system.named(gateway)
    had = await system.refresh(provider, force=force)
    if not had:
        message = f"The list of {provider.name} could not be fetched; the old one stays."
        raise unavailable("list_unavailable", message, kind=UPSTREAM)
    state = system.list_state(provider)
    return done(f"The list of {provider.name} is new.", gateway=provider.name, cache=state)


@router.post("/cache/clear")
async def clear(system: System, _: Keeper, gateway: str | None = None) -> Response:
    """Forget what gateways share of fetched lists: the next refresh fetches.

    What is offered now stays so until then.
    """
    prefix = LISTS if gateway is None else f"{LISTS}{system.named(gateway).name}:"
    count = await system.cache.forget(prefix)
    return done("Fetched lists were forgotten.", cleared=count, gateway=gateway or "all")


@router.get("/cache/modelz/status")
async def modelz_status(system: System, _: Keeper) -> Response:
    """What is kept of Modelz's catalog."""
    return json_reply({"success": True, "data": system.modelz_state(), "timestamp": timestamp()})


@router.post("/cache/modelz/refresh")
async def modelz_refresh(system: System, _: Keeper) -> Response:
    """Have Modelz's catalog anew."""
    try:
        await system.refresh_modelz()
    except ModelzUnavailableError as error:
        raise unavailable("modelz_unavailable", f"{error}.", kind=UPSTREAM) from None
    return done("The catalog of Modelz is new.", data=system.modelz_state())


@router.delete("/cache/modelz/clear")
async def modelz_clear(system: System, _: Keeper) -> Response:
    """Keep nothing of it."""
    return done("The catalog of Modelz was forgotten.", cleared=system.modelz.clear())


@router.post("/admin/refresh-providers")
async def refresh_providers(system: System, _: Keeper) -> Response:
    """Have the lists of all providers anew; one that cannot be had keeps its old one."""
    found = await system.refresh_all()
    failed = sorted(name for name, had in found.items() if not had)
    message = f"{len(found) - len(failed)} of {len(found)} lists are new."
    return done(message, total_providers=len(found), failed=failed)


@router.get("/admin/cache-status")
async def admin_cache_status(system: System, _: Keeper) -> Response:
    """The same as /cache/status, with the caches beside it."""
    info = {
        "providers": system.list_states(),
        "modelz": system.modelz_state(),
        "response_cache": system.kept_replies(),
    }
    return json_reply({"status": "success", "cache_info": info, "timestamp": timestamp()})


@router.get("/admin/huggingface-cache-status")
async def huggingface_status(system: System, _: Keeper) -> Response:
    """The list of Hugging Face's models."""
    info = system.list_state(_huggingface(system))
    return json_reply({"status": "success", "cache_info": info, "timestamp": timestamp()})


@router.post("/admin/refresh-huggingface-cache")
async def huggingface_refresh(system: System, caller: Keeper) -> Response:
    """Fetch it anew."""
    return await refresh(system, caller, HUGGINGFACE, force=True)


@router.get("/admin/test-huggingface/{model_id:path}")
async def huggingface_model(system: System, _: Keeper, model_id: str) -> Response:
    """What its list says of a model."""
    provider = _huggingface(system)
    found = provider.find(model_id)
    raw = provider.raw.get(found.id if found else model_id)
    if found is None and raw is None:
        message = f"Hugging Face lists no model {model_id[:128]!r}."
        raise ApiError(404, "model_not_found", message)
    return json_reply(
        {
            "success": True,
            "model_id": found.id if found else model_id,
            "offered": found is not None,
            "data": raw,
            "timestamp": timestamp(),
        }
    )


@router.get("/admin/debug-models")
async def debug_models(system: System, _: Keeper) -> Response:
    """What each provider offers, lists without a price, and what keeps it from being used."""
    registry = system.registry
    return json_reply(
        {
            "status": "success",
            "total_models": len(registry.canonical()),
            "providers": {
                name: {
                    **system.list_state(each),
                    "trouble": each.trouble and each.trouble.code,
                    "sample": sorted(each.models.keys() | each.listed.keys())[:SHOWN],
                    "unpriced_sample": sorted(each.unpriced)[:SHOWN],
                }
                for name, each in registry.providers.items()
            },
            "unconfigured": sorted(registry.unconfigured),
            "timestamp": timestamp(),
        }
    )
