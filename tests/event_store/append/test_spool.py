"""The spool: an outcome that is kept is whole, and is appended once, whatever lies beside it."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from domain.events.ledger import HoldSettled
from event_store.append import spool as module
from event_store.append.committer import Committer
from event_store.append.entries import AppendCode, Entry
from event_store.append.outcome_files import OUTCOME_BYTES_MAX, quarantined
from event_store.append.spool import IN_DOUBT_S, Spool, SpoolFullError
from event_store.ids import new_uuid7
from event_store.locks import Lock
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.support import entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
OWNER = UUID("00000000-0000-7000-8000-00000000000b")
TORN = b'{"kind":3,"stream":"AZ'


@asynccontextmanager
async def writing(database: Database, timeout_s: float = 5) -> AsyncIterator[Committer]:
    """A committer for the block."""
    committer = Committer(
        database.application, owner_id=OWNER, hold_ttl_s=600, append_timeout_s=timeout_s
    )
    await committer.start()
    try:
        yield committer
    finally:
        await committer.stop()


def held(database: Database, count: int) -> list[UUID]:
    """Calls whose holds stand, in the order of their ids, which is that of their files."""

    async def run() -> list[UUID]:
        async with writing(database) as committer:
            await committer.append(entries.grant(ACCOUNT, 1_000_000))
            calls = sorted(new_uuid7() for _ in range(count))
            for call in calls:
                assert (await committer.append(entries.hold(call, ACCOUNT, 1_000))).code == 0
            return calls

    return asyncio.run(run())


def drain(database: Database, spool: Spool, owner: UUID = OWNER) -> int:
    """Append what an owner spooled."""

    async def run() -> int:
        async with writing(database) as committer:
            return await spool.drain(committer, owner)

    return asyncio.run(run())


def settled(database: Database) -> list[UUID]:
    """Calls that were charged, in the log's order."""
    with database.connect() as connection:
        events = [entry.event for entry in read_after(connection, 0)]
    return [event.originator_id for event in events if isinstance(event, HoldSettled)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """The spool of a fresh home."""
    return Spool(tmp_path, OWNER)


def test_nothing_is_made_until_something_is_kept(spool: Spool) -> None:
    """A home that never lost its database has no spool (rule: tidy)."""
    assert spool.owners() == []
    assert spool.files(OWNER) == []
    assert not spool.root.exists()


def test_a_kept_outcome_is_whole_and_its_owners_alone(spool: Spool) -> None:
    """One file an outcome, closed to others, the same entry read back (P2)."""
    kept = [
        entries.settle(new_uuid7(), ACCOUNT, 400),
        entries.void(new_uuid7(), ACCOUNT),
        Entry(4, new_uuid7().bytes, ACCOUNT.bytes, 0, b"\x00\xff{", 0, b"k" * 64),
    ]
    for entry in kept:
        spool.keep(entry)
    kept.sort(key=lambda entry: entry.stream)
    files = spool.files(OWNER)
    assert [msgspec.json.decode(file.read_bytes(), type=Entry) for file in files] == kept
    assert [stat.S_IMODE(path.stat().st_mode) for path in (spool.own, *files)] == [
        0o700,
        *[0o600] * 3,
    ]
    assert sorted(spool.own.iterdir()) == files  # Nothing is left of what was written aside.
    assert spool.owners() == [OWNER]


def test_an_outcome_that_is_kept_twice_is_one(spool: Spool) -> None:
    """The call and what became of it name the file (P3)."""
    entry = entries.settle(new_uuid7(), ACCOUNT, 400)
    spool.keep(entry)
    spool.keep(entry)
    assert len(spool.files(OWNER)) == 1


def test_a_full_spool_says_so_and_has_room_again(
    database: Database, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is an error that names the place; draining makes room (rule: bounded)."""
    monkeypatch.setattr(module, "SPOOLED_MAX", 2)
    calls = held(database, 3)
    for call in calls[:2]:
        spool.keep(entries.settle(call, ACCOUNT, 400))
    with pytest.raises(SpoolFullError, match=str(OWNER)):
        spool.keep(entries.settle(calls[2], ACCOUNT, 400))
    assert len(spool.files(OWNER)) == 2
    assert drain(database, spool) == 2
    spool.keep(entries.settle(calls[2], ACCOUNT, 400))
    assert len(spool.files(OWNER)) == 1


def test_outcomes_are_appended_oldest_first_and_once(database: Database, spool: Spool) -> None:
    """An outcome that stands already is only removed: one call, one charge (P2, P3)."""
    calls = held(database, 3)
    for call in reversed(calls):
        spool.keep(entries.settle(call, ACCOUNT, 400))
    copies = {file: file.read_bytes() for file in spool.files(OWNER)}
    assert drain(database, spool) == 3
    assert spool.files(OWNER) == []
    for file, content in copies.items():  # It died after the append and before the removal.
        file.write_bytes(content)
    assert drain(database, spool) == 3
    assert settled(database) == calls


def test_two_drains_at_once_charge_once(database: Database, spool: Spool) -> None:
    """Whoever comes second finds the outcome in the log and the file gone (P3)."""
    calls = held(database, 5)
    for call in calls:
        spool.keep(entries.settle(call, ACCOUNT, 400))

    async def run() -> None:
        async with writing(database) as first, writing(database) as second:
            await asyncio.gather(spool.drain(first, OWNER), spool.drain(second, OWNER))

    asyncio.run(run())
    assert settled(database) == calls
    assert spool.files(OWNER) == []


def test_a_file_that_vanishes_hinders_nothing(database: Database, spool: Spool) -> None:
    """Somebody took the next file away while one was in flight: the drain goes on (P2)."""
    calls = held(database, 3)
    for call in calls:
        spool.keep(entries.settle(call, ACCOUNT, 400))
    first, second, _ = spool.files(OWNER)

    async def run() -> int:
        async with writing(database) as committer:
            with database.connect() as locker:
                locker.execute("SELECT pg_advisory_lock(%s)", [Lock.APPEND])
                draining = asyncio.get_running_loop().create_task(spool.drain(committer, OWNER))
                await asyncio.sleep(0.1)
                first.unlink()  # The one in flight: its answer still counts.
                second.unlink()
            return await draining

    assert asyncio.run(run()) == 2
    assert settled(database) == [calls[0], calls[2]]
    assert spool.files(OWNER) == []
    assert quarantined(spool.root.parent) == []


def test_while_the_ledger_is_away_outcomes_stay(
    database: Database, server: Database, spool: Spool
) -> None:
    """The drain stops at the first that cannot be appended, and a later one goes on (P12)."""
    calls = held(database, 2)
    for call in calls:
        spool.keep(entries.settle(call, ACCOUNT, 400))
    name = database.parts()["dbname"]

    async def run() -> int:
        async with writing(database, timeout_s=0.3) as committer:
            with server.with_name("postgres").connect_as_owner() as connection:
                connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [name],
                )
                try:
                    return await spool.drain(committer, OWNER)
                finally:
                    connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert asyncio.run(run()) == 0
    assert len(spool.files(OWNER)) == 2
    assert drain(database, spool) == 2
    assert settled(database) == calls


def test_a_void_waits_for_a_hold_in_doubt(database: Database, spool: Spool) -> None:
    """Its hold may still come through a dying connection; after a while it may not (P2)."""
    held(database, 1)
    spool.keep(entries.void(new_uuid7(), ACCOUNT))
    (file,) = spool.files(OWNER)
    assert drain(database, spool) == 0
    assert spool.files(OWNER) == [file]
    past = time.time() - IN_DOUBT_S - 1
    os.utime(file, (past, past))
    assert drain(database, spool) == 1
    assert spool.files(OWNER) == []


def test_a_void_whose_hold_came_late_releases_it(database: Database, spool: Spool) -> None:
    """The wait was for this (P2)."""
    held(database, 1)
    call = new_uuid7()
    spool.keep(entries.void(call, ACCOUNT))
    assert drain(database, spool) == 0

    async def place() -> int:
        async with writing(database) as committer:
            return (await committer.append(entries.hold(call, ACCOUNT, 1_000))).code

    assert asyncio.run(place()) == AppendCode.OK
    assert drain(database, spool) == 1
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM open_hold").fetchone() == (1,)


def test_another_owners_outcomes_are_read_from_its_folder(
    database: Database, tmp_path: Path, spool: Spool
) -> None:
    """A dead owner's spool is drained by whoever lives (P2)."""
    (call,) = held(database, 1)
    living = Spool(tmp_path, new_uuid7())
    spool.keep(entries.settle(call, ACCOUNT, 400))
    assert living.owners() == [OWNER]
    assert drain(database, living) == 1
    assert living.owners() == []
    assert settled(database) == [call]


def test_what_is_no_outcome_by_name_is_passed_over(database: Database, spool: Spool) -> None:
    """Foreign files and folders beside the outcomes stay as they are (P2)."""
    (call,) = held(database, 1)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    (spool.own / "README.txt").write_text("?")
    (spool.root / "notes.json").write_text("?")
    (spool.root / "lost+found").mkdir()
    assert spool.owners() == [OWNER]
    assert drain(database, spool) == 1
    assert (spool.own / "README.txt").exists()
    assert spool.owners() == []


def test_a_folder_of_no_owner_is_passed_over(database: Database, spool: Spool) -> None:
    """Whose they are is never guessed, and nobody's outcomes wait for them (P2, P10)."""
    (call,) = held(database, 1)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    (spool.root / "somebody").mkdir()
    foreign = spool.root / "somebody" / f"{new_uuid7()}-3.json"
    foreign.write_bytes(TORN)
    assert spool.owners() == [OWNER]
    assert drain(database, spool) == 1
    assert foreign.exists()


def test_a_reply_that_makes_an_outcome_too_large_is_not_kept(
    database: Database, spool: Spool
) -> None:
    """A provider was paid: the outcome is one that is read, and is charged (P2, P3)."""
    (call,) = held(database, 1)
    entry = entries.settle(call, ACCOUNT, 400)
    spool.keep(msgspec.structs.replace(entry, reply=b"x" * OUTCOME_BYTES_MAX))
    assert drain(database, spool) == 1
    assert settled(database) == [call]
    assert quarantined(spool.root.parent) == []


def test_an_outcome_that_is_kept_while_the_rest_is_counted_is_counted(
    database: Database, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would drain it, and its hold would stay open (P2)."""
    (call,) = held(database, 1)
    look = spool.files
    keeping = threading.Thread(target=spool.keep, args=[entries.settle(call, ACCOUNT, 400)])

    def files(owner: UUID) -> list[Path]:
        found = look(owner)
        keeping.start()
        keeping.join(1)  # As far as it comes before the count is noted.
        return found

    monkeypatch.setattr(spool, "files", files)
    assert drain(database, spool) == 0
    keeping.join()
    assert spool.waiting == 1
    monkeypatch.undo()
    assert drain(database, spool) == 1
    assert spool.waiting == 0


GOOD = entries.settle(UUID("00000000-0000-7000-8000-00000000000c"), ACCOUNT, 400)
BAD = {
    "empty": b"",
    "torn": TORN,
    "not text": b"\xff\xfe",
    "another thing": b'{"kind":"settle"}',
    "deep": b"[" * 100_000,
    "large": b" " * (OUTCOME_BYTES_MAX + 1),
    "of another call": msgspec.json.encode(GOOD),
    "with broken state": msgspec.json.encode(msgspec.structs.replace(GOOD, state=b'{"id":"x')),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_is_no_outcome_is_put_aside(
    database: Database, spool: Spool, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """It is never guessed nor deleted, it is said, and what stands around it goes on (P2, P10)."""
    calls = held(database, 3)
    for call in calls:
        spool.keep(entries.settle(call, ACCOUNT, 400))
    bad = spool.files(OWNER)[1]
    bad.write_bytes(content)
    assert drain(database, spool) == 2
    assert settled(database) == [calls[0], calls[2]]
    assert spool.files(OWNER) == []
    assert spool.waiting == 0
    (aside,) = quarantined(spool.root.parent)
    assert aside == spool.own / "quarantine" / bad.name
    assert aside.read_bytes() == content
    assert f"{bad.name} is in quarantine" in caplog.text
    assert spool.owners() == []


@pytest.mark.parametrize("amount", [-5, 10**18, 2**63, 2**64 - 1, -(2**64)])
def test_an_outcome_with_an_absurd_amount_is_put_aside(
    database: Database, spool: Spool, amount: int
) -> None:
    """Nothing is charged by it, its hold stays for the sweeper, the next is appended (P1, P2)."""
    calls = held(database, 2)
    spool.keep(msgspec.structs.replace(entries.settle(calls[0], ACCOUNT, 400), amount=amount))
    spool.keep(entries.settle(calls[1], ACCOUNT, 400))
    assert drain(database, spool) == 1
    assert settled(database) == [calls[1]]
    assert len(quarantined(spool.root.parent)) == 1
    assert verify(database).open_holds == 1


def test_an_outcome_that_the_database_refuses_is_put_aside(
    database: Database, spool: Spool
) -> None:
    """It is there for whoever looks into it, and the rest goes on (P2)."""
    calls = held(database, 2)
    good = entries.settle(calls[0], ACCOUNT, 400)
    with_nul = good.state.replace(b'"price_version":"model"', b'"price_version":"\\u0000"')
    refuse = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'not this one'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW "
        f"WHEN (NEW.originator_id = '{calls[0]}') EXECUTE FUNCTION refuse()"
    )
    with database.connect_as_owner() as owner:
        owner.execute(refuse)
    spool.keep(msgspec.structs.replace(good, state=with_nul))
    spool.keep(entries.settle(calls[1], ACCOUNT, 400))
    assert drain(database, spool) == 1
    assert settled(database) == [calls[1]]
    assert len(quarantined(spool.root.parent)) == 1


def test_a_settlement_of_an_unknown_call_is_put_aside(database: Database, spool: Spool) -> None:
    """Its call was held, so this is not the ledger that held it: nothing is thrown away (P2)."""
    spool.keep(entries.settle(new_uuid7(), ACCOUNT, 400))
    assert drain(database, spool) == 0
    (file,) = spool.files(OWNER)
    past = time.time() - IN_DOUBT_S - 1
    os.utime(file, (past, past))
    assert drain(database, spool) == 0
    assert [each.name for each in quarantined(spool.root.parent)] == [file.name]


def test_quarantine_keeps_every_file(database: Database, spool: Spool) -> None:
    """The same name again is another file beside (P2)."""
    (call,) = held(database, 1)
    for content in (b"1", b"2", b"3"):
        spool.keep(entries.settle(call, ACCOUNT, 400))
        spool.files(OWNER)[0].write_bytes(content)
        drain(database, spool)
    found = quarantined(spool.root.parent)
    assert sorted(each.read_bytes() for each in found) == [b"1", b"2", b"3"]


def test_what_cannot_even_be_moved_is_said_once(
    database: Database, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays where it is, and the rest goes on (P2)."""
    calls = held(database, 2)
    for call in calls:
        spool.keep(entries.settle(call, ACCOUNT, 400))
    bad = spool.files(OWNER)[0]
    bad.write_bytes(TORN)
    (spool.own / "quarantine").write_text("in the way")
    assert drain(database, spool) == 1
    assert drain(database, spool) == 0
    assert settled(database) == [calls[1]]
    assert spool.files(OWNER) == [bad]
    assert caplog.text.count("stays in the spool") == 1


def test_a_database_that_cannot_write_is_waited_for(
    database: Database, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    """Read-only is not the outcome's fault: it stays, and is appended afterwards (P2, P12)."""
    (call,) = held(database, 1)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    name = database.parts()["dbname"]
    with database.connect_as_owner() as owner:
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

        async def run() -> int:
            async with writing(database, timeout_s=0.3) as committer:
                return await spool.drain(committer, OWNER)

        assert asyncio.run(run()) == 0
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    # The committer finds out by its own question, or by the entry, whichever comes first.
    told = ("the database refused 1 entries", "the ledger's database does not write")
    assert any(each in caplog.text for each in told)
    assert quarantined(spool.root.parent) == []
    assert drain(database, spool) == 1
    assert settled(database) == [call]


def test_a_file_that_was_never_finished_is_no_outcome(database: Database, spool: Spool) -> None:
    """Its writer died before the rename: it is passed over, and blocks nobody (P2)."""
    (call,) = held(database, 1)
    spool.keep(entries.settle(call, ACCOUNT, 400))
    (spool.own / f".{new_uuid7()}-3.json").write_bytes(TORN)
    assert drain(database, spool) == 1
    assert spool.owners() == []
    assert settled(database) == [call]
