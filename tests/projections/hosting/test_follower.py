"""The follower's two lanes: what readers wait for goes first, the rest may trail for a while."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from event_store.log.reading import head_position
from projections.all import PROJECTIONS
from projections.engine import roster
from projections.engine.freshness import progress_of
from projections.hosting import contention, follower
from projections.hosting.contention import Contention
from projections.hosting.follower import BUSY_EVENTS, Follower, Turn, follow
from projections.money.account_balances import ACCOUNT_BALANCE
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

AWAITED = {each.name for each in PROJECTIONS if each.awaited}


class Kernel:
    """What the kernel would tell of the thread."""

    def __init__(self, file: Path) -> None:
        self._file, self._ran, self._waited = file, 0, 0
        self.tell(ran_ms=0, waited_ms=0)

    def tell(self, *, ran_ms: int, waited_ms: int) -> None:
        """So much more was run, and so much more was waited."""
        self._ran += ran_ms * 1_000_000
        self._waited += waited_ms * 1_000_000
        self._file.write_text(f"{self._ran} {self._waited} 7\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """In place of the real one."""
    file = tmp_path / "schedstat"
    monkeypatch.setattr(contention, "SCHEDSTAT", file)
    return Kernel(file)


@contextmanager
def following(database: Database, trail_max_s: float = 60.0) -> Iterator[Follower]:
    """A follower that is level with the log, to be advanced by hand."""
    with database.connect() as connection, database.connect() as wanted:
        made = Follower(connection, wanted, None, trail_max_s=trail_max_s)
        level(made)
        yield made


def level(following_: Follower) -> Turn:
    """Advance until nothing is left; returns the last turn."""
    while (turn := following_.advance()).events:
        pass
    return turn


def saturate(history: History, kernel: Kernel, following_: Follower) -> Turn:
    """One turn under calls that need every core."""
    history.calls(BUSY_EVENTS)
    kernel.tell(ran_ms=80, waited_ms=20)
    turn = following_.advance()
    assert turn.events > BUSY_EVENTS
    return turn


def behind(database: Database) -> set[str]:
    """The projections that have not passed the head of the log."""
    with database.connect() as connection:
        head = head_position(connection)
        return {each.name for each in PROJECTIONS if progress_of(connection, each) < head}


def lag_s(database: Database) -> float:
    """How far in time the last projection is behind the head of the log, seconds."""
    with database.connect() as connection:
        position = min(progress_of(connection, each) for each in PROJECTIONS)
        row = connection.execute(
            "SELECT extract(epoch FROM max(booked_at) - max(booked_at) FILTER "
            "(WHERE notification_id <= %s)) FROM events",
            [position],
        ).fetchone()
        assert row is not None
        return float(row[0])


def test_the_share_is_of_the_time_since_the_last_look(kernel: Kernel) -> None:
    """Run and wait add up; a moment too short to tell leaves the last share (rule: calls first)."""
    share = Contention().share
    assert share() == 0
    kernel.tell(ran_ms=90, waited_ms=30)
    assert share() == 0.25
    kernel.tell(ran_ms=1, waited_ms=1)
    assert share() == 0.25
    kernel.tell(ran_ms=98, waited_ms=0)
    assert share() == 0.01


@pytest.mark.parametrize("text", [None, "", "unknown"])
def test_a_kernel_that_does_not_tell_is_no_contention(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no such file; then nothing trails (rule: calls first)."""
    file = tmp_path / "schedstat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(contention, "SCHEDSTAT", file)
    assert Contention().share() == 0


def test_the_real_kernel_tells_a_share() -> None:
    """Between nothing and the whole, whatever the machine is doing (rule: calls first)."""
    share = Contention()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    assert 0 <= share.share() <= 1


def test_while_the_calls_need_every_core_only_what_is_awaited_advances(
    database: Database, kernel: Kernel
) -> None:
    """Balances and statements keep up; the others do once it is quiet (rule: calls first)."""
    history = History(database)
    with following(database) as following_:
        saturate(history, kernel, following_)
        assert behind(database) == {each.name for each in PROJECTIONS} - AWAITED
        level(following_)
        assert behind(database) == set()


def test_what_trailed_is_worked_off_gently_beside_calls(database: Database, kernel: Kernel) -> None:
    """With pauses while a few calls come; at full speed without any (rule: calls first)."""
    history = History(database)
    with following(database) as following_:
        assert not saturate(history, kernel, following_).gently
        history.calls(3)
        assert following_.advance().gently
        assert not level(following_).gently


@pytest.mark.parametrize(("calls", "waited_ms"), [(BUSY_EVENTS // 10, 90), (BUSY_EVENTS, 5)])
def test_nothing_trails_on_a_quiet_log_or_with_cores_to_spare(
    database: Database, kernel: Kernel, calls: int, waited_ms: int
) -> None:
    """Trailing is for the one case in which it helps the calls (rule: calls first)."""
    history = History(database)
    with following(database) as following_:
        history.calls(calls)
        kernel.tell(ran_ms=100 - waited_ms, waited_ms=waited_ms)
        following_.advance()
        assert behind(database) == set()


@contextmanager
def hosted(database: Database) -> Iterator[None]:
    """The follower as a process hosts it."""
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(database, stop), daemon=True)
    thread.start()
    try:
        yield
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(10)


def soon(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until it holds."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def test_it_ends_when_it_is_told_to(database: Database) -> None:
    """Idle as it is, it does not sleep to the end of its pause (rule: bounded)."""
    slowest = 0.0
    for _ in range(3):
        with hosted(database):
            soon(lambda: behind(database) == set())
            time.sleep(2 * follower.GATHER_S)
            began = time.monotonic()
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < follower.IDLE_S


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that waits no longer than a moment."""
    monkeypatch.setattr(follower, "STATEMENT_S", 0.3)
    monkeypatch.setattr(roster, "UNAVAILABLE_RETRY_S", 0.1)


@pytest.mark.usefixtures("hasty")
def test_a_locked_read_model_holds_up_no_other(database: Database) -> None:
    """Its statement has an end, and it catches up by itself (P7, rule: bounded)."""
    history = History(database)
    with hosted(database), database.connect_as_owner() as locker:
        soon(lambda: behind(database) == set())
        with locker.transaction():
            locker.execute(f"LOCK TABLE {ACCOUNT_BALANCE.stored_as(1)} IN ACCESS EXCLUSIVE MODE")
            history.calls(3)
            soon(lambda: behind(database) == {"account_balances"})
        soon(lambda: behind(database) == set())


@pytest.mark.usefixtures("hasty")
def test_a_log_that_cannot_be_read_now_is_read_later(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The follower does not wait for ever, and goes on by itself (P7, rule: bounded)."""
    history = History(database)
    with hosted(database), database.connect_as_owner() as locker:
        soon(lambda: behind(database) == set())
        history.calls(3)
        with locker.transaction():
            locker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            soon(lambda: "the log is read later" in caplog.text)
        soon(lambda: behind(database) == set())


@pytest.mark.usefixtures("hasty")
def test_a_batch_that_takes_long_gets_through(database: Database) -> None:
    """What was cancelled gets twice as long the next time (P7)."""
    history = History(database)
    with hosted(database), database.connect_as_owner() as owner:
        soon(lambda: behind(database) == set())
        owner.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$"
        )
        owner.execute(
            f"CREATE TRIGGER dawdle AFTER INSERT ON {ACCOUNT_BALANCE.stored_as(1)} "
            "FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
        )
        history.calls(3)
        soon(lambda: behind(database) == set())


def test_trailing_has_an_end(database: Database, kernel: Kernel) -> None:
    """However long the load lasts, the lag has a maximum (rule: calls first, rule: bounded)."""
    history = History(database)
    with following(database, trail_max_s=1.0) as following_:
        lags = []
        for _ in range(6):
            history.calls(BUSY_EVENTS // 2)
            kernel.tell(ran_ms=10, waited_ms=90)
            following_.advance()
            lags.append(lag_s(database))
            time.sleep(0.3)
        assert max(lags) > 0
        assert max(lags) < 1.0 + 0.5
