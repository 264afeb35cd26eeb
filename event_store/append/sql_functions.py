"""Shows the append as a database runs it, whatever migrations made it what it is.

`make functions` writes it into the book from a freshly migrated database of its own.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from event_store.postgres.embedded import EmbeddedPostgres
from event_store.postgres.migrate import migrate

if TYPE_CHECKING:
    import psycopg

APPEND = "ledger_append"
HEADER = """\
-- The append as it runs: the function `ledger_append`, whatever it calls, in the order in which it
-- is called, and the triggers of the log. Made by `make functions` from a freshly migrated
-- database, as pg_get_functiondef gives it; a test compares. To read, not to run or edit: what
-- counts is the migrations.
"""


def definitions(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The running functions of the append by name: the caller before what it calls."""
    sources = {
        name: (source, definition)
        for name, source, definition in connection.execute(
            "SELECT proname, prosrc, pg_get_functiondef(oid) FROM pg_proc "
            "WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'"
        )
    }
    triggers = connection.execute(
        "SELECT DISTINCT p.proname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE t.tgrelid = 'events'::regclass AND NOT t.tgisinternal ORDER BY p.proname"
    ).fetchall()
    called = re.compile(rf"\b({'|'.join(sorted(sources))})\(")
    found: dict[str, str] = {}

    def take(name: str) -> None:
        if name not in found:
            source, found[name] = sources[name]
            for each in called.findall(source):
                take(each)

    for name in (APPEND, *(name for (name,) in triggers)):
        take(name)
    return found


def render(connection: psycopg.Connection[Any]) -> str:
    """All of them as one page."""
    texts = [f"{text.rstrip()};\n" for text in definitions(connection).values()]
    return "\n".join([HEADER, *texts])


def main() -> None:
    """`python -m event_store.append.sql_functions FILE`; raises EmbeddedPostgresError."""
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate(database)
        with database.connect_as_owner() as connection:
            Path(sys.argv[1]).write_text(render(connection))


if __name__ == "__main__":
    main()
