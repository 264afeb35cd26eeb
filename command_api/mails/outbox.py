"""Hands mails over that wait in the database: by any process, in its turn, until it works.

What the process that asked for a mail cannot do any more, another one does. A mail may come twice
where a process dies between the hand-over and the note of it; it is not lost before a day
is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool

from command_api.mails.waiting import Waiting
from edge.errors import ApiError
from providers.mail.port import MailRefusedError, MailUnavailableError

if TYPE_CHECKING:
    from command_api.identity.people import People
    from command_api.mails.waiting import Taken
    from providers.mail.port import Mail, Mailer

logger = logging.getLogger("gatewayz.mail")

AT_ONCE = 4
POLL_S = 5.0
"""Time between looks for mails of other processes, and for those whose time has come, seconds."""
HAND_OVER_S = 60.0
"""Longest time of one try; less than a lease, so that two never try at once."""
WAITS_S = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Between the tries of one mail; the last one goes on until a day is over."""
AWAY = (psycopg.Error, psycopg_pool.PoolTimeout, ApiError)
"""The database is away, or its lane is full: mails wait there."""


class Outbox:
    """One for each process."""

    def __init__(
        self, people: People, mailer: Mailer, waits_s: tuple[float, ...] = WAITS_S
    ) -> None:
        """Nothing is sent before `start`."""
        self._people, self._mailer, self._waits_s = people, mailer, waits_s
        self.waiting = Waiting(people.vault)
        self.left = 0
        """How many waited at the last look, of all processes."""
        self.ended: Counter[str] = Counter()
        """How mails ended here: `sent`, `refused`, `given_up`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send; the people are connected."""
        self._loop, self._due = asyncio.get_running_loop(), asyncio.Event()
        self._work = self._loop.create_task(self._forever())

    async def stop(self) -> None:
        """Send no more; what is not sent waits for the next process."""
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
        await self._mailer.close()

    def wake(self) -> None:
        """Something was put: look at once. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._due.set)

    async def _forever(self) -> None:
        while True:
            try:
                while await self._round():
                    pass
            except AWAY as error:
                logger.warning("mails wait: %s", str(error).strip())
            except Exception:
                logger.exception("a mail could not be made")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._due.wait()

    async def _round(self) -> bool:
        """Hand over what is due, a few at once; whether there may be more."""
        self._due.clear()
        found, self.left = await self._people.run(self._look)
        async with asyncio.TaskGroup() as group:
            for each in found:
                group.create_task(self._one(each))
        return len(found) == AT_ONCE

    def _look(self) -> tuple[list[Taken], int]:
        with self._people.connect() as connection:
            return self.waiting.lease(connection, AT_ONCE), self.waiting.count(connection)

    async def _one(self, taken: Taken) -> None:
        """One try; raises nothing that would end those of the others."""
        try:
            mail = await self._people.run(self._made, taken)
            if mail is None:
                await self._end(taken, "")
            elif taken.over:
                await self._end(taken, "given_up")
                logger.warning("a mail was given up after a day")
            else:
                await self._try(taken, mail)
        except AWAY as error:
            logger.warning("a mail waits: %s", str(error).strip())
        except Exception:
            logger.exception("a mail could not be made; it is tried again")

    async def _try(self, taken: Taken, mail: Mail) -> None:
        try:
            async with asyncio.timeout(HAND_OVER_S):
                await self._mailer.send(mail)
        except MailRefusedError as error:
            logger.warning("a mail was refused: %s", error)
            await self._end(taken, "refused")
        except (MailUnavailableError, TimeoutError) as error:
            wait_s = self._waits_s[min(taken.tries, len(self._waits_s)) - 1]
            logger.info("a mail is tried again in %.0f s: %s", wait_s, error)
            await self._people.run(self._later, taken, wait_s)
        else:
            await self._end(taken, "sent")

    async def _end(self, taken: Taken, how: str) -> None:
        if how:
            self.ended[how] += 1
        await self._people.run(self._done, taken)

    def _made(self, taken: Taken) -> Mail | None:
        with self._people.connect() as connection:
            return self.waiting.made(connection, taken)

    def _done(self, taken: Taken) -> None:
        with self._people.connect() as connection:
            self.waiting.done(connection, taken)

    def _later(self, taken: Taken, wait_s: float) -> None:
        with self._people.connect() as connection:
            self.waiting.later(connection, taken, wait_s)
