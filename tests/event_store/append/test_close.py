"""A lot that is closed before its own end: what is left of it expires at once, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.event_store.append.test_adjustments import DUPLICATE, OK, OTHER, codes
from tests.event_store.append.test_append import ACCOUNT, append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def figures(database: Database) -> tuple[int, int, int, int]:
    """Available, held, settled and breakage of the account."""
    query = "SELECT available, held, settled, breakage FROM credit_account WHERE account_id = %s"
    with database.connect() as connection:
        row = connection.execute(query, [ACCOUNT]).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3]


@pytest.mark.parametrize("size", [1, 4])
def test_what_calls_hold_is_theirs_and_what_they_leave_expires(
    database: Database, size: int
) -> None:
    """Calls end alone or in a batch; closing again changes nothing (P1, P3, money rule 9)."""
    lot, calls = new_uuid7(), [new_uuid7() for _ in range(size)]
    append(database, entries.grant(ACCOUNT, 100, lot=lot, kind="bonus"))
    append(database, entries.grant(ACCOUNT, 7, kind="purchase"))
    append(database, *[entries.hold(call, ACCOUNT, 10) for call in calls])
    answers = append(database, entries.close(ACCOUNT, lot), entries.close(ACCOUNT, lot))
    assert codes(answers) == [OK, DUPLICATE]
    assert answers[0].figure == 100 - 10 * size
    assert figures(database) == (7, 10 * size, 0, 100 - 10 * size)
    append(database, *[entries.settle(call, ACCOUNT, 4) for call in calls])
    assert figures(database) == (7, 0, 4 * size, 100 - 4 * size)
    assert codes(append(database, entries.hold(new_uuid7(), ACCOUNT, 8))) == [
        AppendCode.INSUFFICIENT_CREDITS
    ]
    assert codes(append(database, entries.close(ACCOUNT, lot))) == [DUPLICATE]
    assert verify(database).differences == []


def test_what_a_correction_gives_back_does_not_open_it_again(database: Database) -> None:
    """It comes as a lot of its own, as with lots that expired (money rule 17)."""
    lot, call = new_uuid7(), new_uuid7()
    append(database, entries.grant(ACCOUNT, 100, lot=lot, kind="bonus"))
    append(database, entries.hold(call, ACCOUNT, 50), entries.settle(call, ACCOUNT, 50))
    append(database, entries.close(ACCOUNT, lot))
    assert figures(database) == (0, 0, 50, 50)
    assert codes(append(database, entries.correct(call, ACCOUNT, 20))) == [OK]
    assert figures(database)[0] == 30
    assert codes(append(database, entries.close(ACCOUNT, lot))) == [DUPLICATE]
    assert verify(database).differences == []


def test_nobody_elses_lot_and_none_that_is_not_there(database: Database) -> None:
    """Another account's, one never given, one used up whole, one that is held whole (P1, P3)."""
    lot, used, held, call = new_uuid7(), new_uuid7(), new_uuid7(), new_uuid7()
    append(database, entries.grant(ACCOUNT, 5, lot=used))
    append(database, entries.hold(call, ACCOUNT, 5), entries.settle(call, ACCOUNT, 5))
    append(database, entries.grant(ACCOUNT, 9, lot=held))
    append(database, entries.hold(new_uuid7(), ACCOUNT, 9), entries.grant(ACCOUNT, 10, lot=lot))
    closing = [
        entries.close(OTHER, lot),
        entries.close(ACCOUNT, new_uuid7()),
        entries.close(ACCOUNT, used),
        entries.close(ACCOUNT, held),
    ]
    assert codes(append(database, *closing)) == [DUPLICATE, DUPLICATE, DUPLICATE, OK]
    assert figures(database) == (10, 9, 5, 0)
    assert verify(database).differences == []
