"""The verbs about the audit, folded from the log itself: no gateway need run, nothing trails."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer

from command_api.cli.base import Home, Json, fail, instant, opened_to_read, show
from command_api.composition import place_of_secret
from command_api.identity.known_users import show_user
from edge.spreadsheets import csv_of
from projections.audit.from_log import audit_from_log
from projections.audit.queries import Wanted
from projections.audit.told import ACTIONS
from query_api.audit.queries import COLUMNS, csv_row, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projections.audit.audit_log import Line

app = typer.Typer(no_args_is_help=True, help="Who did what.")

LIST_MAX = 10_000

User = Annotated[str | None, typer.Option(help="Id or address of the user concerned.")]
Action = Annotated[str | None, typer.Option(help="Such as api_key.created or role.changed.")]
Since = Annotated[
    str | None, typer.Option("--from", help="Booked from then on: a UTC day, or an instant.")
]
Until = Annotated[
    str | None, typer.Option("--to", help="Booked before then: a UTC day, or an instant.")
]


@app.command("list")
def list_(
    user: User = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="The last so many.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the last lines of the audit, oldest first, one a line."""
    with _lines(home, user, action, since, until) as lines:
        for each in deque(lines, maxlen=limit):
            _print(each, as_json=as_json)


@app.command("export")
def export(
    user: User = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print all lines of the audit, oldest first: as CSV, or as JSON, one object a line."""
    if as_csv == as_json:
        fail("choose --csv or --json")
    with _lines(home, user, action, since, until) as lines:
        if as_csv:
            sys.stdout.write(csv_of([COLUMNS]))
        for each in islice(lines, limit):
            if as_csv:
                sys.stdout.write(csv_of([csv_row(each, None)]))
            else:
                _print(each, as_json=True)


@contextmanager
def _lines(
    home: Path | None,
    user: str | None,
    action: str | None,
    since: str | None,
    until: str | None,
) -> Iterator[Iterator[Line]]:
    """The lines that are wanted, from the log."""
    if action is not None and action not in ACTIONS:
        fail(f"there is no action {action!r}; there are {', '.join(ACTIONS)}")
    with opened_to_read(home) as (settings, database):
        if since and until and instant(since) > instant(until):
            fail(f"--from {since} is after --to {until}")
        found: dict[str, Any] = show_user(database, place_of_secret(settings), user) if user else {}
        wanted = Wanted(
            user_id=UUID(found["user_id"]) if user else None,
            actions=None if action is None else (action,),
            since=instant(since) if since else None,
            until=instant(until) if until else None,
        )
        with database.connect() as connection, connection.transaction():
            yield audit_from_log(connection, wanted)


def _print(line: Line, *, as_json: bool) -> None:
    fields = shown(line, None)
    if as_json:
        show(fields, as_json=True)
        return
    change = f"{line.before} -> {line.after}" if line.before != "{}" else line.after
    because = f"  because {msgspec.json.encode(line.reason).decode()}" if line.reason else ""
    sys.stdout.write(
        f"{fields['booked_at']}  {line.action:<16} {line.subject_kind} {line.subject_id}  "
        f"by {line.actor}  {change}{because}\n"
    )
