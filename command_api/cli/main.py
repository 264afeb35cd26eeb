"""The command line: each verb in its place.

Every verb takes --home (or GATEWAYZ_HOME), and --json where it prints anything.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from command_api.cli.base import MISTAKE, say_mistake
from command_api.cli.verbs import Verbs

if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a verb in order; those that serve have handlers of their own."""
SIGNAL_STATUS = 128
"""What shells add to a signal's number for the status of a program that it ended."""


class Program(TyperGroup):
    """All verbs; a mistake in a command is one line, as every other mistake is."""

    def __init__(self, **given: Any) -> None:
        """As the framework makes it, with the verbs of the table."""
        super().__init__(**given)
        self.commands = Verbs()  # type: ignore[assignment]  # none is ever put into it

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


@app.callback()
def gatewayz() -> None:
    """An inference gateway with a ledger: prepaid credits, held first and settled exactly."""


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
