"""The reserve: a disk without a free block keeps outcomes all the same."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

import msgspec
import pytest

from event_store.append import spool as module
from event_store.append.reserve import BLOCK_BYTES, Reserve
from event_store.append.spool import Spool
from event_store.ids import new_uuid7
from tests.event_store.append.test_spool import ACCOUNT, OWNER, drain, held, settled
from tests.support import entries
from tests.support.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from event_store.append.entries import Entry
    from event_store.postgres.database import Database

FILES = 12


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for little more than the reserve."""
    with small_disk(tmp_path / "disk", 128) as folder:
        yield folder


def large(call: UUID, size: int) -> Entry:
    """A settlement of about so many bytes."""
    entry = entries.settle(call, ACCOUNT, 400)
    return msgspec.structs.replace(entry, state=entry.state + b',"reason":"%b"' % (b"x" * size))


def test_a_reserve_is_made_once_and_mended(tmp_path: Path) -> None:
    """So many files of a block; what is missing is made anew, no more (rule: bounded)."""
    reserve = Reserve(tmp_path / "reserve")
    assert reserve.spare() == []
    assert reserve.fill(FILES) == FILES
    assert {each.stat().st_size for each in reserve.folder.iterdir()} == {BLOCK_BYTES}
    for name in reserve.spare()[:5]:
        (reserve.folder / name).unlink()
    assert Reserve(reserve.folder).fill(FILES) == FILES
    assert reserve.fill(2) == FILES
    assert len(list(reserve.folder.iterdir())) == FILES


def test_a_full_disk_keeps_outcomes(disk: Path, database: Database) -> None:
    """In the reserve, whole, and appended as any other (P2, P12)."""
    calls = held(database, FILES)
    spool = Spool(disk, OWNER)
    spool.reserve.fill(FILES)
    fill_up(disk)
    kept = [entries.settle(call, ACCOUNT, 400) for call in calls]
    for entry in kept:
        spool.keep(entry)
    assert spool.reserve.spare() == []
    with pytest.raises(OSError, match="so is the spool's reserve") as caught:
        spool.keep(entries.settle(new_uuid7(), ACCOUNT, 400))
    assert caught.value.errno == errno.ENOSPC
    read = [msgspec.json.decode(f.read_bytes(), type=type(kept[0])) for f in spool.files(OWNER)]
    assert read == kept
    assert spool.owners() == [OWNER]
    assert drain(database, spool) == FILES
    assert settled(database) == calls
    assert spool.owners() == []


def test_a_start_on_a_full_disk_has_the_reserve(disk: Path, database: Database) -> None:
    """It outlives the process that made it; a sweep finds each owner's own (P2, P12)."""
    first, second = held(database, 2)
    Spool(disk, new_uuid7()).reserve.fill(FILES)
    fill_up(disk)
    one, other = Spool(disk, OWNER), Spool(disk, new_uuid7())
    assert one.reserve.fill(FILES) == FILES
    one.keep(entries.settle(first, ACCOUNT, 400))
    other.keep(entries.settle(second, ACCOUNT, 400))
    assert len(one.owners()) == 2
    assert [len(one.files(owner)) for owner in one.owners()] == [1, 1]
    assert drain(database, other) == 1
    assert settled(database) == [first]


def test_an_outcome_larger_than_a_block_takes_more_of_them(disk: Path, database: Database) -> None:
    """Its size is not what decides whether it is kept (P2)."""
    (call,) = held(database, 1)
    spool = Spool(disk, OWNER)
    spool.reserve.fill(FILES)
    fill_up(disk)
    spool.keep(large(call, 5 * BLOCK_BYTES))
    assert len(spool.reserve.spare()) < FILES - 5
    assert drain(database, spool) == 1
    assert settled(database) == [call]


def test_a_reply_takes_nothing_of_the_reserve(
    disk: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The outcome is kept in one place; its key answers 409 afterwards, which is said (P2, P3)."""
    calls = held(database, FILES)
    spool = Spool(disk, OWNER)
    spool.reserve.fill(FILES)
    fill_up(disk)
    for call in calls:
        entry = entries.settle(call, ACCOUNT, 400)
        spool.keep(msgspec.structs.replace(entry, reply=b"x" * 6 * BLOCK_BYTES))
    assert f"the reply of call {calls[0]} is not kept" in caplog.text
    assert drain(database, spool) == FILES
    assert settled(database) == calls


def test_what_no_disk_takes_is_remembered(
    disk: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Loudly; it goes to the ledger, or to the disk as soon as one of them takes it (P2, P12)."""
    calls = held(database, 2)
    spool = Spool(disk, OWNER)
    filler = fill_up(disk)
    for call in calls:
        spool.keep_or_remember(entries.settle(call, ACCOUNT, 400))
    assert (spool.remembered, spool.waiting) == (2, 2)
    assert [r.levelno for r in caplog.records if "only in memory" in r.message] == [
        logging.CRITICAL
    ] * 2
    spool.keep_remembered()
    assert spool.remembered == 2
    assert drain(database, spool) == 2
    assert settled(database) == calls
    assert spool.waiting == 0
    spool.keep_or_remember(entries.settle(calls[0], ACCOUNT, 400))
    filler.unlink()
    spool.keep_remembered()
    assert (spool.remembered, spool.waiting) == (0, 1)
    assert len(spool.files(OWNER)) == 1


def test_what_is_remembered_is_bounded(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is more is told in full, for a person to append (rule: bounded)."""
    monkeypatch.setattr(module, "REMEMBERED_MAX", 1)
    spool = Spool(disk, OWNER)
    fill_up(disk)
    for _ in range(2):
        spool.keep_or_remember(entries.settle(new_uuid7(), ACCOUNT, 444))
    assert spool.remembered == 1
    (lost,) = [record.message for record in caplog.records if "LOST" in record.message]
    assert "cost_nano_usd" in lost and "444" in lost


def test_two_processes_share_a_reserve(tmp_path: Path) -> None:
    """Each place is had by one of them (P2)."""
    one, other = Reserve(tmp_path / "r"), Reserve(tmp_path / "r")
    one.fill(6)
    for number in range(3):
        one.keep(f"a{number}.json", b"a")
        other.keep(f"b{number}.json", b"b")
    assert (
        sorted(each.read_bytes() for each in (tmp_path / "r").iterdir()) == [b"a"] * 3 + [b"b"] * 3
    )
