"""The verbs about payments: what does not match Stripe's books, and what it told that failed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from command_api.cli.base import (
    MISTAKE,
    NOT_CHECKED,
    Home,
    Json,
    Shown,
    fail,
    instant,
    opened,
    opened_to_read,
    show,
    shown_of,
)
from command_api.composition import payments_of, vault_of
from command_api.payments.inbox import FAILED, WAITING, Inbox, entries, replay
from command_api.payments.poll import Poll
from command_api.payments.reconcile import Reconciliation
from command_api.processes.demo import with_double
from providers.payments.port import PaymentRefusedError, PaymentsUnavailableError

if TYPE_CHECKING:
    from command_api.payments.reconcile import Reconciled
    from command_api.settings import Settings
    from event_store.postgres.database import Database

reconciling = typer.Typer(no_args_is_help=True, help="Our books beside those of others.")
app = typer.Typer(no_args_is_help=True, help="What Stripe told.")

DAYS = 30
STATEMENT_S = 60.0


@reconciling.command("stripe")
def stripe_(
    since: Annotated[
        str | None, typer.Option("--from", help="A UTC day, or an instant; else 30 days ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="A UTC day, or an instant; else now.")
    ] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="First ask Stripe for events that nobody told us.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List each payment that does not match Stripe's, with why; it makes no entry.

    Exit 1 where there is one, 3 where it cannot be checked.
    """
    with opened_to_read(home) as (settings, database):
        now = datetime.now(UTC)
        begins = instant(since) if since else now - timedelta(days=DAYS)
        # A payment that is begun while we ask is on one side alone.
        ends = instant(until) if until else now
        try:
            found, new = asyncio.run(_compared(settings, database, begins, ends, poll=poll))
        except (PaymentsUnavailableError, PaymentRefusedError) as error:
            fail(str(error), NOT_CHECKED)
    _print(found, new, as_json=as_json)
    if found.lines or found.cut_short:
        raise typer.Exit(MISTAKE)


async def _compared(
    settings: Settings, database: Database, since: datetime, until: datetime, *, poll: bool
) -> tuple[Reconciled, int]:
    provider = payments_of(with_double(settings))
    if provider is None:
        fail("there is no key of Stripe's: set GATEWAYZ_STRIPE_API_KEY", NOT_CHECKED)

    def connect() -> Any:
        return database.connect(statement_s=STATEMENT_S)

    try:
        new = 0
        if poll:
            vault = await asyncio.to_thread(vault_of, settings, database)
            new = await Poll(connect, Inbox(vault), provider).whole(since)
        return await Reconciliation(connect, provider).compare(since, until), new
    finally:
        await provider.close()


def _print(found: Reconciled, new: int, *, as_json: bool) -> None:
    values: dict[str, Any] = {
        "ok": not (found.lines or found.cut_short),
        "payments": found.payments,
        "intents": found.intents,
        "matched": found.matched,
        "not_ours": found.not_ours,
        "new_events": new,
        "cut_short": found.cut_short,
    }
    if as_json:
        show({**values, "lines": [each._asdict() for each in found.lines]}, as_json=True)
        return
    show(values, as_json=False)
    for each in found.lines:
        about = " ".join(part for part in (each.payment_id, each.intent_id) if part)
        sys.stdout.write(
            f"UNMATCHED  {each.why}  {about}: {each.said}\n           {each.proposal}\n"
        )
    if new:
        sys.stdout.write(f"{new} events are new: the background process handles them\n")


@app.command("list")
def list_(
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those that wait, not those that failed.")
    ] = False,
    limit: Shown = 1_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the events of Stripe's whose handling failed, with why, the oldest first."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = entries(connection, WAITING if waiting else FAILED)
    for each in shown_of(found, limit):
        if as_json:
            sys.stdout.write(msgspec.json.encode(each._asdict()).decode() + "\n")
        else:
            sys.stdout.write(
                f"{each.received_at:%Y-%m-%dT%H:%M:%SZ}  {each.event_id}  {each.kind}  "
                f"{each.tries} tries  {each.error}\n"
            )


@app.command("handle")
def handle(
    event: Annotated[str | None, typer.Argument(help="Id of an event (evt_…).")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Handle an event anew, or all that failed; what was done already changes nothing."""
    if (event is None) is not failed:
        fail("name one event, or give --failed")
    with opened(home, create=False, prepare=False) as (_, database):
        with database.connect() as connection:
            count = replay(connection, event or "")
        if event is not None and not count:
            fail(f"there is no event {event[:100]!r} in the inbox, or it waits already")
    show({"handled_anew": count}, as_json=as_json)
