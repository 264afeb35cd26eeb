"""The append of money on real PostgreSQL: answers, durability, order, immutability."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, Mapper, Notification

from domain.events import ledger as ev
from domain.events.identity import UserRegistered
from event_store.append.committer import Committer
from event_store.append.entries import TOPICS, AppendAnswer, AppendCode, Entry, EntryKind
from event_store.ids import new_uuid7, now_iso
from event_store.locks import Lock
from event_store.log.aggregates import Aggregates
from event_store.log.reading import read_after
from projections.engine.runner import Runner
from projections.hosting.verify import verify
from projections.money.account_balances import AccountBalances
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")


def append(database: Database, *batch: Entry) -> list[AppendAnswer]:
    """Append entries as one process would."""

    async def run() -> list[AppendAnswer]:
        committer = Committer(
            database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5
        )
        await committer.start()
        try:
            return await asyncio.gather(*[committer.append(entry) for entry in batch])
        finally:
            await committer.stop()

    return asyncio.run(run())


def some_calls(database: Database, count: int) -> list[UUID]:
    """A grant and so many settled calls."""
    calls = [new_uuid7() for _ in range(count)]
    append(database, entries.grant(ACCOUNT, 10**9))
    append(database, *[entries.hold(call, ACCOUNT, 1_000) for call in calls])
    append(database, *[entries.settle(call, ACCOUNT, 400) for call in calls])
    return calls


def test_topics_are_named_by_the_domain() -> None:
    """Each kind of entry writes the event of its name (rule: contract)."""
    assert TOPICS[EntryKind.HOLD - 1] == ev.HoldPlaced.TOPIC
    assert TOPICS[EntryKind.GRANT - 1] == ev.CreditsGranted.TOPIC
    assert len(set(TOPICS)) == len(TOPICS)


def test_the_set_based_path_and_the_exact_path_write_the_same(database: Database) -> None:
    """Twenty calls in one batch, and one at a time, leave the same kind of events (P4, P8)."""
    some_calls(database, 20)
    for _ in range(3):
        some_calls(database, 1)
    with database.connect() as connection:
        log = read_after(connection, 0)
    placed = [e.event for e in log if isinstance(e.event, ev.HoldPlaced)]
    settled = [e.event for e in log if isinstance(e.event, ev.HoldSettled)]
    assert {set(vars(event)) == set(vars(placed[0])) for event in placed} == {True}
    assert {
        (
            e.held_nano_usd,
            e.settled_nano_usd,
            e.released_nano_usd,
            len(e.lots),
            len(e.released_lots),
        )
        for e in settled
    } == {(1_000, 400, 600, 1, 1)}
    assert verify(database).differences == []


def test_a_repeated_grant_counts_once(database: Database) -> None:
    """The lot's id is the key (money rule 8)."""
    entry = entries.grant(ACCOUNT, 5)
    codes = [append(database, entry)[0].code for _ in range(2)]
    assert codes == [AppendCode.OK, AppendCode.DUPLICATE]
    assert verify(database).granted_nano_usd == 5


CHANGES = [
    "UPDATE events SET topic = 'x'",
    "DELETE FROM events",
    "TRUNCATE events",
]


@pytest.mark.parametrize("change", CHANGES)
def test_events_are_never_changed(database: Database, change: str) -> None:
    """The database refuses it to the application, and even to the role that migrates (P5)."""
    some_calls(database, 1)
    with (
        database.connect() as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
    ):
        connection.execute(change)
    with (
        database.connect_as_owner() as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"),
    ):
        connection.execute(change)


def test_the_database_itself_refuses_a_negative_balance(database: Database) -> None:
    """The checks on the inline state stand behind the rules (P1)."""
    some_calls(database, 1)
    with database.connect() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE credit_account SET available = -1")


def test_every_row_reads_back_through_the_library(database: Database) -> None:
    """By notification log and mapper, and its own plain mapper and application (rule: contract)."""
    calls = some_calls(database, 12)
    aggregates = Aggregates(database)
    aggregates.append([_user()])
    notifications: list[Notification] = []
    while section := aggregates.notification_log.select(
        start=notifications[-1].id + 1 if notifications else 1, limit=10
    ):
        notifications += section
    events = [aggregates.mapper.to_domain_event(each) for each in notifications]
    assert len(events) == 1 + 24 + 1
    assert [each.id for each in notifications] == sorted(each.id for each in notifications)
    plain: Mapper[UUID] = Mapper(transcoder=JSONTranscoder())
    assert {type(plain.to_domain_event(each)) for each in notifications} == {
        ev.CreditsGranted,
        ev.HoldPlaced,
        ev.HoldSettled,
        UserRegistered,
    }
    stored = aggregates.events_of(calls[0])
    assert [type(event) for event in stored] == [ev.HoldPlaced, ev.HoldSettled]
    assert isinstance(aggregates, Application)
    aggregates.close()


def _user() -> UserRegistered:
    return UserRegistered(
        originator_id=new_uuid7(),
        originator_version=1,
        id=str(new_uuid7()),
        effective_at=now_iso(),
        actor="test",
        correlation_id="test",
        account_id=str(ACCOUNT),
        email_ciphertext="00",
    )


def test_every_event_carries_its_envelope(database: Database) -> None:
    """UUIDv7, stream, version, position, type, times, actor, correlation (rule: contract)."""
    some_calls(database, 1)
    with database.connect() as connection:
        log = read_after(connection, 0)
    for entry in log:
        event = entry.event
        assert UUID(event.id).version == 7
        assert event.stream
        assert event.originator_version >= 1
        assert entry.position > 0
        assert event.TOPIC.count(".") == 2
        assert event.effective_at.endswith("Z")
        assert entry.booked_at.tzinfo
        assert event.actor
        assert event.correlation_id


def test_an_old_row_is_read_as_the_present_type(database: Database) -> None:
    """A grant of the first schema, as it lies in the table, replays with its priority (P5)."""
    old = entries.state(
        account_id=str(ACCOUNT), lot_id=str(new_uuid7()), kind="trial", amount_nano_usd=5
    )
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'ledger.credits_granted.v1', %s)",
            [ACCOUNT, old + b"}"],
        )
        event = read_after(connection, 0)[0].event
    assert isinstance(event, ev.CreditsGranted)
    assert event.priority == 10


def test_booked_at_never_goes_back(database: Database) -> None:
    """Even when the database's clock does: 'as of a time' is one position (P6)."""
    with database.connect_as_owner() as connection:
        for back in ("0", "1 hour", "2 hours"):
            connection.execute(
                "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql "
                f"AS $$ SELECT clock_timestamp() - interval '{back}' $$"
            )
            some_calls(database, 6)
            aggregates = Aggregates(database)
            aggregates.append([_user()])
            aggregates.close()
    with database.connect() as connection:
        times = [entry.booked_at for entry in read_after(connection, 0)]
    assert times == sorted(times)


def test_a_slow_commit_is_never_skipped(database: Database) -> None:
    """A writer whose transaction stays open holds the others back, and no event is lost.

    A trigger keeps the first writer's row in an open transaction. Without the append lock the
    second writer's higher position would become visible first, and the follower would pass by (P7).
    """
    with database.connect_as_owner() as connection:
        connection.execute(
            "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.topic = 'ledger.credits_granted.v2' THEN "
            "PERFORM pg_advisory_xact_lock(77); END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER hold_open AFTER INSERT ON events FOR EACH ROW "
            "EXECUTE FUNCTION wait_for_test()"
        )
    gate = database.connect()
    gate.execute("SELECT pg_advisory_lock(77)")
    slow = threading.Thread(target=append, args=(database, entries.grant(ACCOUNT, 10)))
    slow.start()
    aggregates = Aggregates(database)
    with database.connect() as connection:
        _until_waiting(connection, 1)
        second = threading.Thread(target=aggregates.append, args=([_user()],))
        second.start()
        _until_waiting(connection, 2)
        runner = Runner(AccountBalances())
        runner.open(connection)
        assert runner.advance(connection) == (0, 0)
        gate.close()
        slow.join()
        second.join()
        applied, position = runner.advance(connection)
        assert applied == 2
        assert [entry.position for entry in read_after(connection, 0)][-1] == position
        row = connection.execute("SELECT granted FROM read_account_balance").fetchone()
    aggregates.close()
    assert row == (10,)


def _until_waiting(connection: psycopg.Connection[Any], count: int) -> None:
    until = time.monotonic() + 10
    while True:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
        if row and row[0] >= count:
            return
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_plain_insert_takes_the_lock_too(database: Database) -> None:
    """On every path: a trigger takes the append lock for whoever inserts (P7)."""
    with database.connect() as first, first.transaction():
        first.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'x', '')",
            [new_uuid7()],
        )
        with database.connect() as second:
            row = second.execute("SELECT pg_try_advisory_lock(%s)", [Lock.APPEND]).fetchone()
    assert row == (False,)
