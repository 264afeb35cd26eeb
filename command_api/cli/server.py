"""The verbs of the server: start it, with what it needs or without; migrate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from command_api.cli.base import Home, Json, settings_with, show, telling
from command_api.composition import configure_logging, open_database, prepare_database
from command_api.processes.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings import Settings

Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Workers = Annotated[int | None, typer.Option(help="Serving processes.")]
Demo = Annotated[
    bool | None,
    typer.Option("--demo", help="Payments are taken by a double of Stripe; no money moves."),
]


def server_verb(about: str, *, prepare: bool) -> Callable[..., None]:
    """A verb that runs the server; those that do have the same options."""

    def run(
        home: Home = None,
        port: Port = None,
        host: Host = None,
        workers: Workers = None,
        demo: Demo = None,
        as_json: Json = False,
    ) -> None:
        settings = settings_with(home, port=port, host=host, workers=workers, demo=demo)
        supervise(settings, prepare=prepare, as_json=as_json)

    run.__doc__ = about
    return run


up = server_verb("Start everything: database, migrations, gateway. Ctrl-C stops it.", prepare=True)
serve = server_verb("Serve on a database that is migrated already.", prepare=False)


def supervise(settings: Settings, *, prepare: bool, as_json: bool) -> None:
    """Run the server in the foreground."""
    configure_logging(settings)

    def say(text: str) -> None:
        line = msgspec.json.encode({"message": text}).decode() if as_json else text
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    with telling():
        Supervisor(settings, say).run(prepare=prepare)


def migrate(home: Home = None, as_json: Json = False) -> None:
    """Apply missing migrations."""
    settings = settings_with(home)
    configure_logging(settings)
    with telling(), open_database(settings) as database:
        applied = prepare_database(settings, database, move=True)
    if as_json:
        show({"applied": applied}, as_json=True)
    else:
        show({"applied": ", ".join(applied) or "nothing was missing"}, as_json=False)
