"""The verbs about rate limits."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from command_api.cli.base import (
    SHOWN,
    Home,
    Json,
    Shown,
    fail,
    instant,
    opened,
    opened_to_read,
    progress_bar,
    show,
    shown_of,
    telling,
)
from command_api.composition import vault_of
from command_api.identity.users import Users
from command_api.limits.commands import SYSTEM, LimitCommands, binding_limits, list_limits
from command_api.limits.simulation import FILE_BYTES_MAX, read_limits, simulate
from domain.errors import InvalidCommandError
from domain.limits.rates import BURST_MAX, CONCURRENCY_MAX, LIMIT_MAX, PLANS, LimitScope, SetBy
from domain.limits.settings import Target
from event_store.beside.organisations import read_owners
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, help="Rate limits.")
ACTOR = "operator:cli"

Key = Annotated[str | None, typer.Option("--key", help="A key's id, or the key itself.")]
User = Annotated[str | None, typer.Option("--user", help="Id or address of a user.")]
Organisation = Annotated[UUID | None, typer.Option("--organisation", help="Id of an organisation.")]
System = Annotated[bool, typer.Option("--system", help="All callers together.")]
LimitsFile = Annotated[
    Path, typer.Option("--limits", help="A limit a line, as `limit list --json` prints them.")
]
Count = Annotated[int | None, typer.Option(min=0, max=LIMIT_MAX, help="0 admits nothing.")]


@contextmanager
def target_of(
    home: Path | None,
    key: str | None,
    user: str | None,
    organisation: UUID | None,
    *,
    system: bool,
) -> Iterator[tuple[LimitCommands, Target]]:
    """The commands, and whose limits are meant; exactly one must be named."""
    if sum((key is not None, user is not None, organisation is not None, system)) != 1:
        fail("name one of --key, --user, --organisation and --system")
    with opened(home, create=False, prepare=False) as (settings, database):
        target = SYSTEM
        if organisation is not None:
            with database.connect() as connection:
                if not read_owners(connection, organisation):
                    message = f"there is no organisation {organisation}, or it was closed"
                    raise InvalidCommandError(message)
            target = Target(LimitScope.ORGANISATION, str(organisation), SetBy.OPERATOR)
        elif not system:
            known = Users(database, vault_of(settings, database), actor=ACTOR)
            try:
                if key is not None:
                    target = Target(LimitScope.KEY, str(known.find_key(key)), SetBy.OPERATOR)
                elif user is not None:
                    user_id = str(known.find_user(user)[0])
                    target = Target(LimitScope.USER, user_id, SetBy.OPERATOR)
            finally:
                known.close()
        commands = LimitCommands(database, actor=ACTOR)
        try:
            yield commands, target
        finally:
            commands.close()


@app.command("set")
def limit_set(  # noqa: PLR0913, PLR0917 - each limit is an option.
    key: Key = None,
    user: User = None,
    organisation: Organisation = None,
    system: System = False,
    plan: Annotated[
        str | None,
        typer.Option(help=f"A user's or organisation's ceiling and preset: {', '.join(PLANS)}."),
    ] = None,
    requests_per_minute: Count = None,
    requests_per_hour: Count = None,
    requests_per_day: Count = None,
    tokens_per_minute: Count = None,
    tokens_per_hour: Count = None,
    tokens_per_day: Count = None,
    burst: Annotated[
        int | None, typer.Option(min=0, max=BURST_MAX, help="At once; a sixtieth returns a second.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=0, max=CONCURRENCY_MAX, help="Calls under way.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Limit a key, a user, an organisation or the system, beside what is limited already."""
    given = {
        "requests_per_minute": requests_per_minute,
        "requests_per_hour": requests_per_hour,
        "requests_per_day": requests_per_day,
        "tokens_per_minute": tokens_per_minute,
        "tokens_per_hour": tokens_per_hour,
        "tokens_per_day": tokens_per_day,
        "burst": burst,
        "concurrency": concurrency,
    }
    limits = {name: value for name, value in given.items() if value is not None}
    with target_of(home, key, user, organisation, system=system) as (commands, target):
        (found,) = commands.set([target], limits, plan)
        show({"scope": str(target.scope), "id": target.scope_id, **found.given()}, as_json=as_json)


@app.command("clear")
def limit_clear(
    key: Key = None,
    user: User = None,
    organisation: Organisation = None,
    system: System = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take the operator's limits of one of them away."""
    with target_of(home, key, user, organisation, system=system) as (commands, target):
        cleared = commands.clear(target)
        show(
            {"scope": str(target.scope), "id": target.scope_id, "cleared": cleared},
            as_json=as_json,
        )


@app.command("simulate")
def limit_simulate(
    since: Annotated[str, typer.Option("--from", help="Begin: a day (UTC), or an instant.")],
    until: Annotated[str, typer.Option("--to", help="End, which is left out itself.")],
    limits: LimitsFile,
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Hold a past time's calls against other limits: who would have been refused, and when.

    In the file `"id": "*"` stands for each key, or each user. What is in force does not count.
    """
    with telling():
        with limits.open("rb") as file:
            wanted = read_limits(file.read(FILE_BYTES_MAX + 1))
        begin, end = instant(since), instant(until)
    with opened_to_read(home) as (_, database), progress_bar("calls", quiet=as_json) as progress:
        report = simulate(database, wanted, begin, end, progress)
    lines = report.lines()
    told: dict[str, Any] = {
        "from": to_iso(begin),
        "to": to_iso(end),
        "requests": report.requests,
        "admitted": report.requests - report.refused,
        "refused": report.refused,
    }
    left_out = max(len(lines) - limit, 0)
    if as_json:
        show({**told, "refusals": lines[:limit], "lines_left_out": left_out}, as_json=True)
        return
    for each in lines[:limit]:
        sys.stdout.write(
            f"{each['refused']:>9}  {each['scope']} {each['scope_id']}  {each['reason']} "
            f"({each['limit']})  key {each['key_id']}  user {each['user_id']}  "
            f"first {each['first']}  last {each['last']}\n"
        )
    if left_out:
        sys.stdout.write(f"... and {left_out} lines more: give --limit\n")
    show(told, as_json=False)


@app.command("show")
def limit_show(
    key: Annotated[str, typer.Option("--key", help="A key's id, or the key itself.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print everything that binds a key, one a line: its own limits, its user's, his plan's."""
    with opened_to_read(home) as (settings, database):
        known = Users(database, vault_of(settings, database), actor=ACTOR)
        try:
            found = binding_limits(database, str(known.find_key(key)))
        finally:
            known.close()
    for each in found:
        _print(each, as_json=as_json)


@app.command("list")
def limit_list(limit: Shown = SHOWN, home: Home = None, as_json: Json = False) -> None:
    """Print the limits in force, one a line: the system's, organisations', users', keys'."""
    with opened_to_read(home) as (_, database):
        found = [each.shown() for each in list_limits(database)]
    for each in shown_of(found, limit):
        _print(each, as_json=as_json)


def _print(each: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(each, as_json=True)
    else:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in each.items()) + "\n")
