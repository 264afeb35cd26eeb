"""The verbs about payments: what does not match Stripe's books, and what it told that failed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
from command_api.money.compared import Lists
from command_api.payments.inbox import FAILED, WAITING, Inbox, entries, replay
from command_api.payments.poll import Poll
from command_api.payments.reconcile import Reconciled, Reconciliation
from command_api.processes.demo import away, with_double
from command_api.processes.paying import WATCHED
from command_api.refunds.reconcile import Reconciled as ReturnsReconciled
from command_api.refunds.reconcile import ReturnsReconciliation
from command_api.subscriptions.reconcile import InvoiceReconciliation
from command_api.subscriptions.reconcile import Reconciled as InvoicesReconciled
from providers.payments.port import PaymentRefusedError, PaymentsUnavailableError

if TYPE_CHECKING:
    from command_api.money.compared import Line
    from command_api.money.compared import Line as ReturnLine
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
    """List each payment, invoice, refund, dispute, fee and payout that does not match Stripe's.

    It proposes, and makes no entry.

    Exit 1 where there is one, 3 where it cannot be checked.
    """
    with opened_to_read(home) as (settings, database):
        now = datetime.now(UTC)
        begins = instant(since) if since else now - timedelta(days=DAYS)
        # A payment that is begun while we ask is on one side alone.
        ends = instant(until) if until else now
        if ends <= begins:
            fail("--to is not after --from")
        try:
            compared = asyncio.run(_compared(settings, database, begins, ends, poll=poll))
        except PaymentRefusedError as error:
            fail(str(error), NOT_CHECKED)
        except PaymentsUnavailableError as error:
            fail(f"{error}{away(settings)}", NOT_CHECKED)
    _print(compared, as_json=as_json)
    if not compared.ok:
        raise typer.Exit(MISTAKE)


class _Compared(NamedTuple):
    """Payments, what went back of them, subscriptions' invoices; whether all was looked at, and
    how many events were new.
    """

    paid: Reconciled
    back: ReturnsReconciled
    billed: InvoicesReconciled
    cut_short: bool
    new: int

    @property
    def ok(self) -> bool:
        """Whether all matches, and all was looked at."""
        lines = (each.lines for each in (self.paid, self.back, self.billed))
        return not self.cut_short and not any(lines)


async def _compared(
    settings: Settings, database: Database, since: datetime, until: datetime, *, poll: bool
) -> _Compared:
    paying = with_double(settings)
    provider = payments_of(paying)
    if provider is None:
        fail("there is no key of Stripe's: set GATEWAYZ_STRIPE_API_KEY", NOT_CHECKED)

    def connect() -> Any:
        return database.connect(statement_s=STATEMENT_S)

    try:
        new = 0
        if poll:
            vault = await asyncio.to_thread(vault_of, settings, database)
            new = await Poll(connect, Inbox(vault), provider, WATCHED).whole(since)
        paid = await Reconciliation(connect, provider).compare(since, until)
        lists = Lists(provider, since, until)
        back = await ReturnsReconciliation(connect, lists).compare()
        offers = paying.payments.offers
        billed = await InvoiceReconciliation(connect, lists, offers).compare()
        cut_short = paid.cut_short or billed.cut_short or lists.cut_short
        return _Compared(paid, back, billed, cut_short, new)
    finally:
        await provider.close()


def _print(compared: _Compared, *, as_json: bool) -> None:
    found, back, billed, cut_short, new = compared
    lines: list[Line | ReturnLine] = [*found.lines, *back.lines, *billed.lines]
    values: dict[str, Any] = {
        "ok": compared.ok,
        "payments": found.payments,
        "intents": found.intents,
        "matched": found.matched,
        "not_ours": found.not_ours,
        "refunds": back.refunds,
        "disputes": back.disputes,
        "fees": back.fees + billed.fees,
        "invoices": billed.invoices,
        "payouts": back.payouts,
        "new_events": new,
        "cut_short": cut_short,
    }
    if as_json:
        show({**values, "lines": [each._asdict() for each in lines]}, as_json=True)
        return
    show(values, as_json=False)
    for each in lines:
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
