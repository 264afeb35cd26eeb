"""Old idempotency keys are forgotten by the position of the log, and no other (money rule 8)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from event_store.append.committer import Committer
from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from event_store.log import pruned_keys as module
from event_store.log.pruned_keys import prune_keys
from projections.hosting.verify import verify
from tests.support import entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
KEEP = timedelta(days=30)


@pytest.fixture
def old_database(database: Database) -> Database:
    """A database whose clock the test moves; what is booked first is booked a year ago."""
    with database.connect_as_owner() as connection:
        connection.execute("CREATE TABLE test_clock (days_ago int)")
        connection.execute("INSERT INTO test_clock VALUES (365)")
        connection.execute("GRANT SELECT ON test_clock TO gatewayz_app")
        connection.execute(
            "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql AS $$ "
            "SELECT clock_timestamp() - make_interval(days => days_ago) FROM test_clock $$"
        )
    return database


def go_to(database: Database, *, days_ago: int) -> None:
    """Move the clock."""
    with database.connect_as_owner() as connection:
        connection.execute("UPDATE test_clock SET days_ago = %s", [days_ago])


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[Committer]:
    """A committer with holds of ten minutes."""
    made = Committer(database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def key(name: str, digest: str = "x") -> bytes:
    """A key's hash and the digest of its input."""
    return name.encode() * 32 + digest.encode() * 32


def append(database: Database, *wanted: Any) -> list[AppendCode]:
    """The answers to entries, one after the other."""

    async def run() -> list[AppendCode]:
        async with writing(database) as committer:
            return [AppendCode((await committer.append(each)).code) for each in wanted]

    return asyncio.run(run())


def prune(database: Database, keep: timedelta = KEEP) -> int:
    """What a sweep does to keys."""
    return asyncio.run(prune_keys(database, keep))


def keys(database: Database) -> dict[str, str]:
    """The keys that are known, by their first letter, and their state."""
    with database.connect() as connection:
        return {
            chr(each[0]): state
            for each, state in connection.execute("SELECT key_hash, state FROM idempotency_key")
        }


def settled(database: Database, name: str, *, amount: int = 10) -> UUID:
    """A call under a key that was charged."""
    call = new_uuid7()
    codes = append(
        database,
        entries.hold(call, ACCOUNT, amount, key=key(name)),
        entries.settle(call, ACCOUNT, amount),
    )
    assert codes == [AppendCode.OK, AppendCode.OK]
    return call


def test_old_keys_are_forgotten_and_young_ones_are_not(old_database: Database) -> None:
    """Settled, void or refused; a key within its time never charges twice (P3)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    settled(old_database, "a")
    void = new_uuid7()
    codes = append(
        old_database,
        entries.hold(void, ACCOUNT, 10, key=key("b")),
        entries.void(void, ACCOUNT),
        entries.hold(new_uuid7(), ACCOUNT, 5_000, key=key("c")),
    )
    assert codes == [AppendCode.OK, AppendCode.OK, AppendCode.INSUFFICIENT_CREDITS]
    assert prune(old_database) == 0
    go_to(old_database, days_ago=20)
    settled(old_database, "d")
    assert prune(old_database) == 3
    assert keys(old_database) == {"d": "settled"}
    assert prune(old_database) == 0
    again = append(
        old_database,
        entries.hold(new_uuid7(), ACCOUNT, 10, key=key("d")),
        entries.hold(new_uuid7(), ACCOUNT, 10, key=key("a", "another")),
    )
    assert again == [AppendCode.IDEMPOTENCY_SETTLED, AppendCode.OK]
    assert verify(old_database).differences == []


def test_an_open_hold_stops_the_pruning(old_database: Database) -> None:
    """What stands behind it waits, so that one position tells a replay all (P8)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    call = new_uuid7()
    append(old_database, entries.hold(call, ACCOUNT, 10, key=key("a")))
    settled(old_database, "b")
    go_to(old_database, days_ago=0)
    assert prune(old_database) == 0
    assert keys(old_database) == {"a": "held", "b": "settled"}
    assert verify(old_database).differences == []
    append(old_database, entries.settle(call, ACCOUNT, 10))
    assert prune(old_database) == 2
    assert verify(old_database).differences == []


def test_a_key_that_was_asked_for_again_is_kept(old_database: Database) -> None:
    """The last hold under it counts, and a hold without it does not (money rule 8)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    calls = {name: new_uuid7() for name in "ab"}
    voids = {name: entries.void(call, ACCOUNT) for name, call in calls.items()}
    for name, call in calls.items():
        append(old_database, entries.hold(call, ACCOUNT, 10, key=key(name)), voids[name])
    go_to(old_database, days_ago=20)
    again = append(
        old_database,
        *(
            entries.hold(
                call,
                ACCOUNT,
                10,
                key=key(name) if name == "a" else b"",
                follows=UUID(voids[name].event_id.decode()),
            )
            for name, call in calls.items()
        ),
        *(entries.void(call, ACCOUNT) for call in calls.values()),
    )
    assert set(again) == {AppendCode.OK}
    assert prune(old_database) == 1
    assert keys(old_database) == {"a": "voided"}
    assert verify(old_database).differences == []
    go_to(old_database, days_ago=0)
    assert prune(old_database, timedelta(days=10)) == 1
    assert keys(old_database) == {}
    assert verify(old_database).differences == []


def test_a_long_log_is_pruned_in_pieces(
    old_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction is short, and a sweep goes on where the last one stopped (rule: bounded)."""
    monkeypatch.setattr(module, "PRUNE_EVENTS_MAX", 3)
    monkeypatch.setattr(module, "PRUNE_BATCHES_MAX", 2)
    append(old_database, entries.grant(ACCOUNT, 1_000))
    for name in "abcdefg":
        settled(old_database, name)
    go_to(old_database, days_ago=0)
    assert [prune(old_database) for _ in range(4)] == [3, 3, 1, 0]
    assert verify(old_database).differences == []


def test_a_key_in_use_puts_the_pruning_off(old_database: Database) -> None:
    """An append is never waited for (rule: calls first)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    settled(old_database, "a")
    go_to(old_database, days_ago=0)
    with old_database.connect() as connection, connection.transaction():
        connection.execute("SELECT FROM idempotency_key FOR UPDATE")
        assert prune(old_database) == 0
    assert keys(old_database) == {"a": "settled"}
    assert prune(old_database) == 1


def test_a_call_that_is_held_again_holds_up_no_other_key(old_database: Database) -> None:
    """Its older hold is over: whoever gets voids cannot keep all keys for ever (rule: bounded)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    call = new_uuid7()
    void = entries.void(call, ACCOUNT)
    append(old_database, entries.hold(call, ACCOUNT, 10, key=key("a")), void)
    settled(old_database, "b")
    go_to(old_database, days_ago=0)
    follows = UUID(void.event_id.decode())
    append(old_database, entries.hold(call, ACCOUNT, 10, key=key("a"), follows=follows))
    assert prune(old_database) == 1
    assert keys(old_database) == {"a": "held"}
    assert verify(old_database).differences == []


def test_two_processes_prune_as_one(old_database: Database) -> None:
    """Each key once, to the same position (P8)."""
    append(old_database, entries.grant(ACCOUNT, 1_000))
    for name in "abcdefgh":
        settled(old_database, name)
    go_to(old_database, days_ago=0)

    async def run() -> list[int]:
        both = (prune_keys(old_database, KEEP) for _ in range(2))
        return await asyncio.gather(*both)

    assert sum(asyncio.run(run())) == 8
    assert keys(old_database) == {}
    assert verify(old_database).differences == []
