"""What admins do about health: checks, the monitor's switch, maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from eventsourcing.persistence import PersistenceError
from fastapi import APIRouter, Request, Response

from command_api.health.checks import is_checkable
from command_api.health.desk import LASTS_MIN, Desk, Keeper
from command_api.health.ends import end_of
from command_api.health.schemas import decode_check
from command_api.health.shapes import check_line, instant, window_line
from domain.availability.maintenance import NoMaintenanceError, end_after
from domain.errors import InvalidCommandError
from domain.events.base import By
from edge.body import read_json
from edge.clients import client_of
from edge.errors import ApiError, bad_request, ledger_unavailable, sentence
from edge.replies import json_reply, timestamp
from event_store.ids import now_iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from command_api.health.desk import HealthDesk
    from domain.availability.maintenance import Place
    from edge.caller import Caller
    from event_store.beside.upkeep.reading import WindowNow
    from providers.inference.registry.offers import Provider

router = APIRouter()


def _done(message: str, **more: Any) -> Response:
    return json_reply({"success": True, "message": message, **more, "timestamp": timestamp()})


def _by(desk: HealthDesk, caller: Caller, request: Request) -> By:
    return By(caller.user_id, desk.people.vault.origin(client_of(request)))


@router.post("/health/check")
async def check(request: Request, desk: Desk, _: Keeper) -> Response:
    """Check the providers that are named, or those of the models that are; else all."""
    asked = await read_json(request, decode_check)
    names = [*(asked.providers or ()), *(asked.gateways or ())]
    wanted = {desk.gateway(each) for each in names}
    for each in asked.models or ():
        wanted |= {offer.provider for offer in desk.offers(each, None)}
    every = desk.registry.providers
    if not wanted or None in wanted:
        wanted = {*every}
    chosen = [provider for name, provider in every.items() if name in wanted]
    return await _checked(desk, chosen, force=asked.force_refresh)


@router.post("/health/check/now")
async def check_now(desk: Desk, _: Keeper) -> Response:
    """Check all providers, though they just have been."""
    return await _checked(desk, [*desk.registry.providers.values()], force=True)


async def _checked(desk: HealthDesk, providers: Sequence[Provider], *, force: bool) -> Response:
    found = await desk.check(providers, force=force)
    failed = sum(each.error is not None for each in found.values())
    unlisted = sorted(each.name for each in providers if not is_checkable(each))
    return _done(
        f"{len(found) - failed} of {len(found)} providers answered with their lists.",
        checks=[check_line(each) for _, each in sorted(found.items())],
        not_checked=unlisted,
    )


@router.post("/health/monitoring/start")
async def start(request: Request, desk: Desk, caller: Keeper) -> Response:
    """Let the monitor of all gateways check, beginning now."""
    return await _switch(request, desk, caller, running=True)


@router.post("/health/monitoring/stop")
async def stop(request: Request, desk: Desk, caller: Keeper) -> Response:
    """Let the monitor of all gateways check no more."""
    return await _switch(request, desk, caller, running=False)


@router.post("/availability/monitoring/start")
async def start_availability(request: Request, desk: Desk, caller: Keeper) -> Response:
    """The same: there is one monitor."""
    return await _switch(request, desk, caller, running=True)


@router.post("/availability/monitoring/stop")
async def stop_availability(request: Request, desk: Desk, caller: Keeper) -> Response:
    """The same: there is one monitor."""
    return await _switch(request, desk, caller, running=False)


async def _switch(request: Request, desk: HealthDesk, caller: Caller, *, running: bool) -> Response:
    by = _by(desk, caller, request)
    try:
        new = await desk.people.run(desk.upkeep.switch, running=running, by=by, actor=caller.actor)
    except InvalidCommandError as error:
        raise ApiError(409, "maintenance_changed", sentence(error)) from None
    except (PersistenceError, psycopg.OperationalError):
        raise ledger_unavailable() from None
    desk.changed()
    said = ("begins" if new else "was on already") if running else ("ends" if new else "was off")
    return _done(f"Monitoring {said}.", monitoring_active=running)


@router.post("/availability/maintenance/{model_id:path}")
async def set_maintenance(
    request: Request,
    desk: Desk,
    caller: Keeper,
    model_id: str,
    gateway: str | None = None,
    until: str | None = None,
    reason: str = "",
) -> Response:
    """Send nothing to a model until an instant: at a gateway, or at all that offer it.

    `*` in the place of the model is all that the gateway offers.
    """
    places = desk.places(model_id, gateway)
    by = _by(desk, caller, request)
    try:
        end = end_after(now_iso(), LASTS_MIN) if until is None else end_of(until)
        lasting = await desk.people.run(
            desk.upkeep.set, places, end, reason.strip(), by, caller.actor
        )
    except InvalidCommandError as error:
        raise bad_request("invalid_value", sentence(error), "until") from None
    except (PersistenceError, psycopg.OperationalError):
        raise ledger_unavailable() from None
    desk.changed(lasting)
    mine = _of(lasting, places)
    last = max((each.until for each in mine), default=None)
    return _done(
        "Nothing is sent there until the maintenance ends.",
        model_id=model_id,
        until=instant(last),
        maintenance=[window_line(each) for each in mine],
    )


@router.delete("/availability/maintenance/{model_id:path}")
async def clear_maintenance(
    request: Request,
    desk: Desk,
    caller: Keeper,
    model_id: str,
    gateway: str | None = None,
) -> Response:
    """End the maintenance of a model now: at a gateway, or wherever it has one of its own."""
    places = await desk.lasting_places(model_id, gateway)
    by = _by(desk, caller, request)
    try:
        lasting = await desk.people.run(desk.upkeep.clear, places, by, caller.actor)
    except NoMaintenanceError as error:
        raise ApiError(404, "no_maintenance", sentence(error)) from None
    except InvalidCommandError as error:
        raise ApiError(409, "maintenance_changed", sentence(error)) from None
    except (PersistenceError, psycopg.OperationalError):
        raise ledger_unavailable() from None
    desk.changed(lasting)
    return _done("The maintenance ended.", model_id=model_id)


def _of(lasting: Iterable[WindowNow], places: Sequence[Place]) -> list[WindowNow]:
    return [each for each in lasting if (each.provider, each.model) in places]
