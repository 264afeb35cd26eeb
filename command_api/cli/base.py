"""What all verbs of the command line share: options, output, errors, the open database."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import msgspec
import psycopg
import typer
from eventsourcing.persistence import PersistenceError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from command_api.composition import (
    configure_logging,
    open_database,
    prepare_database,
)
from command_api.guardrails.file import GuardrailsFileError
from command_api.processes.errors import StartError
from command_api.settings import Settings
from domain.errors import DomainError
from event_store.errors import EventStoreError, NoLedgerError
from event_store.postgres.database import APPLICATION_ROLE
from event_store.relay.relay import RelayError
from projections.engine.rebuild import RebuildError
from projections.engine.sinks.port import ProjectionMovedError, SinkUnavailableError
from providers.inference.registry.providers_file import ProvidersFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from event_store.postgres.database import Database

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the data (or GATEWAYZ_HOME).")]
SHOWN, SHOWN_MAX = 1_000, 10_000
"""Lines that a verb prints of a list, unless it is told otherwise, and at most."""
Shown = Annotated[int, typer.Option("--limit", min=1, max=SHOWN_MAX, help="At most so many lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)

EXPECTED = (
    DomainError,
    EventStoreError,
    ProvidersFileError,
    GuardrailsFileError,
    ProjectionMovedError,
    RebuildError,
    RelayError,
    SinkUnavailableError,
    StartError,
    OSError,
    psycopg.OperationalError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
    *NOT_MIGRATED,
    ValueError,
)
"""Errors with a message for people; anything else is a defect and shows its traceback."""


UNREACHABLE = (
    EventStoreError,
    ProjectionMovedError,
    SinkUnavailableError,
    OSError,
    psycopg.OperationalError,
    psycopg.errors.InsufficientPrivilege,
    *NOT_MIGRATED,
)
"""Those of them that say nothing about the books: what was asked could not be looked at."""

MISTAKE = 1
"""Exit status of a mistake, and of a check that found a difference."""
NO_LEDGER = 2
"""Exit status of a reading verb where there is no ledger, or an empty one."""
NOT_CHECKED = 3
"""Exit status of a reading verb that could not look at what it was asked about."""


T = TypeVar("T")
DAY_CHARACTERS = len("2027-01-01")


def shown_of(lines: Sequence[T], limit: int) -> Sequence[T]:
    """The first lines of a list; how many are left out is said on standard error."""
    if len(lines) > limit:
        more = len(lines) - limit
        sys.stderr.write(f"gatewayz: {more} lines more are left out: give a higher --limit\n")
    return lines[:limit]


def fail(message: str, status: int = MISTAKE) -> NoReturn:
    """Say what is wrong, and exit."""
    sys.stderr.write(f"gatewayz: {message}\n")
    raise typer.Exit(status)


def say_mistake(error: Any) -> None:
    """Say what is wrong with a command; one that names no verb is answered with the help."""
    context = getattr(error, "ctx", None)
    line = " ".join((error.format_message() or "").split())
    if not line:  # The help was printed when the mistake was found.
        return
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    sys.stderr.write(f"gatewayz: {line}{hint}\n")


@contextmanager
def telling(unreachable: int = MISTAKE) -> Iterator[None]:
    """Turn the errors that are a message into one line and a status."""
    try:
        yield
    except BrokenPipeError:
        raise  # Whoever reads the output has seen enough, and needs no line.
    except NoLedgerError as error:
        fail(str(error), NO_LEDGER)
    except UNREACHABLE as error:
        fail(line_of(error), unreachable)
    except EXPECTED as error:
        fail(line_of(error))
    except PersistenceError as error:
        # The library of the event streams puts its own error around the database's.
        if not isinstance(error.__cause__, EXPECTED):
            raise
        fail(line_of(error.__cause__))


def line_of(error: Exception) -> str:
    """What an error says, in one line, and what to do where a database cannot know that."""
    said = "; ".join(each.strip() for each in str(error).splitlines() if each.strip())
    no_role = f'role "{APPLICATION_ROLE}" does not exist' in said
    if isinstance(error, NOT_MIGRATED) or no_role:
        return f"the database is not migrated ({said}): run `gatewayz migrate`"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return f"the database takes no writes now ({said}): name the one that does"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"the database's login may not do this ({said}): give migrations one that may create "
            f"tables and the role {APPLICATION_ROLE}, in GATEWAYZ_MIGRATIONS_DATABASE_URL"
        )
    return said


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


def instant(text: str) -> datetime:
    """An instant of ISO 8601 with a zone; a day alone is its beginning in UTC.

    Raises ValueError.
    """
    try:
        if len(text) == DAY_CHARACTERS:
            return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no day or instant, such as 2027-01-01 or 2027-01-01T00:00:00Z"
        raise ValueError(message) from None
    if found.tzinfo is None:
        message = f"{text!r} has no time zone: write it as 2027-01-01T00:00:00Z"
        raise ValueError(message)
    return found


def show(value: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for programs or for people."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    else:
        width = max(len(name) for name in value)
        for name, item in value.items():
            sys.stdout.write(f"{name.replace('_', ' '):{width}}  {item}\n")


def show_none(what: str, *, as_json: bool) -> None:
    """Say to people that a list has nothing in it; to programs an empty list says so itself."""
    if not as_json:
        sys.stdout.write(f"no {what}\n")


@contextmanager
def opened(
    home: Path | None, *, create: bool = True, prepare: bool = True, **overrides: Any
) -> Iterator[tuple[Settings, Database]]:
    """The settings and the migrated database; errors become messages.

    A verb about something that must be there already gives `create=False`: in a wrong folder it
    makes nothing and exits with NO_LEDGER, and on an older database it asks for `migrate`. One
    that makes no tables gives `prepare=False` too: the application's login is enough for it.
    """
    settings = settings_with(home, **overrides)
    configure_logging(settings)
    with telling(), open_database(settings, create=create) as database:
        if prepare:
            # Whoever asks from a shell may not have all settings: nothing is moved for them.
            prepare_database(settings, database, move=False)
        yield settings, database


@contextmanager
def opened_to_read(home: Path | None) -> Iterator[tuple[Settings, Database]]:
    """The settings and the database as it is: nothing is made, nothing is migrated.

    Without a ledger the verb exits with NO_LEDGER; where it cannot be reached, or must be
    migrated first, with NOT_CHECKED.
    """
    settings = settings_with(home)
    configure_logging(settings)
    with telling(NOT_CHECKED), open_database(settings, create=False) as database:
        yield settings, database


@contextmanager
def progress_bar(said: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, where somebody looks at it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    quiet = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task(said, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


def check_reason(reason: str) -> None:
    """Fail where an act on somebody else's account says no reason."""
    if not reason.strip():
        fail("--reason must say why")
