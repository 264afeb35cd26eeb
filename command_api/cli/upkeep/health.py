"""`gatewayz health`: what was tried and checked, and what nothing is sent to."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command_api.cli.base import (
    SHOWN,
    Home,
    Json,
    Shown,
    check_reason,
    fail,
    opened,
    opened_to_read,
    show,
    shown_of,
)
from command_api.cli.people.opening import people_of
from command_api.cli.users import ACTOR
from command_api.composition import registry_of
from command_api.health.checks import Checker, is_checkable
from command_api.health.commands import Upkeep
from command_api.health.ends import end_of
from command_api.health.queries import read_facts
from command_api.health.shapes import check_line, instant, percent, window_line
from domain.availability.maintenance import Place, end_after
from domain.availability.standing import Tries, line_of
from domain.events.base import By
from event_store.beside.upkeep.reading import keep_checks, read_windows
from event_store.ids import now_iso
from projections.catalog.catalog_offers import read_catalog
from projections.engine.projection import select_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command_api.health.queries import Facts
    from command_api.identity.people import People
    from command_api.settings import Settings
    from event_store.beside.upkeep.reading import Check
    from providers.inference.registry.offers import Provider
    from providers.inference.registry.registry import Registry

app = typer.Typer(no_args_is_help=True, help="How providers are doing, and their maintenance.")
maintenance = typer.Typer(no_args_is_help=True, help="What nothing is sent to, until when.")
app.add_typer(maintenance, name="maintenance")

MINUTES_MAX = 90 * 24 * 60
Gateway = Annotated[str, typer.Argument(help="Name of a provider.")]
Model = Annotated[
    str, typer.Option("--model", help="One model, by the provider's own id; without it all.")
]
Reason = Annotated[str, typer.Option(help="Why; stands in the audit for ever.")]


@app.command("show")
def show_(
    gateway: Annotated[str | None, typer.Option("--gateway", help="One provider.")] = None,
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print how each provider is doing, by the attempts of all gateways and the last checks."""
    with opened_to_read(home) as (settings, database):
        facts, registry = read_facts(database), registry_of(settings)
    if gateway is not None and gateway not in registry.providers:
        fail(f"there is no provider {gateway!r} here")
    names = [name for name in registry.providers if gateway in {None, name}]
    for name in shown_of(names, limit):
        _print(_told(facts, name), as_json=as_json)
    monitor = {
        "monitoring_active": facts.monitor.running,
        "last_check": instant(facts.monitor.ended_at),
        "next_check": instant(facts.monitor.due_at),
    }
    _print(monitor, as_json=as_json)


@app.command("check")
def check(
    gateways: Annotated[list[str] | None, typer.Argument(help="Providers; else all.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask providers for their lists of models now, which costs nothing; exit 1 if one fails."""
    with opened(home, create=False, prepare=False) as (settings, database):
        registry = registry_of(settings)
        for name in gateways or ():
            if name not in registry.providers:
                fail(f"there is no provider {name!r} here")
        chosen = [
            each
            for name, each in registry.providers.items()
            if (not gateways or name in gateways) and is_checkable(each)
        ]
        found = asyncio.run(_checked(settings, registry, chosen))
        with database.connect() as connection, connection.transaction():
            keep_checks(connection, found)
    for each in found:
        _print(check_line(each), as_json=as_json)
    if failed := [each.provider for each in found if each.error]:
        fail(f"no good answer from {', '.join(failed)}")


@maintenance.command("set")
def set_(
    gateway: Gateway,
    reason: Reason,
    model: Model = "",
    until: Annotated[
        str | None, typer.Option(help="The end: an instant with a zone, 90 days away at most.")
    ] = None,
    minutes: Annotated[
        int, typer.Option(min=1, max=MINUTES_MAX, help="How long, without --until.")
    ] = 60,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send nothing to a provider, or one of its models, until an instant."""
    check_reason(reason)
    with people_of(home) as (settings, people):
        place = _place(settings, people, gateway, model)
        end = end_after(now_iso(), minutes) if until is None else end_of(until)
        lasting = Upkeep(people).set([place], end, reason.strip(), By(), ACTOR)
        mine = [each for each in lasting if (each.provider, each.model) == place]
        for each in mine:
            show(window_line(each), as_json=as_json)


@maintenance.command("clear")
def clear(gateway: Gateway, model: Model = "", home: Home = None, as_json: Json = False) -> None:
    """End a maintenance now."""
    with people_of(home) as (_, people):
        Upkeep(people).clear([Place(gateway, model)], By(), ACTOR)
        show({"gateway": gateway, "model_id": model or None, "cleared": True}, as_json=as_json)


@maintenance.command("list")
def list_(limit: Shown = SHOWN, home: Home = None, as_json: Json = False) -> None:
    """Print every maintenance that lasts, one a line, those that end first."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = read_windows(connection)
    for each in shown_of(found, limit):
        _print(window_line(each), as_json=as_json)


async def _checked(
    settings: Settings, registry: Registry, chosen: Sequence[Provider]
) -> list[Check]:
    checker = Checker(timeout_s=settings.health.check_timeout_s)
    try:
        return await checker.check(chosen)
    finally:
        checker.close()
        await registry.close()


def _place(settings: Settings, people: People, gateway: str, model: str) -> Place:
    """What is meant; a name that nobody offers would be a window without effect."""
    provider = registry_of(settings).providers.get(gateway)
    if provider is None:
        fail(f"there is no provider {gateway!r} here")
    if model and model not in provider.models:
        with people.connect() as connection:
            _, listed = read_catalog(select_on(connection), gateway)
        if model not in {each["model"] for each in listed}:
            fail(f"{gateway} lists no model {model!r}: give the provider's own id")
    return Place(gateway, model)


def _told(facts: Facts, name: str) -> dict[str, Any]:
    """A provider, as the database knows it."""
    mine = [each for (owner, _), each in facts.tried.items() if owner == name]
    late = sum(
        (Tries(each.late_attempts, each.late_successes, each.late_latency_ms) for each in mine),
        Tries(),
    )
    last, window = facts.checks.get(name), facts.windows.get((name, ""))
    line = line_of(
        late,
        checked=None if last is None else last.error is None,
        trouble=False,
        broken=False,
        maintenance=window is not None,
    )
    return {
        "gateway": name,
        "status": str(line),
        "attempts_last_hour": late.attempts,
        "success_rate": percent(late.success_ppm),
        "avg_response_time_ms": late.mean_ms,
        "last_check": None if last is None else instant(last.checked_at),
        "check_error": None if last is None else last.error,
        "maintenance_until": None if window is None else instant(window.until),
    }


def _print(each: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(each, as_json=True)
    else:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in each.items()) + "\n")
