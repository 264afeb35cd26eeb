"""The events of one run, numbered here, for whoever follows them: the caller, now or later.

Its provider's events are told as those of the response that was answered: under its id, stored,
in the background. What came is kept in memory, up to a maximum; beyond it the last event, which has
the whole response, tells what the others had.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from command_api.replies.responses.events import ENDS, FAILED, events_in, numbered, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from command_api.replies.responses.events import Event

ALIVE = b": alive\n\n"
ALIVE_S = 15.0
"""Longest silence for who follows a run, seconds."""
OURS = frozenset({"response.created", "response.queued", "response.in_progress"})
"""What is told by the gateway in its provider's place."""
TERMINAL = frozenset({*ENDS, FAILED})


class Feed:
    """What is told of one run."""

    def __init__(
        self,
        queued: dict[str, Any],
        framed: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        bytes_max: int | None,
    ) -> None:
        """`queued` is the response as answered, and `framed` makes its provider's the one of it.

        `bytes_max` bounds the events that are kept, None keeps none.
        """
        self._queued, self._framed, self._bytes_max = queued, framed, bytes_max
        self._events: list[bytes] = []
        self._bytes, self._number = 0, 0
        self._last = b""
        self.response: dict[str, Any] | None = None
        """How it ended, once it has."""
        self.closed = False
        self._changed = asyncio.Event()
        for kind in ("response.created", "response.queued"):
            self._tell({"type": kind, "response": queued})

    def begin(self) -> None:
        """It runs from now on."""
        running = {**self._queued, "status": "in_progress"}
        self._tell({"type": "response.in_progress", "response": running})

    def take(self, out: bytes) -> None:
        """Some events of its provider's, whole ones."""
        for _, event in events_in(out):
            if event is None or event["type"] in OURS:
                continue
            kind, response = event["type"], event.get("response")
            if kind not in TERMINAL:
                self._tell(event)
                continue
            made = response if isinstance(response, dict) else {}
            self.end(kind, {**made, "status": kind.removeprefix("response.")})

    def end(self, kind: str, response: dict[str, Any]) -> None:
        """It has ended so, which is told when it is closed; the first end counts."""
        if self.response is None:
            self.response = self._framed(response)
            self._last = self._written({"type": kind, "response": self.response})

    def close(self) -> None:
        """All is told, and the end is stored."""
        self.closed = True
        self._wake()

    def all(self) -> list[bytes] | None:
        """All events as they are kept, the last one with them; None where none are."""
        return None if self._bytes_max is None else [*self._events, self._last]

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """The events behind a number, as they come, up to the end."""
        place = after + 1
        while True:
            changed = self._changed
            while place < len(self._events):
                yield self._events[place]
                place += 1
            if self.closed:
                if after < self._number - 1:
                    yield self._last
                return
            try:
                async with asyncio.timeout(ALIVE_S):
                    await changed.wait()
            except TimeoutError:
                yield ALIVE

    def _tell(self, event: Event) -> None:
        made = self._written(event)
        if self._bytes_max is None:
            return
        if self._bytes + len(made) > self._bytes_max:
            self._bytes = self._bytes_max  # The places of events are their numbers: none may lack.
            return
        self._bytes += len(made)
        self._events.append(made)
        self._wake()

    def _written(self, event: Event) -> bytes:
        told = {name: value for name, value in event.items() if name != "sequence_number"}
        made = written(numbered(told, self._number))
        self._number += 1
        return made

    def _wake(self) -> None:
        """Whoever waits looks again, and next time waits for another change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
