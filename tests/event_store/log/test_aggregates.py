"""Saving through the library: what is refused leaves nothing behind, nor on the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eventsourcing.persistence import IntegrityError

from domain.events.identity import ApiKeyCreated, ApiKeyRevoked
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from event_store.postgres.database import Database


class TooMuchError(Exception):
    """What a check beside the events raises."""


@pytest.fixture
def aggregates(database: Database) -> Iterator[Aggregates]:
    """The library's application on the test's database."""
    made = Aggregates(database)
    yield made
    made.close()


def created(key: UUID) -> ApiKeyCreated:
    """A key of nobody in particular."""
    return ApiKeyCreated(
        originator_id=key,
        originator_version=1,
        user_id=str(new_uuid7()),
        account_id=str(new_uuid7()),
        key_hash=key.hex,
        masked="gw_…aa",
        name="first",
        **new_envelope("test"),
    )


def revoked(key: UUID, version: int) -> ApiKeyRevoked:
    """Its end."""
    return ApiKeyRevoked(originator_id=key, originator_version=version, **new_envelope("test"))


def test_a_refused_save_spoils_none_after_it(aggregates: Aggregates) -> None:
    """A statement that the driver would prepare while a save fails is whole in the next.

    The driver prepares what it has sent five times. What it prepares behind a refused statement
    is never made, and the library ends the transaction in a way that the driver doesn't see (P2).
    """
    for _ in range(8):
        key = new_uuid7()
        aggregates.append([created(key)])
        with pytest.raises(IntegrityError):
            aggregates.append([revoked(key, 1)])
        aggregates.append([revoked(key, 2)])
        assert len(aggregates.events_of(key)) == 2


def test_what_is_raised_beside_undoes_the_events(
    aggregates: Aggregates, database: Database
) -> None:
    """By a check of ours as by the database's own; the next save is whole (P2)."""

    def checks(cursor: Cursor[DictRow]) -> None:
        cursor.execute("SELECT 1")
        message = "there is too much already"
        raise TooMuchError(message)

    for _ in range(3):
        key, other = new_uuid7(), new_uuid7()
        with pytest.raises(TooMuchError):
            aggregates.append([created(key), created(other)], checks)
        assert not aggregates.events_of(key)
        assert not aggregates.events_of(other)
        aggregates.append([created(key)], lambda cursor: cursor.execute("SELECT 1"))
        assert len(aggregates.events_of(key)) == 1
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM api_key").fetchone()
    assert row == (3,)
