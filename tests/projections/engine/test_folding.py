"""A fold of some entries: what concerns a projection, up to the first that it cannot fold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from domain.events.ledger import CreditsGranted
from event_store.ids import new_uuid7
from event_store.log.codec import decode_or_mark
from event_store.log.reading import LogEntry
from projections.engine.folding import ERROR_CHARACTERS_MAX, fold_entries, reached_below
from projections.engine.projection import Projection
from projections.engine.tables import Table, Worked, key, sums
from tests.support import entries

if TYPE_CHECKING:
    from projections.engine.tables import Changes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOTAL = Table(name="total", about="-", columns=(key("name", "text"), *sums("n", "halves")))


class Counting(Projection):
    """Counts grants, and fails at some positions, half way."""

    name = "counting"
    about = "-"
    tables = (TOTAL,)
    handles = (CreditsGranted,)
    watches = ("ledger.",)
    fails_at: frozenset[int] = frozenset()

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Change two figures, of which one comes first."""
        row = changes.row(TOTAL, ("all",))
        row[1] += 1
        if entry.position in self.fails_at:
            raise ValueError("no" * ERROR_CHARACTERS_MAX)
        row[0] += 1


def grant(position: int, topic: str = CreditsGranted.TOPIC) -> LogEntry:
    """A grant at a position, or something under another type."""
    account, lot = new_uuid7(), new_uuid7()
    state = entries.grant(account, 5, lot=lot).state + b"}"
    return LogEntry(position, NOW, decode_or_mark(topic, state, lot, 1))


def fold(projection: Projection, *placed: tuple[int, LogEntry]) -> tuple[Any, dict[int, int]]:
    """The row that comes out, and where partitions are parked."""

    def nothing(*asked: object) -> list[Any]:
        raise AssertionError(asked)

    folded = fold_entries(projection, nothing, placed, Worked())
    parked = {partition: each.position for partition, each in folded.parked.items()}
    assert all(0 < len(e.error) <= ERROR_CHARACTERS_MAX for e in folded.parked.values())
    return folded.changes.merged[TOTAL].get(("all",)), parked


def test_all_that_concerns_it_is_folded() -> None:
    """In order; an unknown event of a family that it does not watch is passed (P7)."""
    placed = [(0, grant(1)), (1, grant(2)), (0, grant(3, "catalog.unheard_of.v1"))]
    assert fold(Counting(), *placed) == ([2, 2], {})
    assert fold(Counting()) == (None, {})


def test_an_event_that_fails_leaves_no_half_of_it() -> None:
    """Its partition stops before it, and the other has all it had (P7)."""
    failing = Counting()
    failing.fails_at = frozenset({3})
    placed = [(0, grant(1)), (1, grant(2)), (0, grant(3)), (1, grant(4)), (0, grant(5))]
    assert fold(failing, *placed) == ([3, 3], {0: 3})
    assert reached_below(placed, 0, 3) == 1
    assert reached_below(placed, 1, 2) == 0


def test_each_partition_parks_at_its_own_event() -> None:
    """An event nobody can read of a family that is watched parks like one that fails (P7)."""
    failing = Counting()
    failing.fails_at = frozenset({2})
    placed = [(0, grant(1)), (1, grant(2)), (0, grant(3, "ledger.unheard_of.v1")), (2, grant(4))]
    assert fold(failing, *placed) == ([2, 2], {0: 3, 1: 2})
