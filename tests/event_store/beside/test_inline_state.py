"""The inline state of ordinary aggregates: written with the event, by type, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.persistence import IntegrityError

from domain.events.all import EVENT_CLASSES
from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, UserRegistered
from event_store.beside.channels import KEYS_CHANNEL
from event_store.beside.inline_state import HANDLERS
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from event_store.postgres.database import Database


@pytest.fixture
def aggregates(database: Database) -> Iterator[Aggregates]:
    """The library's application on the test's database."""
    made = Aggregates(database)
    yield made
    made.close()


def created(key: UUID, *, version: int = 1, key_hash: str = "aa") -> ApiKeyCreated:
    """A key of nobody in particular."""
    return ApiKeyCreated(
        originator_id=key,
        originator_version=version,
        user_id=str(new_uuid7()),
        account_id=str(new_uuid7()),
        key_hash=key_hash,
        masked="gw_…aa",
        name="first",
        **new_envelope("test"),
    )


def revoked(key: UUID, *, version: int = 2) -> ApiKeyRevoked:
    """Its end."""
    return ApiKeyRevoked(originator_id=key, originator_version=version, **new_envelope("test"))


def keys(database: Database) -> list[tuple[Any, ...]]:
    """The inline state: id, masked, name, revoked."""
    with database.connect() as connection:
        return connection.execute(
            "SELECT key_id, masked, name, revoked FROM api_key ORDER BY key_hash"
        ).fetchall()


def test_every_handler_is_of_an_event_type_outside_the_ledger() -> None:
    """Types are the domain's, and money has no second way in (P1)."""
    assert set(HANDLERS) <= {cls.TOPIC for cls in EVENT_CLASSES}
    assert not [topic for topic in HANDLERS if topic.startswith("ledger.")]


def test_a_created_key_stands_with_its_event(database: Database, aggregates: Aggregates) -> None:
    """The row says what the event says (P8)."""
    key = new_uuid7()
    aggregates.append([created(key)])
    assert keys(database) == [(key, "gw_…aa", "first", False)]


def test_a_revocation_is_told_to_who_listens(database: Database, aggregates: Aggregates) -> None:
    """The row changes, and the notification names the key (rule: access)."""
    key, other = new_uuid7(), new_uuid7()
    aggregates.append([created(key), created(other, key_hash="bb")])
    with database.connect() as listener:
        listener.execute(f"LISTEN {KEYS_CHANNEL}")
        aggregates.append([revoked(key)])
        told = [each.payload for each in listener.notifies(timeout=5, stop_after=1)]
    assert told == [str(key)]
    assert [(row[0], row[3]) for row in keys(database)] == [(key, True), (other, False)]


def rotated(key: UUID, *, version: int, key_hash: str, until: str) -> ApiKeyRotated:
    """Its next writing."""
    return ApiKeyRotated(
        originator_id=key,
        originator_version=version,
        key_hash=key_hash,
        masked=f"gw_…{key_hash}",
        old_until=until,
        **new_envelope("test"),
    )


def test_a_rotated_key_has_a_writing_for_each_event(
    database: Database, aggregates: Aggregates
) -> None:
    """The last one has the key's own end, the others theirs; all are revoked together (P8)."""
    key = new_uuid7()
    days = [f"2030-01-0{n}T00:00:00.000000Z" for n in range(1, 5)]
    aggregates.append([replace(created(key), expires_at=days[2])])
    aggregates.append([rotated(key, version=2, key_hash="bb", until=days[3])])
    aggregates.append([rotated(key, version=3, key_hash="cc", until=days[0])])

    def writings() -> list[tuple[Any, ...]]:
        with database.connect() as connection:
            return connection.execute(
                "SELECT key_hash, masked, name, iso_instant(expires_at), replaced, revoked "
                "FROM api_key WHERE key_id = %s ORDER BY key_hash",
                [key],
            ).fetchall()

    assert writings() == [
        ("aa", "gw_…aa", "first", days[2], True, False),
        ("bb", "gw_…bb", "first", days[0], True, False),
        ("cc", "gw_…cc", "first", days[2], False, False),
    ]
    aggregates.append([revoked(key, version=4)])
    assert [row[-1] for row in writings()] == [True] * 3


def test_other_events_change_nothing_beside_the_log(
    database: Database, aggregates: Aggregates
) -> None:
    """A type without a handler is only appended (P5)."""
    user = new_uuid7()
    aggregates.append(
        [
            UserRegistered(
                originator_id=user,
                originator_version=1,
                account_id=str(new_uuid7()),
                email_ciphertext="00",
                **new_envelope("test"),
            )
        ]
    )
    assert len(aggregates.events_of(user)) == 1
    assert keys(database) == []


def test_an_event_that_conflicts_leaves_no_inline_state(
    database: Database, aggregates: Aggregates
) -> None:
    """State and event are one transaction: both or neither (P8)."""
    key = new_uuid7()
    aggregates.append([created(key)])
    with pytest.raises(IntegrityError):
        aggregates.append([revoked(key, version=1)])
    assert keys(database) == [(key, "gw_…aa", "first", False)]
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_refused_inline_state_is_told_as_what_it_is(
    database: Database, aggregates: Aggregates
) -> None:
    """What follows a refused statement hides nothing, however fast it is sent (P8)."""
    key = new_uuid7()
    aggregates.append([created(key)])
    for _ in range(20):
        with pytest.raises(IntegrityError, match="api_key"):
            aggregates.append([created(new_uuid7())])
    aggregates.append([revoked(key)])
    assert keys(database) == [(key, "gw_…aa", "first", True)]
    assert len(aggregates.events_of(key)) == 2
