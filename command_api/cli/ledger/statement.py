"""The verb for an account's statement: a period's lines, for people, programs and spreadsheets."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003  typer reads the annotation

import typer

from command_api.cli.base import Home, Json, fail, instant, opened_to_read, show
from domain.pricing.money import format_usd
from edge.spreadsheets import cell
from event_store.ids import to_iso
from event_store.log.reading import booking_now, read_all, require_account
from projections.money.statement_period import Period

if TYPE_CHECKING:
    from projections.money.credit_statement import Line

NOT_BOOKED = "(not booked yet)"

COLUMNS = (
    *("booked_at", "transaction_type", "description", "amount_usd", "balance_after_usd"),
    *("house_loss_usd", "amount_nano_usd", "balance_after_nano_usd", "house_loss_nano_usd"),
    *("call_id", "payment_id", "effective_at", "event_id", "position"),
)


def statement(
    account: Annotated[UUID, typer.Option(help="The account's id; `user show` names it.")],
    since: Annotated[
        str | None, typer.Option("--from", help="Booked from then on: a UTC day, or an instant.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Booked before then: a UTC day, or an instant.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print an account's statement from the log: each grant, charge and expiry, oldest first.

    An expiry that no append has booked yet stands last, without an instant of its booking.
    """
    if as_csv and as_json:
        fail("choose --csv or --json")
    with (
        opened_to_read(home) as (_, database),
        database.connect() as connection,
        connection.transaction(),
    ):
        if since and until and instant(since) > instant(until):
            fail(f"--from {since} is after --to {until}")
        require_account(connection, account)
        period = Period(
            instant(since) if since else None,
            instant(until) if until else None,
            now=booking_now(connection),
        )
        lines = (_fields(each) for each in period.lines(read_all(connection, account=account)))
        if as_csv:
            _print_csv(lines)
        else:
            for each in lines:
                _print_line(each, as_json=as_json)
    if not as_csv:
        ends = {
            "account_id": str(account),
            "lines": period.count,
            "opening_nano_usd": period.opening,
            "opening_usd": format_usd(period.opening),
            "closing_nano_usd": period.closing,
            "closing_usd": format_usd(period.closing),
        }
        show({"statement": ends} if as_json else ends, as_json=as_json)


def _fields(line: Line) -> dict[str, Any]:
    return {
        "booked_at": to_iso(line.booked_at) if line.booked_at else None,
        "transaction_type": line.transaction_type,
        "description": line.description,
        "amount_usd": format_usd(line.amount),
        "balance_after_usd": format_usd(line.balance_after),
        "house_loss_usd": format_usd(line.house_loss),
        "amount_nano_usd": line.amount,
        "balance_after_nano_usd": line.balance_after,
        "house_loss_nano_usd": line.house_loss,
        "call_id": line.call_id,
        "payment_id": line.payment_id,
        "effective_at": line.effective_at,
        "event_id": line.event_id,
        "position": line.position,
    }


def _print_csv(lines: Any) -> None:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in lines:
        for name in ("description", "payment_id"):
            each[name] = cell(each[name])
        writer.writerow(each)


def _print_line(fields: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show({"line": fields}, as_json=True)
    else:
        booked = fields["booked_at"] or NOT_BOOKED
        sys.stdout.write(
            f"{booked:<27}  {fields['transaction_type']:<10} {fields['amount_usd']:>20} "
            f"{fields['balance_after_usd']:>20}  {fields['description']}\n"
        )
