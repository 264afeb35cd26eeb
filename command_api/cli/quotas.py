"""The verbs about quotas: what a key or a user may use by day, by month or in all."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
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
from command_api.quotas.commands import Quotas, Scope, scope_of_key, told
from domain.errors import InvalidCommandError
from domain.pricing.money import format_usd
from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
from domain.quotas.windows import UTC_NAME, Window
from event_store.beside.organisations import read_owners, read_project
from event_store.beside.quotas import read_quotas
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from event_store.beside.quotas import QuotaNow
    from event_store.postgres.database import Database

app = typer.Typer(no_args_is_help=True, help="Quotas of keys, users, projects and organisations.")

ACTOR = "operator:cli"

Key = Annotated[str | None, typer.Option("--key", help="Id of the key that is limited.")]
User = Annotated[str | None, typer.Option("--user", help="Id or address of the user.")]
Project = Annotated[UUID | None, typer.Option("--project", help="Id of the project.")]
Organisation = Annotated[
    UUID | None, typer.Option("--organisation", help="Id of the organisation.")
]
OfUnit = Annotated[Unit, typer.Option("--unit", help="What is counted.")]
OfWindow = Annotated[Window, typer.Option("--window", help="When it begins anew.")]


@contextmanager
def _commands(home: Path | None) -> Iterator[tuple[Quotas, Users, Database]]:
    with opened(home, create=False, prepare=False) as (settings, database):
        known = Users(database, vault_of(settings, database), actor=ACTOR)
        try:
            yield Quotas(database, known.aggregates, actor=ACTOR), known, database
        finally:
            known.close()


class Whose(NamedTuple):
    """What is limited: one of them is named."""

    key: str | None
    user: str | None
    project: UUID | None
    organisation: UUID | None

    def scope(self, known: Users, database: Database) -> Scope:
        """The scope; raises InvalidCommandError."""
        if sum(each is not None for each in self) != 1:
            message = "name what is limited: one of --key, --user, --project, --organisation"
            raise InvalidCommandError(message)
        if self.user is not None:
            user_id, account_id = known.find_user(self.user)
            return Scope(kind=ScopeKind.USER, scope_id=user_id, account_id=account_id)
        with database.connect() as connection:
            return self.scope_by_id(connection)

    def scope_by_id(self, connection: psycopg.Connection[Any]) -> Scope:
        """The scope of a key, a project or an organisation; raises InvalidCommandError."""
        if self.key is not None:
            return scope_of_key(connection, self.key)
        if self.project is not None:
            project = read_project(connection, self.project)
            if project is None or project.archived:
                message = f"there is no project {self.project}, or it was archived"
                raise InvalidCommandError(message)
            return Scope(
                kind=ScopeKind.PROJECT,
                scope_id=project.project_id,
                account_id=project.account_id,
            )
        assert self.organisation is not None
        found = read_owners(connection, self.organisation)
        if not found or found[0].personal:
            message = f"there is no organisation {self.organisation}, or it was closed"
            raise InvalidCommandError(message)
        return Scope(
            kind=ScopeKind.ORGANISATION,
            scope_id=self.organisation,
            account_id=found[0].account_id,
        )


@app.command("set")
def quota_set(  # noqa: PLR0913, PLR0917 - each is an option.
    unit: OfUnit,
    window: OfWindow,
    limit: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="So much, in the unit.")],
    key: Key = None,
    user: User = None,
    project: Project = None,
    organisation: Organisation = None,
    zone: Annotated[str, typer.Option(help="Where days and months begin.")] = UTC_NAME,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Limit what one of them may use; set again, the last limit counts."""
    with _commands(home) as (quotas, known, database):
        scope = Whose(key, user, project, organisation).scope(known, database)
        made, changed = quotas.set(scope, unit, window, limit, zone)
        said = {"quota_id": str(made), "scope": scope.kind, "scope_id": str(scope.scope_id)}
        said |= {"unit": unit, "window": window, "zone": zone}
        show({**said, "limit": limit, "changed": changed}, as_json=as_json)


@app.command("remove")
def quota_remove(
    unit: OfUnit,
    window: OfWindow,
    key: Key = None,
    user: User = None,
    project: Project = None,
    organisation: Organisation = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Limit no further call by this quota."""
    with _commands(home) as (quotas, known, database):
        scope = Whose(key, user, project, organisation).scope(known, database)
        made, changed = quotas.remove(scope, unit, window)
        show({"quota_id": str(made), "status": "removed", "changed": changed}, as_json=as_json)


@app.command("list")
def quota_list(
    key: Key = None,
    user: User = None,
    project: Project = None,
    organisation: Organisation = None,
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the quotas of one of them, one a line, with their present window.

    Of a user all of the user's account, and of an organisation all of its own.
    """
    whose = Whose(key, user, project, organisation)
    with opened_to_read(home) as (settings, database):
        if sum(each is not None for each in whose) != 1:
            message = "name whose quotas: one of --key, --user, --project, --organisation"
            raise InvalidCommandError(message)
        with database.connect() as connection:
            if user is not None:
                account = show_user(database, place_of_secret(settings), user)["account_id"]
                found = read_quotas(connection, UUID(account))
            else:
                scope = whose.scope_by_id(connection)
                found = read_quotas(connection, scope.account_id)
                if organisation is None:
                    found = [each for each in found if each.scope_id == scope.scope_id]
    for each in shown_of(found, limit):
        if as_json:
            show(told(each), as_json=True)
        else:
            sys.stdout.write(_line(each))


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
