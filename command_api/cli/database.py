"""The verbs of the database: where it is, and SQL on it, as somebody who may only read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from command_api.cli.base import Home, Json, fail, opened_to_read, show
from event_store.errors import EmbeddedPostgresError
from event_store.postgres.database import url_of
from event_store.postgres.launcher import binaries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

app = typer.Typer(no_args_is_help=True, help="The database, for SQL.")

PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


class Login(StrEnum):
    """As whom to connect."""

    READER = "reader"
    APPLICATION = "application"
    OWNER = "owner"


As = Annotated[
    Login, typer.Option("--as", help="Who asks: reader sees, and changes nothing; owner may all.")
]


@app.command()
def url(
    login: As = Login.READER,
    with_password: Annotated[
        bool, typer.Option("--with-password", help="Print the password too.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the database's URL for SQL clients, without its password unless that is asked for."""
    with opened_to_read(home) as (_, database):
        conninfo = _conninfo(database, login)
    secret = "password" in conninfo_to_dict(conninfo)
    text = url_of(conninfo, with_password=with_password)
    if as_json:
        show({"url": text, "password_left_out": secret and not with_password}, as_json=True)
        return
    sys.stdout.write(text + "\n")
    if secret and not with_password:
        sys.stderr.write(
            "its password is left out: --with-password prints it, `gatewayz database psql` needs "
            "none\n"
        )


@app.command(context_settings=PASSES_ON)
def psql(context: typer.Context, login: As = Login.READER, home: Home = None) -> None:
    """Open psql on the database; what stands behind `--` is psql's."""
    with opened_to_read(home) as (settings, database):
        program = _psql()
        if program is None:
            fail(
                "there is no psql here: install PostgreSQL's client (postgresql-client), or use "
                "any other on what `gatewayz database url --with-password` prints"
            )
        conninfo = _conninfo(database, login)
        password = str(conninfo_to_dict(conninfo).get("password") or "")
        # An argument can be seen by everybody on the machine, the environment cannot.
        environment = dict(settings.environment)
        if password:
            environment["PGPASSWORD"] = password
        arguments = [program, url_of(conninfo, with_password=False), *context.args]
        status = subprocess.run(arguments, env=environment, check=False).returncode
    raise typer.Exit(status)


def _conninfo(database: Database, login: Login) -> str:
    if login is Login.OWNER:
        return database.owner
    if login is Login.APPLICATION:
        return database.application
    return make_conninfo(database.application, options=database.reader_options)


def _psql() -> str | None:
    """The embedded server's own, else the machine's."""
    try:
        own = binaries() / "psql"
    except EmbeddedPostgresError:
        own = None
    return str(own) if own is not None and own.exists() else shutil.which("psql")
