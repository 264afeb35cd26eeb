"""Debits, transfers and corrections in the store's append, beside calls (P1, P3, P4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from event_store.append.committer import Committer
from event_store.append.entries import AppendCode, EntryKind
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.event_store.append.test_append import ACCOUNT, append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.append.entries import AppendAnswer, Entry
    from event_store.postgres.database import Database

OTHER = UUID("00000000-0000-7000-8000-00000000000b")
OK, DUPLICATE, LACKING = AppendCode.OK, AppendCode.DUPLICATE, AppendCode.INSUFFICIENT_CREDITS


def codes(answers: list[AppendAnswer]) -> list[int]:
    """What each entry was answered."""
    return [each.code for each in answers]


def accounts(database: Database) -> dict[UUID, tuple[int, ...]]:
    """Available, held, debited and owed of each account."""
    query = "SELECT account_id, available, held, debited, owed FROM credit_account"
    with database.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query).fetchall()}


def test_a_batch_of_mixed_entries_is_all_or_nothing_for_each(database: Database) -> None:
    """Calls, debits and transfers of several accounts: one refusal is nobody else's (P1, P4)."""
    call, third = new_uuid7(), new_uuid7()
    append(database, entries.grant(ACCOUNT, 100, kind="purchase"), entries.grant(third, 50))
    answers = append(
        database,
        entries.hold(call, ACCOUNT, 30),
        entries.debit(ACCOUNT, 20),
        entries.transfer(ACCOUNT, OTHER, 60),
        entries.transfer(ACCOUNT, OTHER, 40),
        entries.hold(new_uuid7(), third, 10),
        entries.debit(third, 0),
        entries.settle(call, ACCOUNT, 25),
    )
    refused = AppendCode.AMOUNT_OUT_OF_RANGE
    assert codes(answers) == [OK, OK, LACKING, OK, OK, refused, OK]
    assert answers[2].figure == 50
    assert accounts(database) == {
        ACCOUNT: (15, 0, 60, 0),
        OTHER: (40, 0, 0, 0),
        third: (40, 10, 0, 0),
    }
    assert verify(database).differences == []


def test_who_owes_pays_in_batches_of_calls_too(database: Database) -> None:
    """Releases of many calls at once, which are done in one statement else (money rule 15)."""
    calls = [new_uuid7() for _ in range(8)]
    append(database, entries.grant(ACCOUNT, 80), entries.grant(OTHER, 80))
    append(database, *[entries.hold(call, ACCOUNT, 10) for call in calls])
    assert append(database, entries.debit(ACCOUNT, 30))[0].figure == 0
    assert accounts(database)[ACCOUNT] == (0, 80, 30, 30)
    append(database, *[entries.settle(call, ACCOUNT, 4) for call in calls[:4]])
    assert accounts(database)[ACCOUNT] == (0, 40, 30, 6)
    append(database, *[entries.void(call, ACCOUNT) for call in calls[4:]])
    assert accounts(database)[ACCOUNT] == (34, 0, 30, 0)
    more = [new_uuid7() for _ in range(8)]
    assert set(codes(append(database, *[entries.hold(call, ACCOUNT, 4) for call in more]))) == {OK}
    assert verify(database).differences == []


def test_a_refused_hold_says_what_is_owed(database: Database) -> None:
    """Its figure is below zero, alone and in a batch (money rule 15)."""
    append(database, entries.debit(ACCOUNT, 7))
    for size in (1, 5):
        holds = [entries.hold(new_uuid7(), ACCOUNT, 1) for _ in range(size)]
        assert {(each.code, each.figure) for each in append(database, *holds)} == {(LACKING, -7)}
    assert codes(append(database, entries.hold(new_uuid7(), ACCOUNT, 0))) == [OK]
    append(database, entries.debit(ACCOUNT, 10**9))
    assert codes(append(database, entries.hold(new_uuid7(), ACCOUNT, 0))) == [LACKING]
    assert verify(database).differences == []


def test_an_empty_lot_is_found_again(database: Database) -> None:
    """A correction gives back to a lot that was used up and forgotten, and to one it made (P8)."""
    call, again, lot = new_uuid7(), new_uuid7(), new_uuid7()
    renewed = new_uuid7()
    append(database, entries.grant(ACCOUNT, 10, kind="purchase", lot=lot))
    append(database, entries.hold(call, ACCOUNT, 10))
    append(database, entries.settle(call, ACCOUNT, 10))
    append(database, entries.correct(call, ACCOUNT, 15, version="2"))
    append(database, entries.correct(call, ACCOUNT, 0, version="3", lot=renewed))
    assert accounts(database)[ACCOUNT] == (10, 0, 0, 0)
    append(database, entries.hold(again, ACCOUNT, 10))
    append(database, entries.settle(again, ACCOUNT, 10))
    append(database, entries.correct(again, ACCOUNT, 4, version="2"))
    assert accounts(database)[ACCOUNT] == (6, 0, 0, 0)
    assert verify(database).differences == []


def test_one_of_two_transfers_at_once_is_refused(database: Database) -> None:
    """Two processes give the same credits away: they go once (P1)."""
    append(database, entries.grant(ACCOUNT, 10, kind="purchase"))

    async def race() -> list[int]:
        committers = [
            Committer(
                database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5
            )
            for _ in range(2)
        ]
        for each in committers:
            await each.start()
        try:
            answers = await asyncio.gather(
                *[each.append(entries.transfer(ACCOUNT, OTHER, 10)) for each in committers]
            )
        finally:
            for each in committers:
                await each.stop()
        return [each.code for each in answers]

    assert sorted(asyncio.run(race())) == [OK, LACKING]
    assert accounts(database) == {ACCOUNT: (0, 0, 10, 0), OTHER: (10, 0, 0, 0)}


def again(kind: EntryKind) -> Entry:
    """An entry that stands already when it comes a second time."""
    made: dict[EntryKind, Any] = {
        EntryKind.DEBIT: entries.debit(ACCOUNT, 5),
        EntryKind.TRANSFER: entries.transfer(ACCOUNT, OTHER, 5),
    }
    entry: Entry = made[kind]
    return entry


@pytest.mark.parametrize("kind", [EntryKind.DEBIT, EntryKind.TRANSFER])
def test_a_repeated_entry_counts_once(database: Database, kind: EntryKind) -> None:
    """Also in one batch with itself (P3)."""
    append(database, entries.grant(ACCOUNT, 100, kind="purchase"))
    entry = again(kind)
    assert codes(append(database, entry, entry, entry)) == [OK, DUPLICATE, DUPLICATE]
    assert codes(append(database, entry)) == [DUPLICATE]
    assert accounts(database)[ACCOUNT] == (95, 0, 5, 0)


def test_a_disputed_lot_is_moved_nowhere(database: Database) -> None:
    """Nor a trial's; a lot that only had to help stays free (money rule 16)."""
    first, second = new_uuid7(), new_uuid7()
    append(
        database,
        entries.grant(ACCOUNT, 10, kind="trial"),
        entries.grant(ACCOUNT, 20, lot=first, kind="purchase"),
        entries.grant(ACCOUNT, 20, lot=second, kind="purchase"),
        entries.debit(ACCOUNT, 25, kind="dispute", lot=second),
    )
    append(database, entries.grant(ACCOUNT, 20, lot=new_uuid7(), kind="purchase"))
    (refused,) = append(database, entries.transfer(ACCOUNT, OTHER, 36))
    assert (refused.code, refused.figure) == (LACKING, 35)
    again = new_uuid7()
    append(database, entries.grant(ACCOUNT, 20, lot=again, kind="purchase"))
    append(database, entries.debit(ACCOUNT, 1, kind="dispute", lot=again))
    (refused,) = append(database, entries.transfer(ACCOUNT, OTHER, 36))
    assert (refused.code, refused.figure) == (LACKING, 35)
    assert codes(append(database, entries.transfer(ACCOUNT, OTHER, 35))) == [OK]
    assert verify(database).differences == []


def test_a_correction_far_beyond_the_grants_is_owed_and_no_difference(database: Database) -> None:
    """The books are right: what nobody has was charged, and is owed (P4, money rule 15)."""
    call = new_uuid7()
    append(database, entries.grant(ACCOUNT, 30))
    append(database, entries.hold(call, ACCOUNT, 10))
    append(database, entries.settle(call, ACCOUNT, 5))
    assert codes(append(database, entries.correct(call, ACCOUNT, 10**15))) == [OK]
    owed = accounts(database)[ACCOUNT][3]
    assert owed > 30
    report = verify(database)
    assert (report.differences, report.settled_nano_usd) == ([], 10**15)
