"""Credits taken back, moved and charged anew by a command: once a key, and refused in one line."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.money.corrections import Correction, UncorrectableError, append_correction
from command_api.money.debits import (
    Debit,
    DebitKeyReusedError,
    Debits,
    NotEnoughToTransferError,
    Transfer,
)
from command_api.money.grants import running_committer
from domain.errors import InvalidAmountError, InvalidCommandError
from domain.ledger.amounts import (
    ACCOUNT_GRANTED_NANO_USD_MAX,
    ACCOUNT_OWED_NANO_USD_MAX,
    GRANT_NANO_USD_MAX,
)
from domain.ledger.lots import DebitKind
from domain.pricing.money import ENTRY_NANO_USD_MAX
from event_store.append.entries import EntryKind
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from query_api.calls.queries import call_story
from tests.command_api.money.test_grants import ACCOUNT, give
from tests.event_store.append.test_append import append
from tests.support import entries
from tests.support.history import HOLD, call

if TYPE_CHECKING:
    from command_api.money.debits import Debited
    from event_store.postgres.database import Database

OTHER = UUID("00000000-0000-7000-8000-00000000000b")


def take(database: Database, amount: int, key: str = "k", **more: Any) -> Debited:
    """One debit, as the command line makes it."""
    fields = {"account_id": ACCOUNT, "kind": DebitKind.REFUND, "reason": "test", **more}
    debit = Debit(debit_key=key, amount=amount, **fields)
    return asyncio.run(Debits(database, actor="test").take(debit))


def move(database: Database, amount: int, to: UUID = OTHER, key: str = "t") -> Debited:
    """One transfer."""
    transfer = Transfer(
        account_id=ACCOUNT, to_account_id=to, debit_key=key, amount=amount, reason="gift"
    )
    return asyncio.run(Debits(database, actor="test").move(transfer))


def correct(database: Database, call: UUID, cost: int, version: str = "2") -> tuple[int, bool]:
    """One correction."""
    correction = Correction(
        call_id=call, account_id=ACCOUNT, cost=cost, price_version=version, reason="test"
    )

    async def run() -> tuple[int, bool]:
        async with running_committer(database) as committer:
            return await append_correction(committer, correction, actor="test")

    return asyncio.run(run())


def test_a_debit_says_what_was_taken_and_what_is_owed(database: Database) -> None:
    """Once a key; another one under it is refused (money rule 15)."""
    give(database, 10)
    done = take(database, 25)
    assert (done.taken_nano_usd, done.owed_nano_usd, done.first) == (10, 15, True)
    assert take(database, 25) == done._replace(first=False)
    with pytest.raises(DebitKeyReusedError, match="of another debit: nothing was taken"):
        take(database, 24)
    assert verify(database).differences == []


@pytest.mark.parametrize("amount", [-1, 0, GRANT_NANO_USD_MAX + 1, 10**30])
def test_an_absurd_amount_is_refused(database: Database, amount: int) -> None:
    """One line that says what it may be, and nothing is written (rule: refuse clearly)."""
    for act in (take, move):
        with pytest.raises(InvalidAmountError, match=r"at most 10000000\.000000000 USD at once$"):
            act(database, amount)
    with pytest.raises(InvalidAmountError, match="a call costs from 0 to"):
        correct(database, new_uuid7(), amount if amount < 0 else ENTRY_NANO_USD_MAX + 1)
    assert verify(database).events == 0


def test_debts_and_gifts_have_an_end(database: Database) -> None:
    """An account owes, and is given, no more than its most (rule: bounded)."""
    most = ACCOUNT_OWED_NANO_USD_MAX // GRANT_NANO_USD_MAX
    append(database, *[entries.debit(ACCOUNT, GRANT_NANO_USD_MAX) for _ in range(most)])
    with pytest.raises(InvalidAmountError, match="would owe more than"):
        take(database, 1)
    most = ACCOUNT_GRANTED_NANO_USD_MAX // GRANT_NANO_USD_MAX
    append(database, *[entries.grant(OTHER, GRANT_NANO_USD_MAX) for _ in range(most)])
    with pytest.raises(InvalidAmountError, match="takes no more"):
        move(database, 1)


def test_a_transfer_moves_what_there_is(database: Database) -> None:
    """To another account, or not at all (money rule 16)."""
    give(database, 10)
    with pytest.raises(NotEnoughToTransferError, match=r"0\.000000010 USD can, from at most 100"):
        move(database, 11)
    with pytest.raises(InvalidCommandError, match="gives nothing to itself"):
        move(database, 1, ACCOUNT)
    assert move(database, 4).first
    assert not move(database, 4).first
    with pytest.raises(DebitKeyReusedError):
        move(database, 4, new_uuid7())
    assert verify(database).differences == []


def test_a_charge_is_corrected_once_by_each_price(database: Database) -> None:
    """The figure is what was charged, below zero what was given back (money rule 17)."""
    call = new_uuid7()
    give(database, 100)
    append(database, entries.hold(call, ACCOUNT, 10))
    with pytest.raises(UncorrectableError, match="was charged for no call"):
        correct(database, call, 5)
    append(database, entries.settle(call, ACCOUNT, 10))
    assert correct(database, call, 12) == (2, True)
    assert correct(database, call, 12)[1] is False
    with pytest.raises(UncorrectableError, match="once by each"):
        correct(database, call, 11)
    assert correct(database, call, 5, "3") == (-7, True)
    assert verify(database).differences == []


def test_the_story_of_a_call_tells_its_corrections(database: Database) -> None:
    """What was settled stays; what is charged in the end stands beside it (P6, money rule 17)."""
    chance = random.Random(3)
    place, ends = call(ACCOUNT, new_uuid7(), chance)
    while ends[0].kind != EntryKind.SETTLE or not 10 < ends[0].amount < HOLD:
        place, ends = call(ACCOUNT, new_uuid7(), chance)
    cost, call_id = ends[0].amount, UUID(bytes=place.stream)
    give(database, 10 * HOLD)
    for entry in (place, *ends):
        append(database, entry)
    before = call_story(database, call_id, str(ACCOUNT))
    assert before is not None
    assert (before["charged_nano_usd"], before["corrections"]) == (cost, [])
    correct(database, call_id, cost + 2)
    correct(database, call_id, cost - 5, "3")
    story = call_story(database, call_id, str(ACCOUNT))
    assert story is not None
    assert (story["settled_nano_usd"], story["charged_nano_usd"]) == (cost, cost - 5)
    assert [each["difference_nano_usd"] for each in story["corrections"]] == [2, -7]
    assert verify(database).differences == []
