"""Folds entries of the log for one projection; one that cannot be folded parks its partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg

from event_store.log.codec import UnreadableEvent
from projections.engine.sinks.port import Parked, ProjectionMovedError, SinkUnavailableError
from projections.engine.tables import Changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Fetch, Projection
    from projections.engine.tables import Worked

    Placed = tuple[int, LogEntry]
    """An entry with its partition."""

ERROR_CHARACTERS_MAX = 1_000


class Folded(NamedTuple):
    """What entries change, and the first event of each partition that could not be folded."""

    changes: Changes
    parked: dict[int, Parked]


def fold_entries(
    projection: Projection, fetch: Fetch, entries: Sequence[Placed], worked: Worked
) -> Folded:
    """Fold what concerns the projection, in order.

    A partition stops before the event that parks it, as if nothing had come after. All is then
    folded anew without that event, of which half may have been applied.
    """
    parked: dict[int, Parked] = {}
    wanted = projection.concerned(entries)
    while True:
        context = projection.load(fetch, [entry for _, entry in wanted]) if wanted else None
        changes = Changes(projection.tables, context, worked)
        poison = _fold_all(projection, wanted, changes)
        if poison is None:
            return Folded(changes, parked)
        partition, entry, parked[partition] = poison
        wanted = [
            each for each in wanted if each[0] != partition or each[1].position < entry.position
        ]


def parked_by(entry: LogEntry, error: Exception | str) -> Parked:
    """Parked at an entry because of an error, told so that the database takes the text."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    text = text[:ERROR_CHARACTERS_MAX].replace("\x00", "?")
    return Parked(entry.position, text.encode("utf-8", "replace").decode())


def reached_below(entries: Sequence[Placed], partition: int, position: int) -> int:
    """The last position of a partition before another; 0 when these entries have none."""
    return max(
        (each.position for at, each in entries if at == partition and each.position < position),
        default=0,
    )


def _fold_all(
    projection: Projection, entries: list[tuple[int, LogEntry]], changes: Changes
) -> tuple[int, LogEntry, Parked] | None:
    """Fold in order; returns the first entry that cannot be, with the reason."""
    fold = projection.fold
    for partition, entry in entries:
        if type(entry.event) is UnreadableEvent:
            return partition, entry, parked_by(entry, entry.event.error)
        try:
            fold(entry, changes)
        except Exception as error:  # noqa: BLE001  whatever a fold raises parks the projection
            return partition, entry, parked_by(entry, error)
    return None


def is_refusal(error: Exception) -> bool:
    """Whether rows are to blame, and not where they go: a value too great, a text too long."""
    if isinstance(error, psycopg.errors.ProgramLimitExceeded):
        # A key that is too long for an index, which PostgreSQL counts among its own limits.
        return True
    elsewhere = (
        ProjectionMovedError,
        SinkUnavailableError,
        psycopg.OperationalError,
        psycopg.errors.UndefinedTable,
    )
    return not isinstance(error, elsewhere)
