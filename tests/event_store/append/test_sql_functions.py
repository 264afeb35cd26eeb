"""Whoever reads the append reads what runs: in the book, and in one migration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from event_store.append.sql_functions import APPEND, definitions, render

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ROOT = Path(__file__).parents[3]
COPY = ROOT / "docs/internals/ledger_append.sql"
MIGRATIONS = sorted((ROOT / "event_store/migrations").glob("*.sql"))


def newest_that_touches(name: str) -> str:
    """The text of the last migration that makes, alters or patches a function."""
    touched = re.compile(rf"FUNCTION\s+(public\.)?{name}\b|'{name}'")
    return [text for text in (path.read_text() for path in MIGRATIONS) if touched.search(text)][-1]


def test_the_book_shows_what_a_migrated_database_runs(database: Database) -> None:
    """`make functions` was run after the last migration (rule: docs)."""
    with database.connect() as connection:
        assert COPY.read_text() == render(connection)


def test_the_page_holds_all_that_an_append_runs(database: Database) -> None:
    """Each function once, the append first (rule: docs)."""
    with database.connect() as connection:
        found = definitions(connection)
        rows = connection.execute(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'ledger%' OR proname LIKE 'booking%'"
        ).fetchall()
    assert next(iter(found)) == APPEND
    assert {name for (name,) in rows} | {"take_append_lock"} <= set(found)
    text = COPY.read_text()
    for name in found:
        assert text.count(f"FUNCTION public.{name}(") == 1, name


def test_each_function_stands_whole_in_the_newest_migration_that_touches_it(
    database: Database,
) -> None:
    """None is patched together from several files (rule: docs)."""
    with database.connect() as connection:
        names = list(definitions(connection))
        rows = connection.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE proname = ANY (%s)", [names]
        ).fetchall()
    for name, source in rows:
        assert source in newest_that_touches(name), name
