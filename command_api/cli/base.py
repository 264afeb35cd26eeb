"""What all verbs of the command line share: options, output, errors, the open database."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import psycopg
import typer
from pydantic import ValidationError

from command_api.composition import (
    configure_logging,
    open_database,
    prepare_database,
)
from command_api.processes.errors import StartError
from command_api.settings import Settings
from domain.errors import DomainError
from event_store.errors import EventStoreError
from event_store.relay.relay import RelayError
from projections.engine.rebuild import RebuildError
from projections.engine.sinks.port import ProjectionMovedError, SinkUnavailableError
from providers.inference.registry.providers_file import ProvidersFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the data (or GATEWAYZ_HOME).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

EXPECTED = (
    DomainError,
    EventStoreError,
    ProvidersFileError,
    ProjectionMovedError,
    RebuildError,
    RelayError,
    SinkUnavailableError,
    StartError,
    OSError,
    psycopg.OperationalError,
    ValueError,
)
"""Errors with a message for people; anything else is a defect and shows its traceback."""


def fail(message: str) -> NoReturn:
    """Say what is wrong, and exit with status 1."""
    sys.stderr.write(f"gatewayz: {message}\n")
    raise typer.Exit(1)


@contextmanager
def telling() -> Iterator[None]:
    """Turn the errors that are a message into one line and status 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # Whoever reads the output has seen enough, and needs no line.
    except EXPECTED as error:
        fail(str(error))


def settings_with(home: Path | None, **overrides: Any) -> Settings:
    """The settings, with what the command line says on top."""
    given = {name: value for name, value in overrides.items() if value is not None}
    if home is not None:
        given["home"] = home
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{first['loc'][0]}: {first['msg']} (see docs/reference/settings.md)")


def show(value: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for programs or for people."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    else:
        width = max(len(name) for name in value)
        for name, item in value.items():
            sys.stdout.write(f"{name.replace('_', ' '):{width}}  {item}\n")


@contextmanager
def opened(home: Path | None, **overrides: Any) -> Iterator[tuple[Settings, Database]]:
    """The settings and the migrated database; errors become messages."""
    settings = settings_with(home, **overrides)
    configure_logging(settings)
    with telling(), open_database(settings) as database:
        # Whoever asks from a shell may not have all settings: nothing is moved for them.
        prepare_database(settings, database, move=False)
        yield settings, database
