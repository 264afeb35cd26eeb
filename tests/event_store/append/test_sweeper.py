"""The sweep: what the dead left is resolved by rule, and the living are left alone."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from domain.events.ledger import HoldExpired, HoldSettled
from event_store.append import spool as spools
from event_store.append import sweeper as module
from event_store.append.committer import Committer
from event_store.append.entries import AppendCode
from event_store.append.leases import Lease
from event_store.append.outcome_files import quarantined
from event_store.append.spool import IN_DOUBT_S, Spool
from event_store.append.sweeper import LEASES_KEPT_DAYS, OwnHolds, Sweep, Sweeper, expiry
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.support import entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
REPLY_HOURS = 24


@asynccontextmanager
async def writing(database: Database, owner: UUID, *, ttl_s: int = 0) -> AsyncIterator[Committer]:
    """A committer whose holds live so long; with 0 they are past their life at once."""
    committer = Committer(
        database.application, owner_id=owner, hold_ttl_s=ttl_s, append_timeout_s=5
    )
    await committer.start()
    try:
        yield committer
    finally:
        await committer.stop()


def held(database: Database, owner: UUID, *, count: int = 1, ttl_s: int = 0) -> list[UUID]:
    """Calls of an owner whose holds stand; 7 nano-USD each would be the provider's."""

    async def run() -> list[UUID]:
        async with writing(database, owner, ttl_s=ttl_s) as committer:
            await committer.append(entries.grant(ACCOUNT, 100_000))
            calls = sorted(new_uuid7() for _ in range(count))
            for call in calls:
                entry = entries.hold(call, ACCOUNT, 1_000, estimated=7)
                assert (await committer.append(entry)).code == AppendCode.OK
            return calls

    return asyncio.run(run())


def sweep(database: Database, home: Path, *, times: int = 1) -> list[Sweep]:
    """So many sweeps by a process of this home."""

    async def run() -> list[Sweep]:
        owner = new_uuid7()
        async with writing(database, owner, ttl_s=600) as committer:
            sweeper = Sweeper(database, committer, Spool(home, owner), reply_hours=REPLY_HOURS)
            return [await sweeper.sweep() for _ in range(times)]

    return asyncio.run(run())


def lease(database: Database, owner: UUID, *, days: float = 1.0) -> None:
    """Let an owner live so long from now; ago when it is negative."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO process_lease (owner_id, home, expires_at) VALUES "
            "(%s, 'home', clock_timestamp() + make_interval(secs => %s)) "
            "ON CONFLICT (owner_id) DO UPDATE SET expires_at = excluded.expires_at",
            [owner, days * 86_400],
        )


def events(database: Database, kind: type[Any]) -> list[Any]:
    """Events of one type, in order."""
    with database.connect() as connection:
        return [entry.event for entry in read_after(connection, 0) if isinstance(entry.event, kind)]


def open_holds(database: Database) -> set[UUID]:
    """Calls that are not resolved."""
    with database.connect() as connection:
        return {call for (call,) in connection.execute("SELECT call_id FROM open_hold")}


@pytest.mark.parametrize("reserved", [False, True])
def test_an_outcome_whose_writer_died_before_the_rename_is_taken_up(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, reserved: bool
) -> None:
    """It is whole on the disk: the call is charged; a living owner's is left to it (P2)."""
    dead, living = new_uuid7(), new_uuid7()
    lease(database, living)
    (call,) = held(database, dead, ttl_s=600)
    (other,) = held(database, living, ttl_s=600)
    for owner, each in ((dead, call), (living, other)):
        spool = Spool(tmp_path, owner)
        if reserved:
            spool.reserve.folder.mkdir(parents=True, exist_ok=True)
        spool.keep(entries.settle(each, ACCOUNT, 400))
        (file,) = spool.files(owner)
        folder, before = (spool.reserve.folder, f"{owner}.") if reserved else (spool.own, "")
        file.rename(folder / f".{before}{file.name}")
    assert sweep(database, tmp_path) == [Sweep(settled=1)]
    assert [event.originator_id for event in events(database, HoldSettled)] == [call]
    assert open_holds(database) == {other}
    assert "taken up" in caplog.text


def test_a_torn_outcome_whose_writer_died_is_put_aside(database: Database, tmp_path: Path) -> None:
    """Once nobody can be at work on it any more: it is told, and never read as one (P2, P10)."""
    dead = new_uuid7()
    (call,) = held(database, dead, ttl_s=600)
    spool = Spool(tmp_path, dead)
    spool.own.mkdir(parents=True)
    torn = spool.own / f".{call}-3.json"
    torn.write_bytes(b'{"kind":3')
    assert sweep(database, tmp_path) == [Sweep()]
    assert torn.exists()
    past = time.time() - IN_DOUBT_S - 1
    os.utime(torn, (past, past))
    assert sweep(database, tmp_path) == [Sweep()]
    assert [each.name for each in quarantined(tmp_path)] == [torn.name]


def test_a_dead_owners_hold_expires(database: Database, tmp_path: Path) -> None:
    """Past its life, with nothing spooled: released, its estimate is house loss (money rule 11)."""
    dead = new_uuid7()
    (call,) = held(database, dead)
    assert sweep(database, tmp_path, times=2) == [Sweep(expired=1), Sweep()]
    (event,) = events(database, HoldExpired)
    assert event.originator_id == call
    assert event.causation_id == str(dead)
    assert event.house_loss_nano_usd == 7
    assert event.released_nano_usd == 1_000
    report = verify(database)
    assert report.differences == []
    assert report.held_nano_usd == 0


def test_locked_replies_hinder_no_sweep(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds of the dead are resolved, and the rest waits for a later sweep (rule: bounded)."""
    monkeypatch.setattr(module, "STATEMENT_S", 0.2)
    held(database, new_uuid7())
    with database.connect_as_owner() as locker, locker.transaction():
        locker.execute("LOCK TABLE idempotent_reply IN ACCESS EXCLUSIVE MODE")
        assert sweep(database, tmp_path, times=2) == [Sweep(expired=1), Sweep()]
    assert verify(database).differences == []


def test_a_living_owners_hold_is_never_swept(database: Database, tmp_path: Path) -> None:
    """However old; once the lease has lapsed it is (P2, money rule 11)."""
    owner = new_uuid7()
    (call,) = held(database, owner)
    lease(database, owner)
    assert sweep(database, tmp_path) == [Sweep()]
    assert open_holds(database) == {call}
    lease(database, owner, days=-0.001)
    assert sweep(database, tmp_path) == [Sweep(expired=1)]
    assert open_holds(database) == set()


def test_a_dead_owners_young_hold_waits(database: Database, tmp_path: Path) -> None:
    """Its outcome may yet be found: only past its life does it expire (money rule 11)."""
    (call,) = held(database, new_uuid7(), ttl_s=600)
    assert sweep(database, tmp_path) == [Sweep()]
    assert open_holds(database) == {call}


def test_a_spooled_outcome_settles_before_anything_expires(
    database: Database, tmp_path: Path
) -> None:
    """In one sweep: the call that has an outcome is charged, the other expires (P2)."""
    dead = new_uuid7()
    spooled, lost = held(database, dead, count=2)
    Spool(tmp_path, dead).keep(entries.settle(spooled, ACCOUNT, 400))
    assert sweep(database, tmp_path) == [Sweep(settled=1, expired=1)]
    assert [event.originator_id for event in events(database, HoldSettled)] == [spooled]
    assert [event.originator_id for event in events(database, HoldExpired)] == [lost]
    assert Spool(tmp_path, dead).files(dead) == []


@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_an_outcome_that_cannot_be_read_now_is_waited_for(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reserved: bool,
    renamed: bool,
) -> None:
    """Its hold is not expired, nor the file put aside: a later sweep charges the call (P2)."""
    dead = new_uuid7()
    (call,) = held(database, dead)
    spool = Spool(tmp_path, dead)
    spool.reserve.folder.mkdir(parents=True)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    (file,) = spool.files(dead)
    folder, before = (spool.reserve.folder, f"{dead}.") if reserved else (spool.own, "")
    file = file.rename(folder / f"{'' if renamed else '.'}{before}{file.name}")
    past = time.time() - IN_DOUBT_S - 1
    os.utime(file, (past, past))

    def refuse(_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(spools, "read_outcome", refuse)
        assert sweep(database, tmp_path) == [Sweep()]
    assert quarantined(tmp_path) == []
    assert open_holds(database) == {call}
    assert sweep(database, tmp_path) == [Sweep(settled=1)]
    assert [event.originator_id for event in events(database, HoldSettled)] == [call]


def test_a_living_owners_spool_is_left_to_it(database: Database, tmp_path: Path) -> None:
    """Two never drain the same folder while the owner lives (P3)."""
    owner = new_uuid7()
    (call,) = held(database, owner)
    lease(database, owner)
    spool = Spool(tmp_path, owner)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    assert sweep(database, tmp_path) == [Sweep()]
    assert len(spool.files(owner)) == 1
    assert open_holds(database) == {call}


def test_another_homes_spool_is_out_of_reach(database: Database, tmp_path: Path) -> None:
    """The hold expires; the outcome that comes late charges nothing (money rule 11)."""
    dead = new_uuid7()
    (call,) = held(database, dead)
    Spool(tmp_path / "there", dead).keep(entries.settle(call, ACCOUNT, 400))
    assert sweep(database, tmp_path / "here") == [Sweep(expired=1)]
    assert sweep(database, tmp_path / "there") == [Sweep(settled=1)]
    assert events(database, HoldSettled) == []
    assert verify(database).settled_nano_usd == 0


def test_an_owner_that_came_back_is_not_swept(database: Database) -> None:
    """The append looks at the lease once more, under its lock (money rule 11)."""
    owner = new_uuid7()
    (call,) = held(database, owner)

    async def run() -> tuple[int, int]:
        mine = Lease(database, owner, home="home", life_s=60, heartbeat_s=60)
        await mine.start()
        async with writing(database, new_uuid7()) as committer:
            alive = await committer.append(expiry(call, ACCOUNT, owner))
            await mine.stop()
            gone = await committer.append(expiry(call, ACCOUNT, owner))
        return alive.code, gone.code

    assert asyncio.run(run()) == (AppendCode.OWNER_ALIVE, AppendCode.OK)


def test_one_sweep_does_no_more_than_its_limit(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next ones do the rest (rule: bounded)."""
    monkeypatch.setattr(module, "SWEEP_HOLDS_MAX", 2)
    held(database, new_uuid7(), count=5)
    done = sweep(database, tmp_path, times=4)
    assert [each.expired for each in done] == [2, 2, 1, 0]


def test_two_sweepers_at_once_expire_each_hold_once(database: Database, tmp_path: Path) -> None:
    """Whoever comes second is told that it is resolved (P3)."""
    calls = held(database, new_uuid7(), count=20)

    async def run() -> list[Sweep]:
        owners = [new_uuid7(), new_uuid7()]
        async with writing(database, owners[0]) as one, writing(database, owners[1]) as two:
            sweepers = [
                Sweeper(database, committer, Spool(tmp_path, owner), reply_hours=1)
                for committer, owner in zip((one, two), owners, strict=True)
            ]
            return await asyncio.gather(*(each.sweep() for each in sweepers))

    done = asyncio.run(run())
    assert sum(each.expired for each in done) == 20
    assert sorted(event.originator_id for event in events(database, HoldExpired)) == calls


def test_what_is_past_its_time_is_tidied(database: Database, tmp_path: Path) -> None:
    """Kept replies after their hours, leases after their days; younger stay (rule: bounded)."""
    old, young = new_uuid7(), new_uuid7()
    lease(database, old, days=-LEASES_KEPT_DAYS - 0.1)
    lease(database, young, days=-LEASES_KEPT_DAYS + 0.1)
    with database.connect() as connection:
        for call, hours in ((old, REPLY_HOURS + 1), (young, REPLY_HOURS - 1)):
            connection.execute(
                "INSERT INTO idempotent_reply VALUES (%s, 200, 'text/plain', 'x', '', "
                "clock_timestamp() - make_interval(hours => %s))",
                [call, hours],
            )
        sweep(database, tmp_path)
        replies = connection.execute("SELECT call_id FROM idempotent_reply").fetchall()
        leases = connection.execute("SELECT owner_id FROM process_lease").fetchall()
    assert replies == leases == [(young,)]


def test_a_sweep_without_the_database_says_so(database: Database, tmp_path: Path) -> None:
    """Whoever sweeps puts it off and tries again (P12)."""

    async def run() -> None:
        async with writing(database, new_uuid7()) as committer:
            away = database.with_name("no_such_database")
            await Sweeper(away, committer, Spool(tmp_path, new_uuid7()), reply_hours=1).sweep()

    with pytest.raises(psycopg.OperationalError, match="no_such_database"):
        asyncio.run(run())


def test_an_unreadable_outcome_does_not_hinder_the_rest(database: Database, tmp_path: Path) -> None:
    """One bad file is one call's trouble: other owners' calls are resolved all the same (P2)."""
    dead = new_uuid7()
    calls = held(database, dead, count=2)
    spool = Spool(tmp_path, dead)
    spool.keep(entries.settle(calls[0], ACCOUNT, 400))
    spool.files(dead)[0].write_bytes(b"{")
    held(database, new_uuid7())
    assert sweep(database, tmp_path)[0].expired >= 1


def reconcile(database: Database, home: Path, owner: UUID, *live: UUID) -> int:
    """One look of a process at its own holds."""

    async def run() -> int:
        async with writing(database, owner, ttl_s=600) as committer:
            own = OwnHolds(database, committer, Spool(home, owner), owner)
            return await own.reconcile({call.bytes for call in live})

    return asyncio.run(run())


def test_a_living_owner_expires_what_it_left_open(database: Database, tmp_path: Path) -> None:
    """Past its life and without an outcome; a call that still runs is left (money rule 11)."""
    owner = new_uuid7()
    left, running = held(database, owner, count=2)
    lease(database, owner)
    assert reconcile(database, tmp_path, owner, running) == 1
    (event,) = events(database, HoldExpired)
    assert event.originator_id == left
    assert event.house_loss_nano_usd == 7
    assert open_holds(database) == {running}
    assert verify(database).differences == []


def test_an_owner_leaves_what_is_spooled_young_or_anothers(
    database: Database, tmp_path: Path
) -> None:
    """An outcome is appended by the drain; other owners' holds are theirs (P2, money rule 11)."""
    owner, other = new_uuid7(), new_uuid7()
    (spooled,) = held(database, owner)
    (young,) = held(database, owner, ttl_s=600)
    (others,) = held(database, other)
    lease(database, owner)
    lease(database, other)
    Spool(tmp_path, owner).keep(entries.settle(spooled, ACCOUNT, 400))
    assert reconcile(database, tmp_path, owner) == 0
    assert open_holds(database) == {spooled, young, others}


def test_only_the_owner_itself_may_while_it_lives(database: Database) -> None:
    """The append knows whose entry it is (money rule 11)."""
    owner, other = new_uuid7(), new_uuid7()
    (call,) = held(database, owner)
    lease(database, owner)

    async def run(by: UUID) -> int:
        async with writing(database, by) as committer:
            return (await committer.append(expiry(call, ACCOUNT, owner))).code

    assert asyncio.run(run(other)) == AppendCode.OWNER_ALIVE
    assert asyncio.run(run(owner)) == AppendCode.OK
