"""Windows of quotas are forgotten once they are old, and the books stay right."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from event_store.append.committer import Committer
from event_store.append.entries import AppendCode
from event_store.beside import quotas as module
from event_store.beside.quotas import prune_windows, read_quotas
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.support import entries
from tests.support.quotas import set_quota

if TYPE_CHECKING:
    from event_store.append.entries import Entry
    from event_store.postgres.database import Database

ACCOUNT, KEY, USER = (UUID(int=n, version=4) for n in (1, 2, 3))
KEEP = timedelta(days=60)


@pytest.fixture
def clock(database: Database) -> None:
    """A booking clock that a test sets back."""
    with database.connect_as_owner() as connection:
        connection.execute("CREATE TABLE test_clock AS SELECT 0 AS days_ago")
        connection.execute("GRANT SELECT ON test_clock TO gatewayz_app")
        connection.execute(
            "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql AS $$ "
            "SELECT clock_timestamp() - make_interval(days => days_ago) FROM test_clock $$"
        )


def set_clock(database: Database, days_ago: int) -> None:
    """So many days before the present."""
    with database.connect_as_owner() as connection:
        connection.execute("UPDATE test_clock SET days_ago = %s", [days_ago])


def append(database: Database, *batch: Entry) -> None:
    """Append entries, one after the other."""

    async def run() -> None:
        committer = Committer(
            database.application, owner_id=new_uuid7(), hold_ttl_s=10**9, append_timeout_s=20
        )
        await committer.start()
        for entry in batch:
            assert (await committer.append(entry)).code == AppendCode.OK
        await committer.stop()

    asyncio.run(run())


def called(database: Database) -> None:
    """A call that ends."""
    call = new_uuid7()
    append(
        database,
        entries.hold(call, ACCOUNT, 2, tokens=5, scopes=(KEY, USER)),
        entries.settle(call, ACCOUNT, 2),
    )


def windows(database: Database) -> int:
    """How many there are."""
    with database.connect() as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM quota_window").fetchall()
    return int(count)


def prune(database: Database) -> int:
    """One pruning."""
    return asyncio.run(prune_windows(database, KEEP))


@pytest.mark.usefixtures("clock")
def test_old_windows_go_and_the_books_stay_right(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of days and months; not those with a hold, nor that of `total` (money rule 13, P1)."""
    monkeypatch.setattr(module, "PRUNE_ROWS_MAX", 2)
    set_clock(database, 300)
    append(database, entries.grant(ACCOUNT, 1_000))
    for unit, window in (("requests", "day"), ("tokens", "month"), ("requests", "total")):
        set_quota(database, ACCOUNT, "key", KEY, unit, window, 100, zone="Asia/Tokyo")
    for days_ago in (300, 299, 260, 200):
        set_clock(database, days_ago)
        called(database)
    open_call = new_uuid7()
    append(database, entries.hold(open_call, ACCOUNT, 2, tokens=5, scopes=(KEY, USER)))
    for days_ago in (70, 0):
        set_clock(database, days_ago)
        called(database)
    assert verify(database).differences == []
    before = windows(database)
    gone = prune(database)
    assert gone >= 4
    assert windows(database) == before - gone
    assert verify(database).differences == []
    with database.connect() as connection:
        used = {(each.unit, each.window): each.used for each in read_quotas(connection, ACCOUNT)}
    assert used["requests", "total"] == 6
    assert used["requests", "day"] == 1
    append(database, entries.settle(open_call, ACCOUNT, 2))
    assert verify(database).differences == []
    assert prune(database) == 2, "those on which the hold lay"
    assert prune(database) == 0
    assert verify(database).differences == []


@pytest.mark.usefixtures("clock")
def test_what_is_left_must_still_be_right(database: Database) -> None:
    """A window that is wrong, or gone too early, is a difference (money rule 13)."""
    set_clock(database, 300)
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "key", KEY, "requests", "day", 100)
    called(database)
    set_clock(database, 0)
    called(database)
    assert prune(database) == 1
    with database.connect_as_owner() as connection:
        connection.execute("UPDATE quota_window SET used = used + 1")
    assert len(verify(database).differences) == 1
    with database.connect_as_owner() as connection:
        connection.execute("DELETE FROM quota_window")
    assert len(verify(database).differences) == 1
