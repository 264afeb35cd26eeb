"""What a host hands to the runner: links of the log, selected once for all that stand alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from event_store.log.reading import LogEntry, entry_of, partition_in
from projections.engine.sinks.port import ProjectionMovedError
from projections.engine.tables import Worked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from event_store.log.reading import StoredRow


class Link(NamedTuple):
    """An event, or only a position that the partition has passed, and what came before it."""

    partition: int
    previous: int
    position: int
    entry: LogEntry | None


def links_of_rows(
    rows: Sequence[StoredRow],
    passed: Mapping[int, int],
    wanted: Collection[int] | None = None,
) -> list[Link]:
    """Rows that follow each other in the log as links, of the `wanted` partitions or of all.

    `passed` has every partition with a position that it has passed: rows up to there are left
    out, and need not be decoded. A whole log has no gaps; at the end each partition is told how
    far the rows have come.
    """
    count, mine = len(passed), set(passed if wanted is None else wanted)
    links = []
    for row in rows:
        partition = partition_in(row, count)
        if partition in mine and row[0] > passed[partition]:
            links.append(Link(partition, 0, row[0], entry_of(row)))
    if rows:
        links += [Link(each, 0, rows[-1][0], None) for each in sorted(mine)]
    return links


@dataclass(slots=True)
class Selected:
    """What is new in a batch for a projection that stands at some positions."""

    new: dict[int, int]
    entries: list[tuple[int, LogEntry]]
    gaps: set[int] = field(default_factory=set)

    def split(self, old: Mapping[int, int], count: int) -> tuple[Selected, Selected]:
        """The first `count` entries, from the `old` positions on, and the rest."""
        first, reached = self.entries[:count], dict(old)
        for partition, entry in first:
            reached[partition] = entry.position
        return Selected(reached, first), Selected(self.new, self.entries[count:])

    def without(self, stopped: Mapping[int, int]) -> Selected:
        """What is left when some partitions stay at a position."""
        left = [each for each in self.entries if each[0] not in stopped]
        return Selected(self.new | dict(stopped), left)


class Batch:
    """Links that are handed to every projection; those that stand alike share the selection."""

    def __init__(self, links: Iterable[Link], offsets: Mapping[int, int] | None = None) -> None:
        """`offsets` are Kafka's, by partition, from which to resume after this batch."""
        self.links = list(links)
        self.offsets = offsets or {}
        self.worked = Worked()
        """What the folds of this batch work out of its events, once for all of them."""
        self._selected: dict[tuple[frozenset[tuple[int, int]], frozenset[int]], Selected] = {}

    def select(self, positions: dict[int, int], shut: frozenset[int]) -> Selected:
        """What is new beyond some positions, outside the shut partitions.

        Raises ProjectionMovedError for a link of a partition that the projection has not.
        """
        key = (frozenset(positions.items()), shut)
        known = self._selected.get(key)
        if known is None:
            known = self._selected[key] = self._select(positions, set(shut))
        return known

    def _select(self, positions: dict[int, int], shut: set[int]) -> Selected:
        new, entries, gaps = dict(positions), list[tuple[int, LogEntry]](), set[int]()
        for partition, previous, position, entry in self.links:
            reached = new.get(partition)
            if reached is None:
                message = f"there is no partition {partition} here: rebuild with more of them"
                raise ProjectionMovedError(message)
            if position <= reached or partition in shut:
                continue
            if previous > reached:
                gaps.add(partition)
                shut.add(partition)
                continue
            new[partition] = position
            if entry is not None:
                entries.append((partition, entry))
        return Selected(new, entries, gaps)


@dataclass(slots=True)
class Delivered:
    """What became of some links."""

    applied: int = 0
    gaps: set[int] = field(default_factory=set)
