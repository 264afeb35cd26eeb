"""The verbs about the ledger: verify it, replay it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer

from command_api.cli.base import MISTAKE, NO_LEDGER, Home, Json, fail, instant, opened_to_read, show
from command_api.cli.ledger.statement import statement
from domain.ledger.state import LedgerState
from event_store.append.outcome_files import quarantined
from event_store.ids import to_iso
from event_store.log.reading import position_at, read_all, require_account
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import require_projections
from projections.hosting.verify import NOT_SHOWN
from projections.hosting.verify import verify as run_verify

if TYPE_CHECKING:
    import psycopg

    from domain.ledger.accounts import Account
    from event_store.log.reading import LogEntry

app = typer.Typer(no_args_is_help=True, help="The ledger.")
app.command()(statement)

UUID_CHARACTERS = 36


@app.command()
def verify(home: Home = None, as_json: Json = False) -> None:
    """Replay the log; compare every charge, balance, hold and read model.

    Exit 1 on a difference or an outcome in quarantine, 2 without a ledger or for an empty one,
    3 where it cannot be checked.
    """
    with opened_to_read(home) as (settings, database):
        require_projections(database)
        report = run_verify(database, sinks_of(settings.redis.url))
    if not (report.events or report.differences):
        fail("nothing to verify: the log is empty", NO_LEDGER)
    values = asdict(report)
    values["quarantined"] = [str(each) for each in quarantined(settings.installation.home)]
    # What was put aside is an end that its call lacks: nothing else that was compared shows it.
    ok = not (report.differences or values["quarantined"])
    if as_json:
        show({"ok": ok, **values, "not_shown": NOT_SHOWN}, as_json=True)
    else:
        aside = values.pop("quarantined")
        differences = values.pop("differences")
        values["read_models"] = ", ".join(f"{k} at {v}" for k, v in report.read_models.items())
        show(values, as_json=False)
        for difference in differences:
            sys.stdout.write(f"DIFFERENCE  {difference}\n")
        for file in aside:
            sys.stdout.write(f"DIFFERENCE  {file}: an outcome in quarantine, not in the log\n")
        sys.stdout.write(f"not shown: {NOT_SHOWN}\n")
        sys.stdout.write("the books are right\n" if ok else "")
    if not ok:
        raise typer.Exit(MISTAKE)


@app.command()
def replay(
    stream: Annotated[
        str | None, typer.Option(help="Only this stream: its name, or its UUID.")
    ] = None,
    account: Annotated[UUID | None, typer.Option(help="Only this account's events.")] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Up to this position of the log, or instant (ISO 8601, or a UTC day)."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the events, one a line, and then the balances of their accounts after them."""
    with (
        opened_to_read(home) as (_, database),
        database.connect() as connection,
        connection.transaction(),
    ):
        if account is not None:
            require_account(connection, account)
        end = _position(connection, to)
        stream_id = _stream_id(stream)
        concerned: set[str] = set()
        state, last = LedgerState(), None
        if account is not None and stream_id is None:
            state.account(str(account))  # Its noughts, where it has no event of money by then.
        for entry in read_all(connection, to_position=end, stream=stream_id, account=account):
            _print_event(entry, as_json=as_json)
            last = entry.booked_at
            concerned.add(getattr(entry.event, "account_id", ""))
            if stream_id is None:
                state.apply(entry.event, entry.position)
        if stream_id is not None:
            # What its accounts hold follows from all their events, not from this stream's.
            for each in sorted(concerned - {""}):
                for entry in read_all(connection, to_position=end, account=UUID(each)):
                    state.apply(entry.event, entry.position)
    at = last if to and to.isdecimal() else instant(to) if to else None
    for found in state.accounts.values():
        _print_balance(found, to_iso(at or datetime.now(UTC)), as_json=as_json)


def _position(connection: psycopg.Connection[Any], to: str | None) -> int | None:
    """The position that `--to` means: itself, or the last one booked by that instant."""
    if to is None or to.isdecimal():
        return int(to) if to else None
    return position_at(connection, instant(to))


def _print_balance(account: Account, at: str, *, as_json: bool) -> None:
    """Its sums as booked; what of the available had expired by then is booked by a later append."""
    expired = sum(lot.available for lot in account.lots.values() if not lot.counts_at(at))
    balance = {
        "account_id": account.account_id,
        "granted_nano_usd": account.granted,
        "available_nano_usd": account.available,
        "of_which_expired_nano_usd": expired,
        "held_nano_usd": account.held,
        "settled_nano_usd": account.settled,
        "breakage_nano_usd": account.breakage,
        "debited_nano_usd": account.debited,
        "owed_nano_usd": account.owed,
        "house_loss_nano_usd": account.house_loss,
    }
    if as_json:
        show({"balance": balance}, as_json=True)
    else:
        sys.stdout.write("\n")
        show(balance, as_json=False)


def _stream_id(stream: str | None) -> UUID | None:
    """The UUID at the end of a stream's name."""
    try:
        return UUID(stream[-UUID_CHARACTERS:]) if stream else None
    except ValueError:
        message = f"{stream!r} is no stream: write call-UUID, or the UUID alone"
        raise ValueError(message) from None


def _print_event(entry: LogEntry, *, as_json: bool) -> None:
    event = entry.event
    fields = {
        name: value
        for name, value in vars(event).items()
        if name not in ("originator_id", "originator_version")
    }
    line = {
        "position": entry.position,
        "type": event.TOPIC,
        "stream": event.stream,
        "version": event.originator_version,
        "booked_at": to_iso(entry.booked_at),
        **fields,
    }
    if as_json:
        show(line, as_json=True)
    else:
        rest = msgspec.json.encode(fields).decode()
        sys.stdout.write(
            f"{entry.position:>8}  {line['booked_at']}  {event.TOPIC:<28} {event.stream} "
            f"v{event.originator_version}  {rest}\n"
        )
