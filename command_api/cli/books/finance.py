"""The verbs about the books: what finance asks as of any time, and the close of a month."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer

from command_api.books.commands import Closer, close_books
from command_api.cli.base import (
    NOT_CHECKED,
    SHOWN,
    Home,
    Json,
    check_reason,
    fail,
    opened,
    opened_to_read,
    show,
    show_none,
)
from command_api.cli.books.statements import issue, statement, statements, write
from command_api.cli.users import ACTOR
from edge.errors import ApiError
from projections.engine.freshness import ProjectionLaggingError
from query_api.finance import exports, queries
from query_api.finance.asked import By, account_of, cursor_of, period_of, range_of, time_of, uuid_of
from query_api.finance.routes import DEBTS_MAX, PAGE_MAX
from query_api.finance.shapes import Range

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

app = typer.Typer(no_args_is_help=True, help="The books.")
app.command()(issue)
app.command()(statement)
app.command()(statements)
app.command()(write)

AsOf = Annotated[
    str | None, typer.Option(help="Before an instant, or up to a position of the log.")
]
Axis = Annotated[By, typer.Option("--by", help="When it was booked, or when it took effect.")]
Since = Annotated[str | None, typer.Option("--from", help="From an instant, or a position, on.")]
Until = Annotated[str | None, typer.Option("--to", help="Before an instant; up to a position.")]
Month = Annotated[str | None, typer.Option(help="A month in UTC, as 2026-01.")]
Cursor = Annotated[str | None, typer.Option(help="The next_cursor of the page before.")]
WAIT_S = 5.0
"""How long a verb waits until the journal has come up to what is asked."""


@app.command("trial-balance")
def trial_balance(
    as_of: AsOf = None, by: Axis = "booked", home: Home = None, as_json: Json = False
) -> None:
    """Print the balance of each class of accounts; together they are zero."""
    _tell(home, lambda: (queries.trial_balance, [time_of(as_of, by)], {}), as_json=as_json)


@app.command("deferred-revenue")
def deferred_revenue(
    as_of: AsOf = None, by: Axis = "booked", home: Home = None, as_json: Json = False
) -> None:
    """Print what of purchased credits is unspent."""
    _tell(home, lambda: (queries.deferred_revenue, [time_of(as_of, by)], {}), as_json=as_json)


@app.command()
def revenue(
    since: Since = None,
    until: Until = None,
    month: Month = None,
    by: Axis = "booked",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what was earned in a time, by lot kind."""
    _tell(
        home,
        lambda: (queries.revenue, [Range(*range_of(since, until, month, by))], {}),
        as_json=as_json,
    )


@app.command()
def margin(
    since: Since = None,
    until: Until = None,
    month: Month = None,
    by: Axis = "booked",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what was earned in a time, less what it cost at the providers."""
    _tell(
        home,
        lambda: (queries.margin, [Range(*range_of(since, until, month, by))], {}),
        as_json=as_json,
    )


@app.command()
def journal(  # noqa: PLR0913, PLR0917 - the options are the verb's contract.
    account: Annotated[str | None, typer.Option(help="A class, or a ledger account.")] = None,
    account_id: Annotated[str | None, typer.Option(help="Of this customer.")] = None,
    since: Since = None,
    until: Until = None,
    month: Month = None,
    by: Axis = "booked",
    cursor: Cursor = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="At most so many.")] = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the lines behind a figure, in the order of the log, each with its event."""
    _tell(
        home,
        lambda: (
            queries.journal,
            [
                Range(*range_of(since, until, month, by)),
                account_of(account),
                uuid_of(account_id, "account_id"),
            ],
            {"after": cursor_of(cursor), "limit": limit},
        ),
        as_json=as_json,
    )


@app.command()
def receivables(
    as_of: AsOf = None,
    by: Axis = "booked",
    cursor: Cursor = None,
    limit: Annotated[int, typer.Option(min=1, max=DEBTS_MAX, help="At most so many.")] = DEBTS_MAX,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what customers owe."""
    _debts(home, as_of, by, cursor, limit, ages=False, as_json=as_json)


@app.command()
def aging(
    as_of: AsOf = None,
    cursor: Cursor = None,
    limit: Annotated[int, typer.Option(min=1, max=DEBTS_MAX, help="At most so many.")] = DEBTS_MAX,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print what customers owe, by how long they have owed it."""
    _debts(home, as_of, "booked", cursor, limit, ages=True, as_json=as_json)


@app.command("export")
def export_(
    month: Annotated[str, typer.Argument(help="A month in UTC that is over, as 2026-01.")],
    form: Annotated[exports.Format, typer.Option("--format", help="Of what is written.")] = "csv",
    by: Axis = "booked",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the journal of a month to standard output."""
    if as_json:
        fail("choose a --format: csv, parquet, beancount or ledger")
    try:
        period = period_of(month, by)
    except ApiError as error:
        fail(str(error))
    with opened_to_read(home) as (_, database):
        try:
            for piece in exports.export(database, period, form, wait_s=WAIT_S):
                sys.stdout.buffer.write(piece)
        except ProjectionLaggingError as error:
            fail(f"{error}: start the gateway, or wait until it has caught up", NOT_CHECKED)


@app.command()
def periods(home: Home = None, as_json: Json = False) -> None:
    """Print which periods are closed, the last one first."""
    with opened_to_read(home) as (_, database):
        _print(queries.periods(database), as_json=as_json)


@app.command("close")
def close_(
    month: Annotated[str, typer.Argument(help="A month in UTC that is over, as 2026-01.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the audit for ever.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Close a month and all before it, for ever; what is closed already stays so."""
    check_reason(reason)
    with opened(home, create=False, prepare=False) as (_, database):
        done = close_books(database, month, closer=Closer(ACTOR), reason=reason.strip())
    show({"closed_until": done.until, "changed": done.changed}, as_json=as_json)


def _debts(
    home: Path | None,
    as_of: str | None,
    by: By,
    cursor: str | None,
    limit: int,
    *,
    ages: bool,
    as_json: bool,
) -> None:
    _tell(
        home,
        lambda: (
            queries.receivables,
            [time_of(as_of, by)],
            {
                "after": uuid_of(cursor, "cursor") or UUID(int=0),
                "limit": limit,
                "ages": ages,
            },
        ),
        as_json=as_json,
    )


def _tell(
    home: Path | None,
    asked: Callable[[], tuple[Callable[..., dict[str, Any]], list[Any], dict[str, Any]]],
    *,
    as_json: bool,
) -> None:
    """Print what a query answers; options are read before anything is opened."""
    try:
        read, values, named = asked()
    except ApiError as error:
        fail(str(error))
    with opened_to_read(home) as (_, database):
        try:
            found = read(database, *values, **named, wait_s=WAIT_S)
        except ProjectionLaggingError as error:
            fail(f"{error}: start the gateway, or wait until it has caught up", NOT_CHECKED)
    _print(found, as_json=as_json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    """For programs as one object; for people a line for each row, then the figures."""
    if as_json:
        show(found, as_json=True)
        return
    figures = {}
    for name, value in found.items():
        if isinstance(value, list):
            if not value:
                show_none(name.replace("_", " "), as_json=False)
            for row in value:
                sys.stdout.write(_row(row) + "\n")
        elif isinstance(value, dict):
            figures[name] = _row(value)
        elif not name.endswith("_nano_usd"):
            figures[name] = value
    show(figures, as_json=False)


def _row(row: dict[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if not name.endswith("_nano_usd")}
    kept.pop("journal", None)
    return "  ".join(
        f"{name}={value if isinstance(value, str | int) else msgspec.json.encode(value).decode()}"
        for name, value in kept.items()
    )
