"""The runner: repetitions passed over, gaps refused, poison parked, owners fenced (P7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from event_store.log.reading import read_after
from projections.all import PROJECTIONS
from projections.engine import runner as runner_module
from projections.engine.batches import Batch, Link
from projections.engine.comparison import compare
from projections.engine.register import assign, read_status
from projections.engine.runner import ProjectionOwnedElsewhereError, Runner
from projections.engine.sinks.port import ProjectionMovedError
from projections.money.account_balances import AccountBalances
from projections.money.journal import Journal
from projections.usage.model_rankings import ModelRankings
from projections.usage.usage_by_hour import UsageByHour
from tests.support.history import History, insert_raw

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from event_store.postgres.database import Database

UNKNOWN = "ledger.mystery_moved.v1"
NEWER = "ledger.hold_settled.v9"


def links(entries: list[LogEntry]) -> list[Link]:
    """The log as one partition's links."""
    before = [0, *(each.position for each in entries)]
    return [
        Link(0, previous, each.position, each)
        for previous, each in zip(before, entries, strict=False)
    ]


def differences(database: Database) -> list[str]:
    """What verification finds."""
    return [text for each in compare(database, PROJECTIONS)[1] for text in each.differences]


def test_redelivered_and_reordered_events_change_nothing(database: Database) -> None:
    """Batches that overlap, repeat or come again from the start are applied once (P7)."""
    history = History(database)
    history.calls(40)
    with database.connect() as connection:
        entries = read_after(connection, 0, 10_000)
        for projection in PROJECTIONS:
            runner = Runner(projection)
            runner.open(connection)
            whole = links(entries)
            half = len(whole) // 2
            for piece in (whole[:half], whole[:half], whole[half - 20 :], whole, whole[::-1]):
                runner.deliver(connection, Batch(piece))
            assert runner.position == entries[-1].position
    assert differences(database) == []


def test_a_gap_is_refused_and_filled_from_the_log(database: Database) -> None:
    """An event whose predecessor was never seen is not applied (P7)."""
    History(database).calls(10)
    with database.connect() as connection:
        whole = links(read_after(connection, 0, 10_000))
        runner = Runner(AccountBalances())
        runner.open(connection)
        runner.deliver(connection, Batch(whole[:5]))
        found = runner.deliver(connection, Batch(whole[6:]))
        assert found.gaps == {0} and found.applied == 0
        assert runner.position == whole[4].position
        while runner.advance(connection, 7)[0]:
            pass
        assert runner.position == whole[-1].position
    assert not [text for text in differences(database) if "account_balance" in text]


@pytest.mark.parametrize("topic", [UNKNOWN, NEWER])
def test_a_poison_event_parks_only_those_it_concerns(
    database: Database, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    """What nobody can read parks those that must not miss it, visibly (P7, rule: observable)."""
    monkeypatch.setattr(runner_module, "PARKED_RETRY_S", 0.0)
    history = History(database)
    history.calls(10)
    poison = insert_raw(database, topic, {"id": "x", "account_id": str(history.callers[0][0])})
    history.calls(10)
    with database.connect() as connection:
        runners = [Runner(each) for each in PROJECTIONS]
        for runner in runners:
            for _ in range(3):
                runner.advance(connection, 10_000)
        head = read_after(connection, 0, 10_000)[-1].position
        parked = {each.projection.name for each in runners if each.parked}
        expected = {"account_balances", "credit_statement", "journal"}
        if topic == NEWER:
            expected |= {"usage_by_hour", "activity_log", "model_rankings", "app_rankings"}
            expected |= {"rate_limit_counters", "provider_health", "key_usage"}
        assert parked == expected
        for runner in runners:
            where = poison - 1 if runner.projection.name in expected else head
            assert runner.position == where, runner.projection.name
        shown = {each.name: each for each in read_status(connection)}
        assert f"position {poison} in partition 0" in shown["journal"].parked[0]
        assert shown["journal"].lag_events > 0
    assert differences(database) == []
    # The fix: here the event goes, as an upcaster or a new release would make it readable.
    with database.connect_as_owner() as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        connection.execute("DELETE FROM events WHERE notification_id = %s", [poison])
        connection.execute("ALTER TABLE events ENABLE TRIGGER USER")
    with database.connect() as connection:
        for runner in runners:
            runner.advance(connection, 10_000)
            assert runner.parked == {}
            assert runner.position == head
        assert all(each.parked == [] for each in read_status(connection))
    assert differences(database) == []


def test_a_fold_that_fails_parks_one_partition(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in a fold stops that partition at the event; what came before is applied (P7)."""
    history = History(database)
    history.calls(20)
    with database.connect_as_owner() as connection:
        for name in ("usage_by_hour", "journal"):
            connection.execute(
                "INSERT INTO projection_progress (name, version, partition, host) "
                "SELECT %s, 1, p, 'follower' FROM generate_series(1, 3) p",
                [name],
            )
    with database.connect() as connection:
        entries = read_after(connection, 0, 10_000)
        victim = next(e for e in entries if e.event.TOPIC.startswith("ledger.hold_settled"))
        healthy = UsageByHour.fold

        def fold(self: UsageByHour, entry: LogEntry, changes: object) -> None:
            if entry.position == victim.position:
                raise ZeroDivisionError
            healthy(self, entry, changes)  # type: ignore[arg-type]

        monkeypatch.setattr(UsageByHour, "fold", fold)
        runner = Runner(UsageByHour())
        runner.advance(connection, 10_000)
        assert len(runner.parked) == 1
        (partition,) = runner.parked
        assert runner.parked[partition].error == "ZeroDivisionError: "
        others = {at for key, at in runner.positions.items() if key != partition}
        assert others == {entries[-1].position}
        assert runner.positions[partition] < victim.position
        monkeypatch.setattr(UsageByHour, "fold", healthy)
        again = Runner(UsageByHour())
        again.open(connection)
        assert partition in again.parked
        again.advance(connection, 10_000)
        assert again.parked == {}
    assert not [text for text in differences(database) if "usage_by_hour" in text]


def test_two_runners_never_apply_an_event_twice(database: Database) -> None:
    """A host that was paused, or replaced, finds that the progress moved, and stops (P7)."""
    history = History(database)
    history.calls(5)
    with database.connect() as connection:
        first, second = Runner(Journal()), Runner(Journal())
        first.open(connection)
        second.open(connection)
        first.advance(connection)
        with pytest.raises(ProjectionMovedError):
            second.advance(connection)
        assert second.position == first.position
        assert second.advance(connection)[0] == 0
    assert not [text for text in differences(database) if "journal" in text]


def test_one_owner_at_a_time(database: Database) -> None:
    """The other host refuses a projection, and the former owner can write nothing more (P7)."""
    history = History(database)
    history.calls(5)
    with database.connect() as connection:
        follower = Runner(ModelRankings())
        follower.advance(connection, 10)
        with pytest.raises(ProjectionOwnedElsewhereError, match="owned by follower"):
            Runner(ModelRankings(), host="workers").open(connection)
        assign(database, ModelRankings(), "workers")
        with pytest.raises(ProjectionOwnedElsewhereError, match="owned by workers"):
            follower.advance(connection)
        workers = Runner(ModelRankings(), host="workers")
        workers.open(connection)
        assert workers.position == follower.position
        while workers.advance(connection)[0]:
            pass
    assert not [text for text in differences(database) if "model_day" in text]
