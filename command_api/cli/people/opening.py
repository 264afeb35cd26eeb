"""The people of a home, for verbs that act on what is there already."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from command_api.cli.base import opened
from command_api.composition import vault_of
from command_api.identity.people import People

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.settings import Settings
    from event_store.postgres.database import Database


@contextmanager
def opened_people(settings: Settings, database: Database) -> Iterator[People]:
    """People on a database that is open; let go of at the end."""
    people = People(database, vault_of(settings, database))
    people.open()
    try:
        yield people
    finally:
        people.close()


@contextmanager
def people_of(home: Path | None) -> Iterator[tuple[Settings, People]]:
    """The settings and the people of a home, which makes nothing and migrates nothing."""
    with (
        opened(home, create=False, prepare=False) as (settings, database),
        opened_people(settings, database) as people,
    ):
        yield settings, people
