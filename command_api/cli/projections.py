"""The verbs about read models: list, rebuild, verify, assign."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from command_api.cli.base import (
    NO_LEDGER,
    Home,
    Json,
    fail,
    opened,
    opened_to_read,
    progress_bar,
    show,
)
from projections.all import PROJECTIONS, projection_named
from projections.engine.comparison import compare
from projections.engine.rebuild import rebuild as run_rebuild
from projections.engine.register import assign as run_assign
from projections.engine.register import read_status
from projections.engine.runner import FOLLOWER, WORKERS
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import require_projections

if TYPE_CHECKING:
    from projections.engine.comparison import Comparison

app = typer.Typer(no_args_is_help=True, help="Read models.")

ALL = "all"
Name = Annotated[str, typer.Argument(help="Name of a projection, or `all`.")]


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """Where each projection stands, who advances it, and what stops it."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = read_status(connection)
    if as_json:
        sys.stdout.write(msgspec.json.encode([asdict(each) for each in found]).decode() + "\n")
        return
    for each in found:
        sys.stdout.write(
            f"{each.name:20} v{each.version:<3} position {each.position:<10} "
            f"lag {each.lag_events:<8} {each.host}, {each.partitions} partition"
            f"{'' if each.partitions == 1 else 's'}, {each.sink}\n"
        )
        for parked in each.parked:
            sys.stdout.write(f"  PARKED  {parked}\n")


@app.command()
def rebuild(
    name: Name,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Change the number of partitions.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Change who advances it: follower or workers.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Build the next version from the log beside the live one, then switch."""
    chosen = PROJECTIONS if name == ALL else (_named(name),)
    if host is not None:
        _check_host(host)
    with opened(home, create=False) as (settings, database):
        for projection in chosen:
            with progress_bar(f"rebuilding {projection.name}", quiet=as_json) as report:
                version = run_rebuild(
                    database,
                    projection,
                    sinks_of(settings.redis.url),
                    host=host,
                    partitions=partitions,
                    report=report,
                )
            show({"name": projection.name, "version": version}, as_json=as_json)


@app.command()
def verify(
    name: Name = ALL,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fold the log anew and compare every row; exit 1 on a difference, 2 without a ledger."""
    chosen = PROJECTIONS if name == ALL else (_named(name),)
    with opened_to_read(home) as (settings, database):
        require_projections(database)
        head, found = compare(database, chosen, sinks_of(settings.redis.url))
    if head == 0:
        fail("nothing to verify: the log is empty", NO_LEDGER)
    ok = not any(each.differences for each in found)
    if as_json:
        result = {"ok": ok, "head": head, "projections": [asdict(each) for each in found]}
        show(result, as_json=True)
    else:
        for each in found:
            _print_comparison(each)
        sys.stdout.write("rebuilt equals live\n" if ok else "")
    if not ok:
        raise typer.Exit(1)


@app.command()
def assign(
    name: Name,
    host: Annotated[str, typer.Argument(help="follower or workers.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change who advances a projection; it goes on where the other host left it."""
    chosen = PROJECTIONS if name == ALL else (_named(name),)
    _check_host(host)
    with opened(home, create=False, prepare=False) as (_, database):
        for projection in chosen:
            run_assign(database, projection, host)
            show({"name": projection.name, "host": host}, as_json=as_json)


def _check_host(host: str) -> None:
    if host not in (FOLLOWER, WORKERS):
        fail(f"a projection is advanced by {FOLLOWER} or {WORKERS}, not {host}")


def _named(name: str) -> Any:
    try:
        return projection_named(name)
    except ValueError as error:
        fail(str(error))


def _print_comparison(each: Comparison) -> None:
    sys.stdout.write(f"{each.name} v{each.version} at position {each.position}\n")
    for table in each.tables:
        same = "equal" if table.live == table.rebuilt else "DIFFERENT"
        sys.stdout.write(f"  {table.table:28} {table.rows:>9} rows  {table.live[:16]}  {same}\n")
    for parked in each.parked:
        sys.stdout.write(f"  PARKED  {parked}\n")
    for difference in each.differences:
        sys.stdout.write(f"  DIFFERENCE  {difference}\n")
