"""Each entry is of one hold: what comes late, twice or from another process moves no other."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from domain.events import ledger as ev
from event_store.append.entries import AppendCode, Entry
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
alone_or_not = pytest.mark.parametrize("beside", [0, 4], ids=["alone", "in a batch"])


def code(database: Database, entry: Entry, beside: int) -> int:
    """The answer to an entry, alone or in a batch that is taken set by set."""
    others = [entries.hold(new_uuid7(), ACCOUNT, 1) for _ in range(beside)]
    answers = append(database, entry, *others)
    assert {each.code for each in answers[1:]} <= {AppendCode.OK}
    return answers[0].code


def tried_again(database: Database, call: UUID) -> tuple[Entry, Entry]:
    """A call whose first hold was voided, and whose second stands: both holds."""
    first = entries.hold(call, ACCOUNT, 1_000)
    void = entries.void(call, ACCOUNT, follows=entries.event_id(first))
    second = entries.hold(call, ACCOUNT, 2_000, follows=entries.event_id(void))
    append(database, entries.grant(ACCOUNT, 100_000))
    for entry in (first, void, second):
        assert append(database, entry)[0].code == AppendCode.OK
    return first, second


@alone_or_not
def test_a_late_void_ends_no_other_hold(database: Database, beside: int) -> None:
    """As of a process that lost its database, spooled it, and came back (P2, P3)."""
    call = new_uuid7()
    first, second = tried_again(database, call)
    late = entries.void(call, ACCOUNT, follows=entries.event_id(first))
    assert code(database, late, beside) == AppendCode.ALREADY_RESOLVED
    mine = entries.settle(call, ACCOUNT, 500, follows=entries.event_id(second))
    assert code(database, mine, beside) == AppendCode.OK
    report = verify(database)
    assert report.differences == []
    assert report.settled_nano_usd == 500


@alone_or_not
def test_a_late_settlement_charges_no_other_hold(database: Database, beside: int) -> None:
    """It is house loss, once, while the present hold stays as it is (P3, money rule 11)."""
    call = new_uuid7()
    first, second = tried_again(database, call)
    late = entries.settle(call, ACCOUNT, 700, follows=entries.event_id(first))
    for _ in range(2):
        assert code(database, late, beside) == AppendCode.ALREADY_RESOLVED
    more = entries.extend(call, ACCOUNT, 10, follows=entries.event_id(second))
    assert append(database, more)[0].code == AppendCode.OK
    mine = entries.settle(call, ACCOUNT, 2_010, follows=entries.event_id(second))
    assert code(database, mine, beside) == AppendCode.OK
    report = verify(database)
    assert report.differences == []
    assert (report.settled_nano_usd, report.house_loss_nano_usd) == (2_010, 700)


@alone_or_not
def test_a_late_copy_of_a_hold_is_not_placed_again(database: Database, beside: int) -> None:
    """Its void came first by another connection: nobody would ever end it (P2)."""
    call = new_uuid7()
    append(database, entries.grant(ACCOUNT, 100_000))
    hold = entries.hold(call, ACCOUNT, 1_000)
    void = entries.void(call, ACCOUNT, follows=entries.event_id(hold))
    for entry in (hold, void):
        assert append(database, entry)[0].code == AppendCode.OK
    assert code(database, hold, beside) == AppendCode.CALL_EXISTS
    again = entries.hold(call, ACCOUNT, 1_000, follows=entries.event_id(void))
    assert code(database, again, beside) == AppendCode.OK
    assert code(database, again, beside) == AppendCode.DUPLICATE
    assert verify(database).differences == []


@alone_or_not
def test_an_outcome_of_a_hold_that_never_came_is_unknown(database: Database, beside: int) -> None:
    """Its hold may still be on its way, whatever the call did before (P2)."""
    call = new_uuid7()
    tried_again(database, call)
    lost = entries.void(call, ACCOUNT, follows=new_uuid7())
    assert code(database, lost, beside) == AppendCode.UNKNOWN_CALL


@alone_or_not
def test_an_outcome_of_an_older_release_is_of_the_open_hold(
    database: Database, beside: int
) -> None:
    """Spooled files that name no hold are appended as they always were (P2)."""
    call = new_uuid7()
    tried_again(database, call)
    spooled = msgspec.json.decode(msgspec.json.encode(entries.settle(call, ACCOUNT, 300)))
    del spooled["follows"]
    entry = msgspec.json.decode(msgspec.json.encode(spooled), type=Entry)
    assert code(database, entry, beside) == AppendCode.OK
    assert verify(database).settled_nano_usd == 300


@alone_or_not
def test_a_hold_that_was_open_before_the_migration_has_its_name(
    database: Database, beside: int
) -> None:
    """A hold without one is ended by whatever names it (P2)."""
    call = new_uuid7()
    append(database, entries.grant(ACCOUNT, 100_000))
    hold = entries.hold(call, ACCOUNT, 1_000)
    append(database, hold)
    with database.connect_as_owner() as connection:
        row = connection.execute("SELECT hold_id FROM open_hold").fetchone()
        assert row == (entries.event_id(hold),)
        connection.execute("UPDATE open_hold SET hold_id = NULL")
    mine = entries.settle(call, ACCOUNT, 300, follows=entries.event_id(hold))
    assert code(database, mine, beside) == AppendCode.OK


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_the_answer_to_a_hold_says_what_is_left(database: Database, count: int) -> None:
    """In both paths; of several in one batch the last says it at least (money rule 2)."""
    other = new_uuid7()
    append(database, entries.grant(ACCOUNT, 100_000), entries.grant(other, 500))
    batch = [entries.hold(new_uuid7(), ACCOUNT, 100) for _ in range(count)]
    answers = append(database, entries.hold(new_uuid7(), other, 200), *batch)
    assert answers[0].figure == 300
    assert answers[-1].figure == 100_000 - 100 * count
    assert append(database, batch[0])[0] == (AppendCode.DUPLICATE, answers[-1].figure)


def test_what_an_event_follows_stands_on_it(database: Database) -> None:
    """Who reads the log sees which hold an outcome is of (P5, P8)."""
    call = new_uuid7()
    first, second = tried_again(database, call)
    append(database, entries.settle(call, ACCOUNT, 1, follows=entries.event_id(second)))
    with database.connect() as connection:
        log = [entry.event for entry in read_after(connection, 0)]
    placed, void, again, settled = [each for each in log if isinstance(each, ev.CallEvent)]
    assert [void.causation_id, again.causation_id, settled.causation_id] == [
        placed.id,
        void.id,
        again.id,
    ]
    assert entries.event_id(first) == UUID(placed.id)
