"""From rows of the log to links, and what of them is new to a projection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from event_store.ids import new_uuid7
from event_store.log.codec import UnreadableEvent
from event_store.log.partitions import partition_of
from event_store.log.reading import entry_of, read_rows_after
from projections.engine.batches import Batch, Link, links_of_rows
from projections.engine.sinks.port import ProjectionMovedError
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.log.reading import StoredRow
    from event_store.postgres.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = [str(UUID(int=each)) for each in range(20)]
PARTITIONS = 4


def row(position: int, account: str) -> StoredRow:
    """An event of an account that no class fits; it comes marked."""
    state = msgspec.json.encode({"id": "x", "account_id": account})
    return (position, NOW, "ledger.unheard_of.v1", state, new_uuid7(), 1)


ROWS = [row(position, account) for position, account in enumerate(ACCOUNTS, start=11)]
WHERE = [partition_of(account, PARTITIONS) for account in ACCOUNTS]


def test_rows_become_links_of_their_accounts_partition() -> None:
    """Each row once, without gaps, and at the end each partition knows how far they came (P7)."""
    links = links_of_rows(ROWS, dict.fromkeys(range(PARTITIONS), 0))
    events, ends = links[: len(ROWS)], links[len(ROWS) :]
    assert [(each.position, each.partition) for each in events] == list(
        zip(range(11, 31), WHERE, strict=True)
    )
    assert all(each.entry and type(each.entry.event) is UnreadableEvent for each in events)
    assert {each.previous for each in links} == {0}
    assert ends == [Link(each, 0, 30, None) for each in range(PARTITIONS)]


def test_rows_of_one_partition_need_no_account() -> None:
    """It takes whatever comes, such as what is no JSON at all (P7)."""
    odd = (31, NOW, "x.v1", b"\xff", new_uuid7(), 1)
    links = links_of_rows([*ROWS, odd], {0: 0})
    assert {each.partition for each in links} == {0}
    assert [each.position for each in links] == [*range(11, 32), 31]


def test_only_what_is_wanted_and_new_is_read() -> None:
    """Other partitions are not told that anything came; rows that were passed are left out (P7)."""
    wanted = WHERE[0]
    mine = [position for position, at in enumerate(WHERE, start=11) if at == wanted]
    passed = dict.fromkeys(range(PARTITIONS), mine[1])
    links = links_of_rows(ROWS, passed, {wanted})
    assert [each.position for each in links[:-1]] == mine[2:]
    assert links[-1] == Link(wanted, 0, 30, None)
    assert links_of_rows([], passed) == []


def test_links_of_the_log_are_its_entries(database: Database) -> None:
    """For real events, whatever their number of partitions (P7)."""
    History(database).calls(20)
    with database.connect() as connection:
        rows = read_rows_after(connection, 0, 10_000)
    for count in (1, 3):
        links = links_of_rows(rows, dict.fromkeys(range(count), 0))
        assert [each.entry for each in links if each.entry] == [entry_of(each) for each in rows]


def links(*of: tuple[int, int, int]) -> Batch:
    """A batch of events in partitions, with the positions before them."""
    return Batch(Link(at, before, here, entry_of(ROWS[0])) for at, before, here in of)


NONE: frozenset[int] = frozenset()


@pytest.mark.parametrize(
    ("positions", "shut", "new", "applied", "gaps"),
    [
        ({0: 0, 1: 0}, NONE, {0: 3, 1: 4}, 4, set()),
        ({0: 1, 1: 4}, NONE, {0: 3, 1: 4}, 1, set()),
        ({0: 0, 1: 0}, frozenset({1}), {0: 3, 1: 0}, 2, set()),
    ],
)
def test_what_is_new_depends_on_where_one_stands(
    positions: dict[int, int], shut: frozenset[int], new: Any, applied: int, gaps: set[int]
) -> None:
    """Repetitions are passed over, and so is whatever belongs to a shut partition (P7)."""
    batch = links((0, 0, 1), (1, 0, 2), (0, 1, 3), (1, 2, 4))
    found = batch.select(positions, shut)
    assert (found.new, len(found.entries), found.gaps) == (new, applied, gaps)
    assert batch.select(dict(positions), shut) is found


def test_a_gap_shuts_its_partition_alone() -> None:
    """Nothing after the gap is applied there; the other partition goes on (P7)."""
    found = links((0, 0, 1), (0, 2, 3), (1, 0, 4), (0, 3, 5)).select({0: 0, 1: 0}, NONE)
    assert (found.new, len(found.entries), found.gaps) == ({0: 1, 1: 4}, 2, {0})
    jumbled = links((0, 0, 1), (0, 2, 3), (0, 1, 2)).select({0: 0}, NONE)
    assert (jumbled.new, len(jumbled.entries), jumbled.gaps) == ({0: 1}, 1, {0})


def test_a_partition_that_is_not_there_is_told() -> None:
    """A topic with more partitions than the projection asks for a rebuild (P7)."""
    with pytest.raises(ProjectionMovedError, match="no partition 2 here"):
        links((2, 0, 1)).select({0: 0, 1: 0}, NONE)
