"""The command line. Every verb takes --home (or GATEWAYZ_HOME) and --json."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
import typer

from command_api.cli import projections as cli_projections
from command_api.cli import streams as cli_streams
from command_api.cli.base import EXPECTED, Home, Json, fail, opened, settings_with, show
from command_api.composition import configure_logging, open_database, prepare_database, vault_of
from command_api.identity.users import Users
from command_api.money.grants import Grant, Grants
from command_api.processes.supervisor import Supervisor
from domain.ledger.lots import GrantKind
from domain.ledger.state import LedgerState
from domain.pricing.money import format_usd, parse_usd
from event_store.ids import to_iso
from event_store.log.reading import read_all
from projections.engine.sinks.redis import sinks_of
from projections.hosting.verify import verify as run_verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.settings import Settings
    from event_store.log.reading import LogEntry

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
users = typer.Typer(no_args_is_help=True, help="Users.")
keys = typer.Typer(no_args_is_help=True, help="API keys.")
ledger = typer.Typer(no_args_is_help=True, help="The ledger.")
app.add_typer(users, name="user")
app.add_typer(keys, name="key")
app.add_typer(ledger, name="ledger")
app.add_typer(cli_projections.app, name="projections")
app.command()(cli_streams.relay)
app.command()(cli_streams.worker)

ACTOR = "operator:cli"
UUID_CHARACTERS = 36


@contextmanager
def commands_of(home: Path | None) -> Iterator[tuple[Users, Grants]]:
    """The commands on users, keys and credits, on the home's database."""
    with opened(home) as (settings, database):
        known = Users(database, vault_of(settings), actor=ACTOR)
        try:
            yield known, Grants(database, actor=ACTOR)
        finally:
            known.close()


def supervise(settings: Settings, *, prepare: bool, as_json: bool) -> None:
    """Run the server in the foreground."""
    configure_logging(settings)

    def say(text: str) -> None:
        line = msgspec.json.encode({"message": text}).decode() if as_json else text
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        Supervisor(settings, say).run(prepare=prepare)
    except EXPECTED as error:
        fail(str(error))


Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Workers = Annotated[int | None, typer.Option(help="Serving processes.")]


@app.command()
def up(
    home: Home = None,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Start everything: database, migrations, gateway. Ctrl-C stops it."""
    settings = settings_with(home, port=port, host=host, workers=workers)
    supervise(settings, prepare=True, as_json=as_json)


@app.command()
def serve(
    home: Home = None,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Serve on a database that is migrated already."""
    settings = settings_with(home, port=port, host=host, workers=workers)
    supervise(settings, prepare=False, as_json=as_json)


@app.command()
def migrate(home: Home = None, as_json: Json = False) -> None:
    """Apply missing migrations."""
    settings = settings_with(home)
    configure_logging(settings)
    try:
        with open_database(settings) as database:
            applied = prepare_database(settings, database, move=True)
    except EXPECTED as error:
        fail(str(error))
    if as_json:
        show({"applied": applied}, as_json=True)
    else:
        show({"applied": ", ".join(applied) or "nothing was missing"}, as_json=False)


@users.command("create")
def user_create(
    email: Annotated[str, typer.Option(help="Address of the user.")],
    grant: Annotated[str, typer.Option(help="USD to grant, a decimal string.")] = "0",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a user with an API key; the balance is exactly --grant."""
    with commands_of(home) as (known, grants):
        amount = parse_usd(grant)
        user = known.create_user(email)
        if amount:
            given = Grant(
                account_id=UUID(user.account_id),
                amount=amount,
                kind=GrantKind.BONUS,
                reason="granted at creation",
                idempotency_key="creation",
            )
            asyncio.run(grants.give(given))
        show(
            {
                "user_id": user.user_id,
                "api_key": user.api_key,
                "account_id": user.account_id,
                "key_id": user.key_id,
                "granted_nano_usd": amount,
                "granted_usd": format_usd(amount),
            },
            as_json=as_json,
        )


@keys.command("create")
def key_create(
    user: Annotated[str, typer.Option(help="Id or address of the user.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another key for a user; it is shown this once."""
    with commands_of(home) as (known, _):
        key_id, api_key = known.create_key(user, name)
        show({"key_id": key_id, "api_key": api_key, "name": name}, as_json=as_json)


@keys.command("revoke")
def key_revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; running gateways refuse it at once."""
    with commands_of(home) as (known, _):
        show({"key_id": known.revoke_key(key, reason), "status": "revoked"}, as_json=as_json)


@app.command()
def grant(
    user: Annotated[str, typer.Argument(help="Id or address of the user.")],
    amount: Annotated[str, typer.Argument(help="USD, a decimal string.")],
    kind: Annotated[GrantKind, typer.Option(help="Kind of the grant.")] = GrantKind.BONUS,
    expires_at: Annotated[
        str | None, typer.Option(help="When it stops counting, ISO 8601 with zone.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Stands on the statement.")] = "",
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again changes nothing.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give credits to a user."""
    with commands_of(home) as (known, grants):
        nano = parse_usd(amount)
        if nano == 0:
            fail("grant more than 0 USD")
        _, account_id = known.find_user(user)
        given = Grant(
            account_id=account_id,
            amount=nano,
            kind=kind,
            reason=reason,
            expires_at=_instant(expires_at),
            idempotency_key=idempotency_key,
        )
        lot_id, first = asyncio.run(grants.give(given))
        show(
            {
                "lot_id": lot_id,
                "amount_nano_usd": nano,
                "amount_usd": format_usd(nano),
                "repeated": not first,
            },
            as_json=as_json,
        )


def _instant(text: str | None) -> str | None:
    if text is None:
        return None
    from datetime import datetime

    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        message = f"{text!r} has no time zone: write it as 2027-01-01T00:00:00Z"
        raise ValueError(message)
    return to_iso(instant)


@ledger.command()
def verify(home: Home = None, as_json: Json = False) -> None:
    """Replay the log and compare every balance, hold and read model; exit 1 on a difference."""
    with opened(home) as (settings, database):
        report = run_verify(database, sinks_of(settings.redis_url))
    values = asdict(report)
    if as_json:
        show({"ok": not report.differences, **values}, as_json=True)
    else:
        differences = values.pop("differences")
        values["read_models"] = ", ".join(f"{k} at {v}" for k, v in report.read_models.items())
        show(values, as_json=False)
        for difference in differences:
            sys.stdout.write(f"DIFFERENCE  {difference}\n")
        sys.stdout.write("the books are right\n" if not differences else "")
    if report.differences:
        raise typer.Exit(1)


@ledger.command()
def replay(
    stream: Annotated[
        str | None, typer.Option(help="Only this stream: its name, or its UUID.")
    ] = None,
    to: Annotated[int | None, typer.Option(help="Up to this position of the log.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the events, one a line, and then the balances they add up to."""
    state = LedgerState()
    with opened(home) as (_, database), database.connect() as connection, connection.transaction():
        stream_id = _stream_id(stream)
        for entry in read_all(connection, to_position=to, stream=stream_id):
            _print_event(entry, as_json=as_json)
            if stream_id is None:
                state.apply(entry.event, entry.position)
    for account in state.accounts.values():
        balance = {
            "account_id": account.account_id,
            "granted_nano_usd": account.granted,
            "available_nano_usd": account.available,
            "held_nano_usd": account.held,
            "settled_nano_usd": account.settled,
            "breakage_nano_usd": account.breakage,
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


def main() -> None:
    """Entry point of `gatewayz`."""
    app()
