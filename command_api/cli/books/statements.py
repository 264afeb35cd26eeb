"""The verbs about customers' monthly statements: issued once, numbered, written anywhere."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from command_api.books.commands import issue_statement
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
)
from command_api.cli.users import ACTOR
from domain.books.periods import bounds_of
from event_store.beside.statements import Wanted, read_issued
from projections.all import projection_named
from projections.engine.freshness import ProjectionLaggingError, await_own_writes
from projections.engine.projection import select_on
from projections.money.monthly import read_stated
from query_api.statements import documents

if TYPE_CHECKING:
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
    issued = old = 0
    with opened(home, create=False, prepare=False) as (settings, database):
        accounts = [account] if account else _accounts(database, month)
        for each in accounts:
            wanted = Wanted(settings.reads.issuer, each, month, zone, ACTOR)
            _, new = issue_statement(database, wanted)
            issued, old = issued + new, old + (not new)
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
            try:
                await_own_writes(connection, STATEMENT, WAIT_S)
            except ProjectionLaggingError as error:
                fail(f"{error}: start the gateway, or wait until it has caught up", NOT_CHECKED)
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
