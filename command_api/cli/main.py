"""The command line: each verb in its place.

Every verb takes --home (or GATEWAYZ_HOME), and --json where it prints anything.
"""

from __future__ import annotations

import typer

from command_api.cli import database, ledger, projections, secrets, server, streams, users

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(users.users, name="user")
app.add_typer(users.keys, name="key")
app.add_typer(ledger.app, name="ledger")
app.add_typer(projections.app, name="projections")
app.add_typer(secrets.app, name="secrets")
app.add_typer(database.app, name="database")
app.command()(streams.relay)
app.command()(streams.worker)
app.command("up")(server.up)
app.command("serve")(server.serve)
app.command()(server.migrate)
app.command()(users.grant)


def main() -> None:
    """Entry point of `gatewayz`."""
    app()
