"""What the store refuses parks one projection at the event to blame; the others go on (P7)."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest

from event_store.log.reading import head_position, read_after
from projections.all import PROJECTIONS
from projections.engine import runner as runner_module
from projections.engine.comparison import compare
from projections.engine.rebuild import rebuild
from projections.engine.register import read_status
from projections.engine.roster import Roster
from projections.engine.runner import Runner
from projections.hosting.follower import follow
from projections.hosting.install import install
from projections.money.credit_statement import CreditStatement
from projections.usage.activity_log import ActivityLog
from projections.usage.usage_by_hour import UsageByHour
from stream_processors.host import ProjectionHost
from tests.projections.engine.test_runner import differences, links
from tests.support.harness import eventually
from tests.support.history import History, insert_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_store.log.reading import LogEntry
    from event_store.postgres.database import Database
    from projections.engine.projection import Fetch

SETTLED = "ledger.hold_settled"
NO_TEXT = "org/\x00odd"
"""PostgreSQL keeps no NUL in a text."""
TOO_LONG = "".join(f"{number:x}-" for number in range(4_000))
"""More than an entry of an index holds (2,704 bytes), and hard to compress."""


def insert_like(database: Database, topic: str, **changes: Any) -> int:
    """Put a copy of the log's first event of a type into the log, with other members."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT topic, state FROM events WHERE topic LIKE %s ORDER BY notification_id LIMIT 1",
            [topic + "%"],
        ).fetchone()
    assert row is not None
    return insert_raw(database, row[0], msgspec.json.decode(row[1]) | changes)


def entries_of(database: Database) -> list[LogEntry]:
    """The whole log."""
    with database.connect() as connection:
        return read_after(connection, 0, 10_000)


def parked(database: Database) -> dict[str, str]:
    """The reason of each projection that is parked."""
    with database.connect() as connection:
        return {each.name: each.parked[0] for each in read_status(connection) if each.parked}


def positions(database: Database) -> dict[str, int]:
    """Where each stands."""
    with database.connect() as connection:
        return {each.name: each.position for each in read_status(connection)}


@pytest.mark.parametrize("model", [NO_TEXT, TOO_LONG])
def test_a_row_that_is_refused_parks_its_projection_at_the_event(
    database: Database, model: str
) -> None:
    """Position and reason stand in the database; what came before is stored (P7)."""
    history = History(database)
    history.calls(30)
    poison = insert_like(database, SETTLED, model=model)
    history.calls(30)
    with database.connect() as connection:
        head = head_position(connection)
        for projection in PROJECTIONS:
            runner = Runner(projection)
            runner.open(connection)
            for _ in range(3):
                runner.advance(connection, 10_000)
    found = parked(database)
    assert "usage_by_hour" in found
    assert set(found) < {each.name for each in PROJECTIONS}
    assert "account_balances" not in found
    for name, position in positions(database).items():
        assert position == (poison - 1 if name in found else head), name
    for told in found.values():
        assert told.startswith(f"position {poison} in partition 0 since ")
        assert "NUL" in told or "index row" in told
    assert differences(database) == []


def test_only_the_partition_of_the_event_is_parked(database: Database) -> None:
    """The accounts of the other partitions go on to the head (P7)."""
    history = History(database, users=9)
    history.calls(40)
    rebuild(database, UsageByHour(), partitions=4)
    account = str(history.callers[0][0])
    history.calls(20)
    poison = insert_like(database, SETTLED, model=NO_TEXT, account_id=account)
    second = insert_like(database, SETTLED, model=NO_TEXT, account_id=account)
    history.calls(20)
    with database.connect() as connection:
        head = head_position(connection)
        runner = Runner(UsageByHour())
        for _ in range(3):
            runner.advance(connection, 10_000)
    ((partition, at),) = runner.parked.items()
    assert at.position == poison < second
    assert runner.positions[partition] < poison
    assert {p for key, p in runner.positions.items() if key != partition} == {head}
    assert not [text for text in differences(database) if "usage_by_hour" in text]


def test_the_follower_goes_on_without_starting_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The others reach the head behind the poison, again and again (P7, P12)."""
    caplog.set_level(logging.ERROR)
    history = History(database)
    history.calls(10)
    insert_like(database, SETTLED, model=NO_TEXT)
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(database, stop))
    thread.start()
    try:
        for _ in range(2):
            history.calls(10)
            with database.connect() as connection:
                head = head_position(connection)
            eventually(lambda: positions(database)["account_balances"] == head)  # noqa: B023
            eventually(lambda: positions(database)["journal"] == head)  # noqa: B023
    finally:
        stop.set()
        thread.join()
    assert "usage_by_hour" in parked(database)
    assert "usage_by_hour is parked at position" in caplog.text
    assert "starts again" not in caplog.text


def test_a_worker_goes_on_too(database: Database) -> None:
    """The same with links as Kafka brings them (P7)."""
    history = History(database)
    history.calls(10)
    for projection in PROJECTIONS:
        rebuild(database, projection, host="workers")
    whole = len(entries_of(database))
    poison = insert_like(database, SETTLED, model=NO_TEXT)
    history.calls(10)
    host = ProjectionHost(database.connect, {}, 5_000)
    host.assign({0}, 1)
    entries = entries_of(database)
    host.deliver(links(entries)[whole:], {0: len(entries)})
    assert host.parked()["usage_by_hour", 0] == poison
    assert positions(database)["account_balances"] == entries[-1].position
    host.close()


def test_a_release_that_takes_the_event_goes_on_by_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again at a start, and every few seconds, with no more than that event (P7, P8)."""
    history = History(database)
    history.calls(20)
    poison = insert_like(database, SETTLED, model=NO_TEXT)
    history.calls(20)
    monkeypatch.setattr(runner_module, "PARKED_RETRY_S", 0.0)
    with database.connect() as connection:
        head = head_position(connection)
        runner = Runner(UsageByHour())
        runner.advance(connection, 10_000)
        assert runner.parked
        folded: list[int] = []
        healthy, takes = UsageByHour.fold, [False]

        def fold(self: UsageByHour, entry: LogEntry, changes: Any) -> None:
            folded.append(entry.position)
            if not takes[0] or "\x00" not in getattr(entry.event, "model", ""):
                healthy(self, entry, changes)

        monkeypatch.setattr(UsageByHour, "fold", fold)
        runner.advance(connection, 10_000)
        assert set(folded) == {poison}
        takes[0] = True
        again = Runner(UsageByHour())
        again.open(connection)
        assert again.parked
        again.advance(connection, 10_000)
        assert again.parked == {}
        assert again.position == head
    assert parked(database) == {}
    assert not [text for text in differences(database) if "usage_by_hour" in text]


def test_an_upgrade_goes_past_a_parked_projection(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new revision is built as far as the old one stood; the start does not fail (P8, P12)."""
    history = History(database)
    history.calls(20)
    poison = insert_like(database, SETTLED, model=NO_TEXT)
    history.calls(20)
    with database.connect() as connection:
        Runner(UsageByHour()).advance(connection, 10_000)
    monkeypatch.setattr(UsageByHour, "revision", UsageByHour.revision + 1)
    assert install(database) == ["usage_by_hour"]
    assert install(database) == []
    with database.connect() as connection:
        status = {each.name: each for each in read_status(connection)}["usage_by_hour"]
        assert (status.version, status.position, status.host) == (2, poison - 1, "follower")
        assert f"position {poison}" in status.parked[0]
    _, found = compare(database, [UsageByHour()])
    assert found[0].differences == []
    # One that would stand behind the live one is not put in its place.
    monkeypatch.setattr(ActivityLog, "revision", ActivityLog.revision + 1)
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE projection_progress SET position = %s WHERE name = 'activity_log'", [poison]
        )
    assert install(database) == []
    assert "activity_log cannot fold the event at position" in caplog.text


def test_whatever_else_fails_stops_one_projection(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock that is not got, a defect of ours: the others go on, that one is looked at again
    later; only a lost connection is the host's to handle (P7, P12).
    """
    History(database).calls(10)

    def load(self: CreditStatement, fetch: Fetch, entries: Sequence[LogEntry]) -> Any:
        raise psycopg.errors.LockNotAvailable

    monkeypatch.setattr(CreditStatement, "load", load)
    with database.connect() as connection:
        roster = Roster([Runner(CreditStatement()), Runner(UsageByHour())])
        roster.look(connection)
        for runner in list(roster.going):
            roster.do(connection, runner, runner.advance, 10_000)
        assert [each.projection.name for each in roster.going] == ["usage_by_hour"]
        assert "credit_statement is put off" in caplog.text
        connection.close()
        with pytest.raises(psycopg.OperationalError):
            roster.do(connection, roster.going[0], roster.going[0].advance)
