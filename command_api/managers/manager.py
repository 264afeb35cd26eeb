"""What a process manager is, to the host that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Cursor

    from domain.events.base import Event
    from domain.wishes import Wish

    Writes = Callable[[Cursor[Any]], object]


class HopelessError(Exception):
    """The wish can never be done: it fails at once, with this reason, and waits for a person."""


class Taken(NamedTuple):
    """A wish that this host does now; `position` is its cause's place in the log."""

    manager: str
    key: str
    kind: str
    position: int
    details: Mapping[str, Any]
    tries: int
    """This one among them; it also tells this lease from a later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What ends a wish, in one transaction with its end.

    `writes` is for what has no idempotency key of its own, such as a mail that waits: it is
    written with the end, once, or not at all. `more` are wishes that follow.
    """

    writes: Writes | None = None
    more: Sequence[Wish] = ()


class Manager(Protocol):
    """One process manager.

    It hears events of `hears`, in the log's order. Its wishes are done in no certain order, and
    perhaps more than once where a host dies, so a command's idempotency key is made of the wish's.
    """

    name: str
    hears: Sequence[type[Event]]
    from_the_beginning: bool
    """Whether a new one hears the whole log; else it begins at the log's end as it is then."""

    only: str
    """A condition in SQL on an event `e` of these classes, for who is concerned by few of many;
    else empty. It may look at the state of the moment: what it passes over now has to follow from a
    later event where it comes to matter.
    """

    def react(self, event: Event) -> Sequence[Wish]:
        """What follows from an event: pure, and the same whenever it is asked."""
        ...

    async def fulfil(self, taken: Taken) -> Done:
        """Do a wish; done again it changes nothing.

        Raises HopelessError for what no repetition changes. After any other error it is tried
        again, later each time, and fails in the end.
        """
        ...
