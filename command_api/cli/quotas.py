"""The verbs about quotas: what a key or a user may use by day, by month or in all."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from command_api.cli.base import (
    SHOWN,
    Home,
    Json,
    Shown,
    opened,
    opened_to_read,
    show,
    shown_of,
)
from command_api.composition import place_of_secret, vault_of
from command_api.identity.known_users import show_user
from command_api.identity.users import Users
from command_api.quotas.commands import Quotas, Scope, scope_of_key
from domain.errors import InvalidCommandError
from domain.pricing.money import format_usd
from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
from domain.quotas.windows import UTC_NAME, Window
from event_store.beside.quotas import read_quotas
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.settings import Settings
    from event_store.beside.quotas import QuotaNow
    from event_store.postgres.database import Database

app = typer.Typer(no_args_is_help=True, help="Quotas of keys and users.")

ACTOR = "operator:cli"

Key = Annotated[str | None, typer.Option("--key", help="Id of the key that is limited.")]
User = Annotated[str | None, typer.Option("--user", help="Id or address of the user.")]
OfUnit = Annotated[Unit, typer.Option("--unit", help="What is counted.")]
OfWindow = Annotated[Window, typer.Option("--window", help="When it begins anew.")]


@contextmanager
def _commands(home: Path | None) -> Iterator[tuple[Quotas, Settings, Database]]:
    with opened(home, create=False, prepare=False) as (settings, database):
        quotas = Quotas(database, actor=ACTOR)
        try:
            yield quotas, settings, database
        finally:
            quotas.close()


def _scope(
    quotas: Quotas, settings: Settings, database: Database, key: str | None, user: str | None
) -> Scope:
    """What is limited; raises InvalidCommandError."""
    if (key is None) == (user is None):
        message = "name what is limited: either --key KEY_ID or --user ID"
        raise InvalidCommandError(message)
    if key is not None:
        return quotas.scope_of_key(key)
    known = Users(database, vault_of(settings, database), actor=ACTOR)
    try:
        user_id, account_id = known.find_user(user or "")
    finally:
        known.close()
    return Scope(kind=ScopeKind.USER, scope_id=user_id, account_id=account_id)


@app.command("set")
def quota_set(
    unit: OfUnit,
    window: OfWindow,
    limit: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="So much, in the unit.")],
    key: Key = None,
    user: User = None,
    zone: Annotated[str, typer.Option(help="Where days and months begin.")] = UTC_NAME,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Limit what a key or a user may use; set again, the last limit counts."""
    with _commands(home) as (quotas, settings, database):
        scope = _scope(quotas, settings, database, key, user)
        made, changed = quotas.set(scope, unit, window, limit, zone)
        told = {"quota_id": str(made), "scope": scope.kind, "scope_id": str(scope.scope_id)}
        told |= {"unit": unit, "window": window, "zone": zone}
        show({**told, "limit": limit, "changed": changed}, as_json=as_json)


@app.command("remove")
def quota_remove(
    unit: OfUnit,
    window: OfWindow,
    key: Key = None,
    user: User = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Limit no further call by this quota."""
    with _commands(home) as (quotas, settings, database):
        scope = _scope(quotas, settings, database, key, user)
        made, changed = quotas.remove(scope, unit, window)
        show({"quota_id": str(made), "status": "removed", "changed": changed}, as_json=as_json)


@app.command("list")
def quota_list(
    key: Key = None,
    user: User = None,
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the quotas of a key or of a user's account, one a line, with their present window."""
    with opened_to_read(home) as (settings, database):
        if (key is None) == (user is None):
            message = "name whose quotas: either --key KEY_ID or --user ID"
            raise InvalidCommandError(message)
        if key is not None:
            found = _of_key(database, key)
        else:
            account = show_user(database, place_of_secret(settings), user or "")["account_id"]
            with database.connect() as connection:
                found = read_quotas(connection, UUID(account))
    for each in shown_of(found, limit):
        if as_json:
            show(_told(each), as_json=True)
        else:
            sys.stdout.write(_line(each))


def _of_key(database: Database, key: str) -> list[QuotaNow]:
    with database.connect() as connection:
        scope = scope_of_key(connection, key)
        quotas = read_quotas(connection, scope.account_id, [scope.scope_id])
    return [each for each in quotas if each.scope_id == scope.scope_id]


def _told(quota: QuotaNow) -> dict[str, Any]:
    return {
        "quota_id": str(quota.quota_id),
        "scope": quota.scope_kind,
        "scope_id": str(quota.scope_id),
        "unit": quota.unit,
        "window": quota.window,
        "zone": quota.zone,
        "limit": quota.limit,
        "used": quota.used,
        "held": quota.held,
        "overrun": quota.overrun,
        "resets_at": None if quota.resets_at is None else to_iso(quota.resets_at),
    }


def _line(quota: QuotaNow) -> str:
    figures = (quota.used, quota.held, quota.overrun, quota.limit)
    used, held, overrun, limit = (
        format_usd(each) if quota.unit == Unit.NANO_USD else str(each) for each in figures
    )
    beyond = f"  overrun {overrun}" if quota.overrun else ""
    resets = f"  resets {to_iso(quota.resets_at)}" if quota.resets_at else ""
    unit = "USD" if quota.unit == Unit.NANO_USD else quota.unit
    return (
        f"{quota.scope_kind} {quota.scope_id}  {unit} by {quota.window}  used {used}  "
        f"held {held}  of {limit}{beyond}{resets}\n"
    )
