"""The command line: each verb in its place.

Every verb takes --home (or GATEWAYZ_HOME), and --json where it prints anything.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from command_api.cli import (
    database,
    ledger,
    limits,
    projections,
    quotas,
    secrets,
    server,
    streams,
    users,
)
from command_api.cli.base import MISTAKE, say_mistake
from command_api.cli.books import finance
from command_api.cli.money import approvals, corrections, debits, invoices, payments
from command_api.cli.people import (
    audit,
    coupons,
    keys,
    organisations,
    plans,
    roles,
    second_factors,
)

if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a verb in order; those that serve have handlers of their own."""
SIGNAL_STATUS = 128
"""What shells add to a signal's number for the status of a program that it ended."""


class Program(TyperGroup):
    """All verbs; a mistake in a command is one line, as every other mistake is."""

    def main(  # type: ignore[override]  # the rest goes through as it is
        self, args: Any = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a verb; raises SystemExit with its status, unless `standalone_mode` is off."""
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            status = super().main(args, prog_name, standalone_mode=False, **extra)
        except typer.TyperException as error:
            say_mistake(error)
            status = MISTAKE
        except typer.Abort:
            sys.stderr.write("gatewayz: aborted\n")
            status = MISTAKE
        sys.exit(status)


class Ended(KeyboardInterrupt):
    """A signal ended the verb. As an interrupt it also ends a running statement."""


app = typer.Typer(
    cls=Program, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
users.users.command("reset-second-factors")(second_factors.reset)
app.add_typer(users.users, name="user")
app.add_typer(keys.keys, name="key")
app.add_typer(organisations.app, name="org")
app.add_typer(roles.app, name="role")
app.add_typer(coupons.app, name="coupon")
app.add_typer(plans.app, name="plan")
app.add_typer(audit.app, name="audit")
app.add_typer(limits.app, name="limit")
app.add_typer(quotas.app, name="quota")
app.add_typer(ledger.app, name="ledger")
app.add_typer(finance.app, name="finance")
app.add_typer(payments.app, name="payments")
payments.reconciling.command("provider")(invoices.provider_)
app.add_typer(payments.reconciling, name="reconcile")
app.add_typer(approvals.app, name="approvals")
app.add_typer(corrections.calls, name="call")
app.add_typer(projections.app, name="projections")
app.add_typer(secrets.app, name="secrets")
app.add_typer(database.app, name="database")
app.command()(streams.relay)
app.command()(streams.worker)
app.command("up")(server.up)
app.command("serve")(server.serve)
app.command()(server.migrate)
app.command()(users.grant)
app.command()(debits.debit)
app.command()(debits.transfer)
app.command()(corrections.rerate)


def main() -> None:
    """Entry point of `gatewayz`."""
    ended: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        for each in ENDING:  # A second one must not hinder the way out.
            signal.signal(each, signal.SIG_IGN)
        ended.append(number)
        raise Ended

    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:  # Under nohup a hang-up stays ignored.
            signal.signal(number, end)
    try:
        app()
    except SystemExit:
        if ended:
            sys.exit(SIGNAL_STATUS + ended[0])
        raise
