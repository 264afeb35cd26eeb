"""The list of advisory locks is whole, and nobody takes a lock beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from event_store.locks import Lock
from tests.support.packages import ROOT, SOURCES

if TYPE_CHECKING:
    from event_store.postgres.database import Database

LIST = ROOT / "event_store/locks.py"
MIGRATIONS = sorted((ROOT / "event_store/migrations").glob("*.sql"))
TAKEN = re.compile(r"pg_\w*advisory\w*\(\s*(\d+)")
NUMBER = re.compile(r"\b47162\d\d\b")
RESERVED = 4716261
"""The sweeper's number, out of use; an old process may still hold it during an upgrade."""


def test_numbers_are_unique() -> None:
    """Two names of one number would wait for each other (rule: tidy)."""
    numbers = [lock.value for lock in Lock.__members__.values()]
    assert len(numbers) == len(set(numbers))
    assert RESERVED not in numbers


def test_migrations_take_only_locks_that_are_listed() -> None:
    """What SQL writes as a number stands in the list (rule: tidy)."""
    taken = {int(number) for path in MIGRATIONS for number in TAKEN.findall(path.read_text())}
    assert taken == {Lock.APPEND, Lock.LISTENERS}
    numbers = {int(number) for path in MIGRATIONS for number in NUMBER.findall(path.read_text())}
    assert numbers == taken


def test_the_running_functions_take_only_locks_that_are_listed(database: Database) -> None:
    """Whatever the migrations made of one another's text (rule: tidy)."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    taken = {int(number) for (text,) in rows for number in TAKEN.findall(text)}
    assert taken == {Lock.APPEND, Lock.LISTENERS}


def test_no_other_module_writes_a_lock_as_a_number() -> None:
    """Python names its locks from the list (rule: tidy)."""
    assert {int(number) for number in NUMBER.findall(LIST.read_text())} == {RESERVED, *Lock}
    for path in SOURCES:
        assert path == LIST or not NUMBER.findall(path.read_text()), path


def test_the_database_knows_a_lock_by_its_number(database: Database) -> None:
    """A name is sent as its number, also as the first of two keys (rule: tidy)."""
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [Lock.MIGRATION])
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [Lock.RELAY, 7])
        rows = connection.execute(
            "SELECT classid::bigint, objid::bigint, objsubid FROM pg_locks "
            "WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY objsubid"
        ).fetchall()
    assert rows == [(0, Lock.MIGRATION, 1), (Lock.RELAY, 7, 2)]
