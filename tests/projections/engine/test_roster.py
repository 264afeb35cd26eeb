"""The runners of a host: one that cannot work stops no other, and is looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from projections.engine import roster as roster_module
from projections.engine.rebuild import rebuild
from projections.engine.register import assign
from projections.engine.roster import Roster
from projections.engine.runner import FOLLOWER, WORKERS, Runner
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import install
from projections.money.account_balances import AccountBalances
from projections.money.journal import Journal
from projections.usage.model_rankings import ModelRankings
from tests.servers.local import free_port
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent runners are looked at without waiting."""
    monkeypatch.setattr(roster_module, "UNAVAILABLE_RETRY_S", 0.0)
    monkeypatch.setattr(roster_module, "MOVED_RETRY_S", 0.0)


def names(runners: list[Runner]) -> set[str]:
    """Of their projections."""
    return {each.projection.name for each in runners}


def test_nobody_works_before_the_first_look(database: Database) -> None:
    """Where a projection stands is read before anything is given to it (P7)."""
    roster = Roster([Runner(Journal())])
    assert roster.going == []
    with database.connect() as connection:
        assert roster.look(connection) == []
    assert names(roster.going) == {"journal"}
    assert roster.runners[0].positions == {0: 0}


def test_one_that_is_owned_elsewhere_is_absent_and_comes_back(
    database: Database, at_once: None
) -> None:
    """The others go on meanwhile; it is told as one that may have missed events (P7)."""
    History(database).calls(5)
    assign(database, Journal(), WORKERS)
    roster = Roster([Runner(Journal()), Runner(AccountBalances())])
    with database.connect() as connection:
        assert roster.look(connection) == []
        assert names(roster.going) == {"account_balances"}
        (going,) = roster.going
        assert roster.do(connection, going, going.advance, 1_000)[0] > 5
        assign(database, Journal(), FOLLOWER)
        assert names(roster.look(connection)) == {"journal"}
        assert names(roster.going) == {"journal", "account_balances"}
        assert roster.look(connection) == []


def test_one_that_was_rebuilt_goes_on_in_its_new_version(database: Database, at_once: None) -> None:
    """What it was doing is not done; at the next look it stands where the new version does (P8)."""
    history = History(database)
    history.calls(5)
    runner = Runner(Journal())
    roster = Roster([runner])
    with database.connect() as connection:
        roster.look(connection)
        assert rebuild(database, Journal()) == 2
        history.calls(1)
        assert roster.do(connection, runner, runner.advance) is None
        assert roster.going == []
        assert roster.look(connection) == [runner]
        assert runner.version == 2
        assert roster.do(connection, runner, runner.advance)[0] > 0


def test_a_redis_that_is_away_is_tried_again_after_a_while(
    database: Database, empty_redis: str
) -> None:
    """The projection that it keeps is absent, and not asked again at each look (P12)."""
    install(database, sinks_of(empty_redis))
    away = sinks_of(f"redis://127.0.0.1:{free_port()}/0")
    roster = Roster([Runner(ModelRankings(), away), Runner(Journal(), away)])
    with database.connect() as connection:
        roster.look(connection)
        assert names(roster.going) == {"journal"}
        roster.runners[0]._sinks = sinks_of(empty_redis)
        assert roster.look(connection) == []
        roster.forget()
        assert names(roster.look(connection)) == {"model_rankings"}
    assert names(roster.going) == {"model_rankings", "journal"}


def test_one_that_is_barred_waits(database: Database) -> None:
    """Its host has found that it must not be advanced, whatever the look says (P7)."""
    roster = Roster([Runner(Journal())])
    with database.connect() as connection:
        roster.look(connection)
        roster.bar(roster.runners[0])
        roster.look(connection)
    assert roster.going == []


def test_an_error_of_the_database_is_the_hosts(database: Database) -> None:
    """It concerns all runners; none is absent because of it (P12)."""
    roster = Roster([Runner(Journal())])
    with database.connect() as connection:
        roster.look(connection)
    (runner,) = roster.going
    with pytest.raises(psycopg.OperationalError):
        roster.do(connection, runner, runner.advance)
    assert roster.going == [runner]
