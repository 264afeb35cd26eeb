"""What Stripe told goes to whose it is: a table of handlers by the kind of object.

The inbox knows no handler, and no handler knows another. Each room that acts on what Stripe tells
says which objects it takes and which types of events it wants to be told; whoever composes the
process lists them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag

from command_api.payments.inbox import DONE, IGNORED
from domain.errors import DomainError
from providers.payments.port import NotThereError, PaymentRefusedError
from providers.payments.told import (
    EVENT,
    UnreadableEventError,
    notice_of,
    payment_named,
    read_notice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    import psycopg

    from command_api.payments.inbox import Inbox, Taken
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class FailedError(Exception):
    """It cannot be handled, and trying again changes nothing: the message begins with a code."""


class Handler(Protocol):
    """A room that acts on what Stripe tells of some kinds of objects."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds it takes, as Stripe writes them in `object`: `refund`."""
        ...

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on an object as it was at a second of Unix time; whether it concerned this room.

        Twice, late or in another order changes nothing. Raises DomainError for what can never be,
        UnreadableEventError, and PaymentRefusedError; any other error is of the moment.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a handler may be made of, as long as the process's connections live."""

    connect: Connect
    events: Aggregates
    committer: Committer
    provider: PaymentProvider | None
    rates: Mapping[str, str]
    """USD for one unit of each currency."""


class Part(NamedTuple):
    """A room's part in the work: the types of events it wants to be told, and its handler."""

    watched: tuple[str, ...]
    make: Callable[[Tools], Handler]


def watched_by(parts: Iterable[Part]) -> tuple[str, ...]:
    """The types of events that any of them wants, each once."""
    return tuple(dict.fromkeys(kind for part in parts for kind in part.watched))


def marks_of(notice: Notice) -> frozenset[str]:
    """What an event has in common with others that are about the same."""
    thing = notice.thing or {}
    found = {f"{notice.kind} {notice.name}"}
    for name in ("customer", "payment_intent", "invoice", "subscription", "charge"):
        if isinstance(value := thing.get(name), str) and value:
            found.add(f"{name} {value}")
    if payment := payment_named(thing):
        found.add(f"payment {payment}")
    return frozenset(found)


def lanes_of(marked: Sequence[tuple[Taken, frozenset[str]]]) -> list[list[Taken]]:
    """Entries that have a mark in common, also by way of others, in their order: a lane each."""
    lanes: list[tuple[set[str], list[int]]] = []
    for place, (_, marks) in enumerate(marked):
        joined, places = set(marks), [place]
        apart = []
        for lane in lanes:
            if lane[0].isdisjoint(marks):
                apart.append(lane)
            else:
                joined |= lane[0]
                places += lane[1]
        lanes = [*apart, (joined, places)]
    return [[marked[place][0] for place in sorted(places)] for _, places in lanes]


class Handling:
    """One for each process that handles."""

    def __init__(
        self, inbox: Inbox, provider: PaymentProvider | None, handlers: Sequence[Handler]
    ) -> None:
        """The provider is asked for what an event does not say itself."""
        self._inbox, self._provider = inbox, provider
        self._by_kind: dict[str, list[Handler]] = {}
        for each in handlers:
            for kind in each.kinds:
                self._by_kind.setdefault(kind, []).append(each)

    def marks(self, taken: Taken) -> frozenset[str]:
        """What an entry has in common with others; blocks. One that cannot be read has itself."""
        try:
            return marks_of(read_notice(self._inbox.opened(taken)))
        except (InvalidTag, ValueError, UnreadableEventError):
            return frozenset({f"event {taken.event_id}"})

    async def handle(self, taken: Taken) -> str:
        """Handle an entry; returns the state in which it ends.

        Of several who take a kind each is asked until one says that it is theirs. Raises
        FailedError. Any other error is of the moment: it may be tried again.
        """
        try:
            notice = await self._notice_of(taken)
            handlers = self._by_kind.get(notice.kind, ())
            if not handlers:
                return IGNORED
            thing, as_of = await self._thing_of(notice)
            for each in handlers:
                if await each.handle(notice, thing, as_of):
                    return DONE
        except DomainError as error:
            message = f"{error.code}: {error}"
            raise FailedError(message) from None
        except NotThereError as error:
            message = f"not_there: {error}"
            raise FailedError(message) from None
        except (UnreadableEventError, PaymentRefusedError) as error:
            message = f"unreadable: {error}"
            raise FailedError(message) from None
        return IGNORED

    async def _notice_of(self, taken: Taken) -> Notice:
        """The event as it came; one that nobody can open any more is asked for."""
        try:
            return read_notice(await asyncio.to_thread(self._inbox.opened, taken))
        except (InvalidTag, ValueError):
            if self._provider is None:
                message = "unreadable: it is sealed with another secret, and there is no key"
                raise FailedError(message) from None
            return notice_of(await self._provider.thing(EVENT, taken.event_id))

    async def _thing_of(self, notice: Notice) -> tuple[Mapping[str, Any], int]:
        """What the event is about, and when it was so: a thin event's object as it is now."""
        if notice.thing is not None:
            return notice.thing, notice.happened_at
        if self._provider is None:
            message = "unreadable: a thin event, and there is no key to ask what it is about"
            raise FailedError(message)
        return await self._provider.thing(notice.kind, notice.name), int(time.time())
