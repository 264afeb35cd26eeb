"""One command for each cause, whatever dies, is rebuilt, fails, or runs twice."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from command_api.managers import host, table
from command_api.managers.host import ManagerHost
from command_api.managers.manager import Done, HopelessError
from command_api.managers.metrics import ManagerMetrics
from command_api.managers.table import Standing
from event_store.log.reading import head_position, read_after
from projections.all import PROJECTIONS
from projections.engine.rebuild import rebuild
from projections.hosting.verify import verify
from tests.support.managers import STEPS, Giver, cause, effects, run_until

if TYPE_CHECKING:
    from command_api.managers.table import Kept
    from event_store.postgres.database import Database

TIMEOUT_S = 60
SOON = (0.01,)


def standing(database: Database, name: str = "giver") -> Standing:
    """Where the manager stands."""
    with database.connect() as connection:
        found = {each.name: each for each in table.standings(connection)}
    return found.get(name, Standing(name, 0, 1, 0, 0, 0))


def troubled(database: Database) -> list[Kept]:
    """What failed, or waits after an error."""
    with database.connect() as connection:
        return table.troubled(connection, 100)


def begun(database: Database, name: str = "giver") -> None:
    """The manager is known; it hears what comes from now on."""
    with database.connect() as connection:
        table.begin(connection, name, head_position(connection))


def quiet(database: Database) -> bool:
    """Whether all is heard and done."""
    found = standing(database)
    return not (found.lag_events or found.timers or found.due)


def lease_over(database: Database) -> None:
    """The time of whoever took a wish is over."""
    with database.connect() as connection:
        connection.execute("UPDATE manager_wish SET due_at = booking_clock()")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_it_does_one_command(database: Database, step: str) -> None:
    """Before and after each write and the command itself; the next host does the rest (P2, P3)."""
    begun(database)
    account = cause(database)
    died = subprocess.run(
        [sys.executable, "-m", "tests.support.managers", database.application, step],
        check=False,
        timeout=TIMEOUT_S,
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    lease_over(database)
    run_until(ManagerHost(database, [Giver(database)]), lambda: quiet(database))
    assert effects(database, account) == 1
    assert verify(database).differences == []


def test_a_rebuild_repeats_nothing(database: Database) -> None:
    """Every read model is built anew, twice; no position moves back, nothing is done (P8)."""
    begun(database)
    account = cause(database)
    giver = Giver(database)
    run_until(ManagerHost(database, [giver]), lambda: quiet(database))
    before = standing(database)
    for projection in PROJECTIONS:
        rebuild(database, projection)
    assert standing(database).position == before.position
    again = Giver(database)
    second = cause(database)
    run_until(ManagerHost(database, [again]), lambda: effects(database, second) == 1)
    assert (len(giver.done), len(again.done), effects(database, account)) == (1, 1, 1)


def test_two_hosts_at_once_do_it_once(database: Database) -> None:
    """One has the manager, the other its turn when that one is gone (P3, P7)."""
    begun(database)
    givers = [Giver(database), Giver(database)]
    accounts = [cause(database) for _ in range(5)]
    hosts = [ManagerHost(database, [each]) for each in givers]
    run_until(hosts[0], lambda: quiet(database), hosts[1])
    assert [effects(database, each) for each in accounts] == [1] * 5
    assert sorted(len(each.done) for each in givers) == [0, 5]
    idle = hosts[0 if not givers[0].done else 1]
    accounts.append(cause(database))
    run_until(idle, lambda: quiet(database))
    assert [effects(database, each) for each in accounts] == [1] * 6


def test_hosts_that_do_not_know_of_each_other_do_it_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lock keeps nobody out: positions and leases are still no two hosts' (P3, P7)."""
    begun(database)

    def own(made: ManagerHost, manager: Giver, _: int) -> bool:
        made._owned.add(manager.name)
        return True

    monkeypatch.setattr(ManagerHost, "_own", own)
    accounts = [cause(database) for _ in range(8)]
    givers = [Giver(database) for _ in range(3)]
    first, *others = (ManagerHost(database, [each]) for each in givers)
    run_until(first, lambda: quiet(database), *others)
    assert [effects(database, each) for each in accounts] == [1] * 8
    assert sum(len(each.done) for each in givers) == 8


def test_a_cause_that_cannot_be_heard_stops_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept with its reason, named, tried again, and heard once the defect is gone (P7)."""
    begun(database)
    caplog.set_level(logging.WARNING, "gatewayz.managers")
    bad, good = cause(database, "bad"), cause(database, "good")
    giver = Giver(database)
    giver.poison = {"bad"}
    made = ManagerHost(database, [giver], waits_s=SOON, tries_max=3)
    run_until(made, lambda: standing(database).failed == 1)
    assert (effects(database, bad), effects(database, good)) == (0, 1)
    (kept,) = troubled(database)
    assert (kept.failed, kept.kind, kept.tries) == (True, "hear", 3)
    assert "cannot hear bad" in kept.error
    assert f"'hear {kept.position}'" in caplog.text
    mended = Giver(database)
    with database.connect() as connection:
        assert table.retry(connection, "giver", kept.key) == 1
    run_until(ManagerHost(database, [mended]), lambda: quiet(database))
    assert effects(database, bad) == 1


def test_a_command_that_fails_stops_no_other(database: Database) -> None:
    """It is tried so often, later each time, and waits for a person with its reason (P2, P7)."""
    begun(database)
    hard, easy = cause(database, "hard"), cause(database, "easy")
    giver = Giver(database)
    giver.hard = {"hard"}
    made = ManagerHost(database, [giver], waits_s=SOON, tries_max=4)
    run_until(made, lambda: standing(database).failed == 1)
    (kept,) = troubled(database)
    assert (kept.tries, kept.error, kept.failed) == (4, "ValueError: too hard", True)
    assert (effects(database, hard), effects(database, easy)) == (0, 1)
    with database.connect() as connection:
        assert table.retry(connection, "giver", None) == 1
        assert table.retry(connection, "giver", "no such") == 0
    run_until(ManagerHost(database, [Giver(database)]), lambda: quiet(database))
    assert effects(database, hard) == 1


def test_what_is_hopeless_fails_at_once(database: Database) -> None:
    """Its manager says that no repetition changes it (rule: refuse clearly)."""
    begun(database)
    cause(database)
    giver = Giver(database)

    async def refuse(_: object) -> Done:
        message = "there is nobody to give to"
        raise HopelessError(message)

    giver.fulfil = refuse  # type: ignore[assignment, method-assign]
    run_until(ManagerHost(database, [giver]), lambda: standing(database).failed == 1)
    (kept,) = troubled(database)
    assert (kept.tries, kept.error) == (1, "there is nobody to give to")


def test_a_timer_is_due_by_the_clock_of_the_database(database: Database) -> None:
    """Before its instant nothing is done; the host's own clock is not asked (money rule 9)."""
    begun(database)
    giver = Giver(database)
    giver.due_at = "2999-01-01T00:00:00.000000Z"
    account = cause(database)
    run_until(ManagerHost(database, [giver]), lambda: standing(database).timers == 1)
    assert effects(database, account) == 0
    with database.connect_as_owner() as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql VOLATILE "
            "AS $$ SELECT '2999-01-02Z'::timestamptz $$"
        )
    run_until(ManagerHost(database, [giver]), lambda: quiet(database))
    assert len(giver.done) == 1


def test_a_new_manager_begins_at_the_end_unless_it_says_otherwise(database: Database) -> None:
    """Old facts have no new effects; one that wants them all hears them all, once (P7, P8)."""
    account = cause(database)
    late, early = Giver(database, name="late"), Giver(database, name="early")
    early.from_the_beginning = True
    made = ManagerHost(database, [late, early])
    run_until(made, lambda: effects(database, account) == 1)
    assert (late.done, len(early.done)) == ([], 1)
    run_until(ManagerHost(database, [late, early]), lambda: quiet_all(database))
    assert effects(database, account) == 1


def quiet_all(database: Database) -> bool:
    """Whether every manager has heard and done all."""
    with database.connect() as connection:
        # The migrations know of a manager that no host of these tests runs.
        found = [each for each in table.standings(connection) if each.name != "top_ups"]
    return not any(each.lag_events or each.due for each in found)


def test_all_is_heard_in_pieces(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few events, and few positions, at a time; none is passed over, none twice (P7)."""
    monkeypatch.setattr(host, "EVENTS_MAX", 2)
    monkeypatch.setattr(host, "SPAN_MAX", 3)
    begun(database)
    account = cause(database)
    for _ in range(10):
        cause(database, account_id=account)
    giver = Giver(database)
    run_until(ManagerHost(database, [giver]), lambda: quiet(database))
    assert len(giver.done) == len(set(giver.done)) == 11
    assert effects(database, account) == 11


def test_a_manager_with_too_many_wishes_hears_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position waits, so that nothing is lost, and its lag says so (rule: bounded)."""
    monkeypatch.setattr(table, "WAITING_MAX", 1)
    begun(database)
    giver = Giver(database)
    giver.due_at = "2999-01-01T00:00:00.000000Z"
    cause(database)
    run_until(ManagerHost(database, [giver]), lambda: standing(database).timers == 1)
    reached = standing(database).position
    cause(database)
    giver.due_at = None
    other = Giver(database, name="other")
    run_until(
        ManagerHost(database, [giver, other]),
        lambda: standing(database, "other").lag_events == 0,
    )
    assert standing(database).position == reached
    assert standing(database).lag_events > 0
    monkeypatch.setattr(table, "WAITING_MAX", 100)
    run_until(ManagerHost(database, [giver]), lambda: len(giver.done) == 1)


def test_metrics_tell_lag_and_what_failed(database: Database) -> None:
    """By manager, as the database has it; nothing while it is away (rule: observable)."""
    begun(database)
    cause(database)

    def asked() -> list[Standing]:
        with database.connect() as connection:
            return table.standings(connection)

    told = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in ManagerMetrics(asked).collect()
        for sample in metric.samples
    }
    assert told["gatewayz_manager_lag", "giver"] == standing(database).lag_events > 0
    assert told["gatewayz_manager_wishes", "giver", "failed"] == 0


def test_a_wish_beyond_its_bounds_is_not_kept(database: Database) -> None:
    """It is its manager's defect, told of the cause, and stops nothing (rule: bounded)."""
    begun(database)
    account = cause(database)
    giver = Giver(database)
    with database.connect() as connection:
        (wish,) = giver.react(read_after(connection, 0)[0].event)
    too_many = [wish] * (host.WISHES_OF_EVENT_MAX + 1)
    giver.react = lambda _: too_many  # type: ignore[assignment, method-assign]
    run_until(ManagerHost(database, [giver]), lambda: bool(troubled(database)))
    assert f"at most {host.WISHES_OF_EVENT_MAX}" in troubled(database)[0].error
    assert effects(database, account) == 0
    assert standing(database).lag_events == 0
