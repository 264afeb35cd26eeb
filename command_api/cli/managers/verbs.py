"""`gatewayz managers list` and `retry`."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from command_api.cli.base import SHOWN, Home, Json, Shown, fail, opened, opened_to_read, show
from command_api.managers import table
from event_store.ids import to_iso

app = typer.Typer(no_args_is_help=True, help="Process managers.")


@app.command("list")
def list_(limit: Shown = SHOWN, home: Home = None, as_json: Json = False) -> None:
    """Where each process manager stands, and what failed or is tried again, with the reason."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        standings = table.standings(connection)
        troubled = table.troubled(connection, limit)
    if as_json:
        found = {
            "managers": [each._asdict() for each in standings],
            "troubled": [{**each._asdict(), "due_at": to_iso(each.due_at)} for each in troubled],
        }
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for each in standings:
        sys.stdout.write(
            f"{each.name:20} position {each.position:<10} lag {each.lag_events:<8} "
            f"timers {each.timers}, due {each.due}, failed {each.failed}\n"
        )
    for kept in troubled:
        state = "FAILED" if kept.failed else f"again at {to_iso(kept.due_at)}"
        sys.stdout.write(
            f"  {kept.manager} {kept.key!r}, position {kept.position}, try {kept.tries}, "
            f"{state}: {kept.error}\n"
        )


@app.command()
def retry(
    manager: Annotated[str, typer.Argument(help="Name of a process manager.")],
    key: Annotated[str | None, typer.Argument(help="One wish, as `list` names it.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Try anew what failed, or waits after an error: all of a manager, or one wish."""
    with opened(home, create=False, prepare=False) as (_, database):
        with database.connect() as connection:
            if manager not in {each.name for each in table.standings(connection)}:
                fail(f"there is no process manager {manager!r}: `gatewayz managers list` names all")
            count = table.retry(connection, manager, key)
        if key is not None and not count:
            fail(f"no wish {key!r} of {manager} failed: `gatewayz managers list` names those")
        show({"manager": manager, "retried": count}, as_json=as_json)
