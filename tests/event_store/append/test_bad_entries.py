"""Entries that no rule allows: absurd amounts, and what the database itself cannot take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from domain.ledger.amounts import ACCOUNT_GRANTED_NANO_USD_MAX, GRANT_NANO_USD_MAX
from domain.pricing.money import ENTRY_NANO_USD_MAX
from event_store.append import committer as module
from event_store.append.committer import AppendInDoubtError, Committer
from event_store.append.entries import AppendCode, Entry, EntryKind, unpack
from event_store.errors import EntryRefusedError
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a batch"])
@pytest.mark.parametrize("amount", [-1, 10**15 + 1, 2**63 - 1, 2**63, 10**18 * 9, 2**64 - 1])
def test_an_absurd_amount_is_answered_and_moves_nothing(
    database: Database, amount: int, alone: bool
) -> None:
    """Of a hold, an extension, a cost, an estimate or a grant, in both paths (P1, P4)."""
    append(database, entries.grant(ACCOUNT, 10_000))
    held, new = new_uuid7(), new_uuid7()
    append(database, entries.hold(held, ACCOUNT, 1_000))
    absurd = [
        entries.hold(new, ACCOUNT, amount),
        entries.hold(new, ACCOUNT, 1, estimated=amount),
        entries.extend(held, ACCOUNT, amount),
        entries.settle(held, ACCOUNT, amount),
        entries.grant(ACCOUNT, amount if amount != 10**15 + 1 else 10**16 + 1),
    ]
    for entry in absurd:
        neighbours = [] if alone else [entries.hold(new_uuid7(), ACCOUNT, 1) for _ in range(4)]
        answers = append(database, entry, *neighbours)
        assert answers[0].code == AppendCode.AMOUNT_OUT_OF_RANGE
        assert {answer.code for answer in answers[1:]} <= {AppendCode.OK}
    assert append(database, entries.settle(held, ACCOUNT, 1_000))[0].code == AppendCode.OK
    report = verify(database)
    assert report.differences == []
    assert (report.granted_nano_usd, report.settled_nano_usd) == (10_000, 1_000)


def test_a_hold_can_not_be_extended_past_the_most(database: Database) -> None:
    """The bound is on the hold, not on each step towards it (P1, P4)."""
    append(database, *[entries.grant(ACCOUNT, GRANT_NANO_USD_MAX) for _ in range(2)])
    call = new_uuid7()
    batch = [
        entries.hold(call, ACCOUNT, ENTRY_NANO_USD_MAX),
        entries.extend(call, ACCOUNT, 1),
        entries.settle(call, ACCOUNT, ENTRY_NANO_USD_MAX),
    ]
    codes = [answer.code for answer in append(database, *batch)]
    assert codes == [AppendCode.OK, AppendCode.AMOUNT_OUT_OF_RANGE, AppendCode.OK]
    assert verify(database).differences == []


def test_an_account_takes_grants_up_to_its_most(database: Database) -> None:
    """The answer says how much more it may have (P1, P4)."""
    count = ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX
    append(database, *[entries.grant(ACCOUNT, GRANT_NANO_USD_MAX) for _ in range(count - 1)])
    append(database, entries.grant(ACCOUNT, GRANT_NANO_USD_MAX - 7))
    assert append(database, entries.grant(ACCOUNT, 8))[0] == (AppendCode.ACCOUNT_FULL, 7)
    assert append(database, entries.grant(ACCOUNT, 7))[0].code == AppendCode.OK
    report = verify(database)
    assert report.differences == []
    assert report.granted_nano_usd == ACCOUNT_GRANTED_NANO_USD_MAX


BAD = {
    "kind": Entry(max(EntryKind) + 1, b"s" * 16, ACCOUNT.bytes, 0, b'{"id":"x"'),
    "absurd kind": Entry(2**20, b"s" * 16, ACCOUNT.bytes, 0, b'{"id":"x"'),
    "short id": Entry(EntryKind.SETTLE, b"short", ACCOUNT.bytes, 0, b'{"id":"x"'),
    "state": Entry(EntryKind.GRANT, b"s" * 16, ACCOUNT.bytes, 5, b'{"id":"x","kind":"\xff"'),
    "priority": Entry(EntryKind.GRANT, b"s" * 16, ACCOUNT.bytes, 5, b'{"id":"x","priority":"9e9"'),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_an_entry_that_can_not_be_taken_has_its_own_error(database: Database, bad: Entry) -> None:
    """Whatever is wrong with it, alone or among hundreds, which are all answered (P2)."""
    append(database, entries.grant(ACCOUNT, 10_000))
    with pytest.raises(EntryRefusedError):
        append(database, bad)
    batch = [entries.hold(new_uuid7(), ACCOUNT, 1) for _ in range(600)]

    async def run() -> list[Any]:
        committer = Committer(
            database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5
        )
        await committer.start()
        futures = [committer.append(entry) for entry in [*batch[:400], bad, *batch[400:]]]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        await committer.stop()
        return answers

    answers = asyncio.run(run())
    assert isinstance(answers.pop(400), EntryRefusedError)
    assert {answer.code for answer in answers} == {AppendCode.OK}
    assert verify(database).open_holds == 600


def test_a_defect_of_the_committer_leaves_nobody_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch has an error, and the next is committed (P2)."""
    answered = iter([RuntimeError("a defect")])

    def unpacked(*given: Any) -> Any:
        for error in answered:
            raise error
        return unpack(*given)

    monkeypatch.setattr(module, "unpack", unpacked)
    with pytest.raises(AppendInDoubtError):
        append(database, entries.grant(ACCOUNT, 5))
    assert append(database, entries.grant(ACCOUNT, 6))[0].code == AppendCode.OK
