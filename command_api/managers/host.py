"""Runs process managers on PostgreSQL alone: hears the log, does what is due.

What a manager wishes is kept in the transaction that moves its position, so no cause is missed or
heard twice. A wish is done outside of it and ended afterwards: who dies in between does it again,
under the same idempotency key. Each manager has one host at a time, by a lock of the host's
connection; where a connection is lost without its host knowing, the position moves only from where
it was seen, and a wish is ended only by who took it last.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from command_api.managers import table
from command_api.managers.manager import HopelessError
from domain.upcasters import older_topics
from event_store.locks import Lock
from event_store.log.codec import UnreadableEvent
from event_store.log.reading import entry_of, head_position, read_all_rows, read_entries_at

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from command_api.managers.manager import Done, Manager, Taken
    from domain.events.base import Event
    from domain.wishes import Wish
    from event_store.log.reading import LogEntry
    from event_store.postgres.database import Database

T = TypeVar("T")
logger = logging.getLogger("gatewayz.managers")

EVENTS_MAX = 500
"""Most events that a manager hears in one transaction."""
SPAN_MAX = 50_000
"""Most positions that one look passes, so that no statement takes long on a busy log."""
WISHES_OF_EVENT_MAX = 100
AT_ONCE = 8
"""Wishes that are done side by side: one that waits for somebody does not hold up the others."""
WAIT_S = 0.25
"""Between two looks."""
WISH_S = 60.0
"""Longest time of one try; less than a lease, so that no wish is tried twice at once."""
STATEMENT_S = 30.0
WAITS_S = (1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0)
"""Between the tries of one wish; the last goes on until TRIES_MAX."""
TRIES_MAX = 50
"""Nearly two days of tries; then a wish fails, and waits for a person."""


class Heard(NamedTuple):
    """What a manager made of an event: its wishes, or why it could not hear it."""

    position: int
    wishes: Sequence[Wish]
    why: str = ""


class ManagerHost:
    """One for each process that runs managers."""

    def __init__(
        self,
        database: Database,
        managers: Sequence[Manager],
        *,
        waits_s: tuple[float, ...] = WAITS_S,
        tries_max: int = TRIES_MAX,
    ) -> None:
        """Nothing is connected before `run`."""
        self._database, self._waits_s, self._tries_max = database, waits_s, tries_max
        self._managers = {each.name: each for each in managers}
        self._owned: set[str] = set()
        self._full: set[str] = set()

    async def run(self, stop: threading.Event) -> None:
        """Until told to stop. Raises psycopg.Error where the connection is lost: begin anew."""
        with await asyncio.to_thread(self._database.connect, statement_s=STATEMENT_S) as connection:
            self._connection, self._turn = connection, asyncio.Lock()
            self._owned = set()
            while not stop.is_set():
                more = await self._on_thread(self._hear)
                while await self.fulfil_due() and not stop.is_set():
                    pass
                if not more:
                    await asyncio.to_thread(stop.wait, WAIT_S)

    async def fulfil_due(self) -> bool:
        """Do a few wishes that are due; whether there may be more."""
        if not self._owned:
            return False
        found = await self._on_thread(table.lease, self._connection, sorted(self._owned), AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for each in found:
                group.create_task(self._one(each))
        return len(found) == AT_ONCE

    async def _one(self, taken: Taken) -> None:
        """One try: whatever goes wrong stays with this wish, but for a lost connection."""
        try:
            if taken.kind == table.HEAR:
                await self._on_thread(self._hear_again, taken)
            else:
                async with asyncio.timeout(WISH_S):
                    done = await self._managers[taken.manager].fulfil(taken)
                await self._on_thread(self._end, taken, done)
        except HopelessError as error:
            await self._failed(taken, _line(error))
        except Exception as error:
            if self._connection.closed or self._connection.broken:
                raise
            await self._later(taken, error)

    async def _later(self, taken: Taken, error: Exception) -> None:
        why = f"{type(error).__name__}: {_line(error)}"
        if taken.tries >= self._tries_max:
            await self._failed(taken, why)
            return
        wait_s = self._waits_s[min(taken.tries, len(self._waits_s)) - 1]
        logger.warning("%s is tried again in %.0f s: %s", _named(taken), wait_s, why)
        logger.debug("because of", exc_info=error)
        await self._on_thread(table.later, self._connection, taken, wait_s, why)

    async def _failed(self, taken: Taken, why: str) -> None:
        logger.error("%s failed, and waits for `gatewayz managers retry`: %s", _named(taken), why)
        await self._on_thread(table.fail, self._connection, taken, why)

    def _hear(self) -> bool:
        """Let each manager of ours hear what is new; whether there is more."""
        head = head_position(self._connection)
        more = False
        for name, manager in self._managers.items():
            if name in self._owned or self._own(manager, head):
                with suppress(table.MovedError):
                    more |= self._hear_some(manager, head)
        return more

    def _own(self, manager: Manager, head: int) -> bool:
        """Whether this host runs a manager from now on, and no other does."""
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [Lock.MANAGERS, manager.name]
        ).fetchone()
        if not (row and row[0]):
            return False
        table.begin(self._connection, manager.name, 0 if manager.from_the_beginning else head)
        self._owned.add(manager.name)
        return True

    def _hear_some(self, manager: Manager, head: int) -> bool:
        """Some events of a manager, all their wishes, and its position; whether there is more."""
        name, connection = manager.name, self._connection
        before = table.position_of(connection, name)
        if before >= head:
            return False
        until = min(head, before + SPAN_MAX)
        with connection.transaction():
            topics = _topics(manager.hears)
            log = read_all_rows(
                connection, after=before, to_position=until, topics=topics, only=manager.only
            )
            with closing(log) as rows:
                heard = [_reaction(manager, entry_of(row)) for row in islice(rows, EVENTS_MAX)]
            if heard and not table.room_for(connection, name):
                if name not in self._full:
                    logger.warning("manager %s waits: %d wishes are kept", name, table.WAITING_MAX)
                self._full.add(name)
                return False
            self._full.discard(name)
            after = heard[-1].position if len(heard) == EVENTS_MAX else until
            table.advance(connection, name, before, after)
            for each in heard:
                if each.why:
                    logger.warning("manager %s: position %d: %s", name, each.position, each.why)
                    table.put_unheard(connection, name, each.position, each.why)
                else:
                    table.put(connection, name, each.position, each.wishes)
        return after < head

    def _hear_again(self, taken: Taken) -> None:
        """A cause that could not be heard; raises ValueError where it still cannot."""
        (entry,) = read_entries_at(self._connection, [taken.position])
        heard = _reaction(self._managers[taken.manager], entry)
        if heard.why:
            raise ValueError(heard.why)
        with self._connection.transaction():
            if table.end(self._connection, taken):
                table.put(self._connection, taken.manager, taken.position, heard.wishes)

    def _end(self, taken: Taken, done: Done) -> None:
        """Once: who took it later than we did ends it, and we write nothing."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if table.end(cursor, taken):
                if done.writes is not None:
                    done.writes(cursor)
                table.put(cursor, taken.manager, taken.position, done.more)

    async def _on_thread(self, work: Callable[..., T], *values: Any) -> T:
        """One thing at a time on our connection, whose lock is what makes the managers ours.

        It is brought to its end also where its waiter is cancelled: half a transaction would take
        in what comes next.
        """

        async def in_turn() -> T:
            async with self._turn:
                return await asyncio.to_thread(work, *values)

        return await asyncio.shield(asyncio.ensure_future(in_turn()))


def _reaction(manager: Manager, entry: LogEntry) -> Heard:
    """What follows from an event. A defect, or an event that nobody can read, is kept with it."""
    if isinstance(entry.event, UnreadableEvent):
        return Heard(entry.position, (), f"the event cannot be read: {entry.event.error}")
    try:
        wishes = manager.react(entry.event)
    except Exception as error:
        logger.exception("manager %s met a defect at position %d", manager.name, entry.position)
        return Heard(entry.position, (), f"{type(error).__name__}: {_line(error)}")
    if len(wishes) > WISHES_OF_EVENT_MAX:
        why = f"{len(wishes)} wishes follow from one event: at most {WISHES_OF_EVENT_MAX} may"
        return Heard(entry.position, (), why)
    return Heard(entry.position, wishes)


def _topics(classes: Sequence[type[Event]]) -> list[str]:
    """Their types, older ones too."""
    return [topic for cls in classes for topic in (cls.TOPIC, *older_topics(cls.TOPIC))]


def _named(taken: Taken) -> str:
    return f"manager {taken.manager}: {taken.key!r} of position {taken.position}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
