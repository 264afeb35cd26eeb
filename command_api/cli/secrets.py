"""The verbs about the secret of the installation: its fingerprint, and its rotation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_api.cli.base import Home, Json, opened, opened_to_read, show
from command_api.composition import place_of_secret
from command_api.identity.rotation import rotate as run_rotation
from command_api.identity.secret import read_fingerprints

app = typer.Typer(no_args_is_help=True, help="The secret behind key hashes and data keys.")

To = Annotated[
    Path | None, typer.Option(help="File of the new secret, made when absent; else in place.")
]


@app.command("show")
def show_(home: Home = None, as_json: Json = False) -> None:
    """Print the fingerprints of the secret here and of the database's; exit 1 when they differ."""
    with opened_to_read(home) as (settings, database):
        place = place_of_secret(settings)
        here, known = read_fingerprints(database, place)
    matches = known is None or here == known
    show(
        {
            "place": str(place),
            "fingerprint": here or "none",
            "database_fingerprint": known or "none",
            "matches": matches,
        },
        as_json=as_json,
    )
    if not matches:
        raise typer.Exit(1)


@app.command()
def rotate(
    to: To = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring a new secret into force while no gateway runs; API keys stay valid."""
    with opened(home, create=False, prepare=False) as (settings, database):
        done = run_rotation(database, place_of_secret(settings), to)
    show(
        {
            "fingerprint": done.fingerprint,
            "file": done.file,
            "users": done.users,
            "unreadable_users": done.unreadable,
            "retired_secrets": done.retired_secrets,
        },
        as_json=as_json,
    )
