"""The shape of every read model: a name, tables, a pure fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from event_store.log.codec import UnreadableEvent
from projections.engine.tables import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from domain.events.base import Event
    from event_store.log.reading import LogEntry
    from projections.engine.tables import Changes, Row, Table

    Fetch = Callable[[Table, str, Sequence[Any]], list[Row]]
    Select = Callable[[str, Sequence[Any]], list[Row]]
    """Runs a query with its parameters; what the queries of read models ask through."""


def select_on(connection: psycopg.Connection[Any]) -> Select:
    """Selects on one connection; numerics come as integers."""
    return lambda query, values: [
        whole(row) for row in connection.execute(query, values).fetchall()
    ]


class Projection(ABC):
    """One read model.

    `revision` grows with each change of the fold or the tables: the next migration then
    rebuilds it. `handles` are the events it folds; `watches` are the families of types (by
    prefix) of which it must not miss a future member, besides those it handles.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    revision: ClassVar[int] = 1
    tables: ClassVar[tuple[Table, ...]]
    handles: ClassVar[tuple[type[Event], ...]]
    watches: ClassVar[tuple[str, ...]] = ()
    awaited: ClassVar[bool] = False
    """Whether its readers wait until it shows their own writes; else it may trail under load."""
    in_redis: ClassVar[bool] = False
    """Kept in Redis where there is one; in PostgreSQL elsewhere."""

    def __init__(self) -> None:
        """Work out what concerns it."""
        self._handled = frozenset(_with_subclasses(self.handles))
        self._candidates = self._handled | {UnreadableEvent}
        families = {cls.TOPIC.rpartition(".")[0] + "." for cls in self._handled if _is_final(cls)}
        self._families = (*sorted(families), *self.watches)

    def concerns(self, event: Event) -> bool:
        """Whether the projection must fold this event; true of one it should but cannot read."""
        kind = type(event)
        if kind is UnreadableEvent:
            return event.TOPIC.startswith(self._families)
        return kind in self._handled

    def concerned(self, entries: Sequence[tuple[int, LogEntry]]) -> list[tuple[int, LogEntry]]:
        """The entries that concern it, of many by partition."""
        wanted = self._candidates
        return [
            each
            for each in entries
            if type(each[1].event) in wanted
            and (type(each[1].event) is not UnreadableEvent or self.concerns(each[1].event))
        ]

    def load(self, fetch: Fetch, entries: Sequence[LogEntry]) -> Any:
        """What the fold must know of before these events; most folds need nothing.

        `fetch` selects rows of a table by a condition and its parameters.
        """
        del fetch, entries

    def carried(self) -> Any:
        """The context of a fold from the start of the log."""
        return None

    @abstractmethod
    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Apply one event: pure, no I/O, no clock."""


def _is_final(cls: type[Event]) -> bool:
    return "TOPIC" in vars(cls)


def _with_subclasses(classes: Sequence[type[Event]]) -> list[type[Event]]:
    found = list(classes)
    for cls in classes:
        found += _with_subclasses(cls.__subclasses__())
    return found
