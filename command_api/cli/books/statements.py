"""The verbs about customers' monthly statements: issued once, numbered, written anywhere."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from command_api.books.commands import issue_statement, issue_statements
from command_api.cli.base import (
    NOT_CHECKED,
    SHOWN,
    Home,
    Json,
    Shown,
    fail,
    instant,
    opened,
    opened_to_read,
    show,
    show_none,
)
from command_api.cli.users import ACTOR
from domain.books.periods import bounds_of
from event_store.beside.statements import Wanted, read_issued
from projections.all import projection_named
from projections.engine.freshness import ProjectionLaggingError, await_own_writes
from projections.engine.projection import select_on
from projections.money.monthly import read_stated
from query_api.statements import documents
from query_api.statements.batches import csv_of_all, json_of_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from event_store.beside.statements import Issued
    from event_store.postgres.database import Database

PAGE = 1_000
WAIT_S = 5.0
LONGEST_OFFSET = timedelta(days=1)
"""No zone's month ends later than so long after that of UTC."""
STATEMENT = projection_named("credit_statement")

Zone = Annotated[str, typer.Option(help="In which the month begins and ends.")]


def issue(
    month: Annotated[str, typer.Argument(help="A month that is over, as 2026-01.")],
    account: Annotated[UUID | None, typer.Option(help="Only of this account.")] = None,
    zone: Zone = "UTC",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Issue the statements of all accounts for a month; what was issued stays as it is."""
    with opened(home, create=False, prepare=False) as (settings, database):
        wanted = Wanted(settings.reads.issuer, account or UUID(int=0), month, zone, ACTOR)
        accounts = [account] if account else _accounts(database, month)
        if account:
            issued = int(issue_statement(database, wanted)[1])
        else:
            issued = issue_statements(database, wanted, accounts)
        old = len(accounts) - issued
    show({"month": month, "issued": issued, "issued_before": old}, as_json=as_json)


def statements(
    account: Annotated[UUID | None, typer.Option(help="Only of this account.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Behind this number.")] = 0,
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the statements that were issued, one a line."""
    with opened_to_read(home) as (settings, database), database.connect() as connection:
        found = read_issued(
            connection, settings.reads.issuer, account_id=account, after=after, limit=limit
        )
    if not found:
        show_none("more statements" if after else "statements", as_json=as_json)
    for each in found:
        line = documents.shown(each)
        if as_json:
            show(line, as_json=True)
        else:
            sys.stdout.write("  ".join(str(value) for value in line.values()) + "\n")


def statement(
    number: Annotated[int, typer.Argument(min=1, help="Its number.")],
    form: Annotated[
        Literal["json", "csv", "pdf"], typer.Option("--format", help="Of what is written.")
    ] = "csv",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a statement to standard output, with every line."""
    with opened_to_read(home) as (settings, database):
        with database.connect() as connection:
            found = read_issued(connection, settings.reads.issuer, number=number)
            if not found:
                fail(f"there is no statement {number}: `gatewayz finance statements` lists them")
            _await_lines(connection)
        (issued,) = found
        ends = documents.ends_of(database, issued)
        out = sys.stdout.buffer
        if as_json or form == "json":
            out.write(documents.json_head(issued, ends))
            for place, part in enumerate(documents.parts_of(database, issued)):
                out.write(documents.json_part(part, first=place == 0))
            out.write(documents.JSON_TAIL)
        elif form == "csv":
            out.write(documents.csv_head(issued, ends).encode())
            for part in documents.parts_of(database, issued):
                out.write(documents.csv_part(part).encode())
            out.write(documents.csv_tail(issued, ends).encode())
        else:
            if ends.lines > documents.PDF_LINES_MAX:
                fail(f"a PDF has at most {documents.PDF_LINES_MAX} lines: use --format csv")
            out.write(documents.pdf_of(issued, ends, documents.parts_of(database, issued)))


def write(
    month: Annotated[str, typer.Argument(help="Of the statements that were issued, as 2026-01.")],
    folder: Annotated[Path, typer.Argument(help="Where a file for each goes; it is made.")],
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="Of the files.")] = "csv",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write every statement of a month into a folder; one that is there already is written anew."""
    bounds_of(month)
    count = after = 0
    with opened_to_read(home) as (settings, database):
        folder.mkdir(parents=True, exist_ok=True)
        with database.connect() as connection:
            _await_lines(connection)
        while True:
            with database.connect() as connection:
                some = read_issued(
                    connection, settings.reads.issuer, month=month, after=after, limit=PAGE
                )
            written: Iterator[tuple[Issued, Iterator[bytes]]]
            if form == "json":
                written = json_of_all(database, some)
            else:
                written = ((each, map(str.encode, t)) for each, t in csv_of_all(database, some))
            for issued, pieces in written:
                with (folder / f"statement-{issued.number:08}.{form}").open("wb") as file:
                    file.writelines(pieces)
            count += len(some)
            if len(some) < PAGE:
                break
            after = some[-1].number
    show({"month": month, "written": count, "folder": str(folder)}, as_json=as_json)


def _await_lines(connection: Connection[Any]) -> None:
    try:
        await_own_writes(connection, STATEMENT, WAIT_S)
    except ProjectionLaggingError as error:
        fail(f"{error}: start the gateway, or wait until it has caught up", NOT_CHECKED)


def _accounts(database: Database, month: str) -> list[UUID]:
    """All that have a line before the month's end, by id."""
    until, found = instant(bounds_of(month)[1]) + LONGEST_OFFSET, list[UUID]()
    with database.connect() as connection:
        select = select_on(connection)
        last = UUID(int=0)
        while page := read_stated(select, after=last, ends=until, limit=PAGE):
            found += page
            last = page[-1]
    return found
