"""Work that nobody waits for: finding out whom a mail is for, and handing it over.

It is bounded, tried again for a while, and lost when the process dies: whoever misses a mail asks
for another.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from providers.mail.port import Mail, MailRefusedError, MailUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.mail.port import Mailer

    Job = Callable[[], Awaitable[Mail | None]]
    """Finds out what is to be sent; None for nothing."""

logger = logging.getLogger("gatewayz.mail")

JOBS_MAX = 1_000
WORKERS = 4
WAITS_S = (1.0, 5.0, 30.0, 120.0)
"""Between the tries of one mail."""


class Outbox:
    """One for each process."""

    def __init__(self, mailer: Mailer, waits_s: tuple[float, ...] = WAITS_S) -> None:
        """Nothing is sent before `start`."""
        self._mailer, self._waits_s = mailer, waits_s
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(JOBS_MAX)
        self._workers: list[asyncio.Task[None]] = []
        self.failed = 0
        """Mails that were not sent, since the start."""

    def start(self) -> None:
        """Begin to send."""
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._work()) for _ in range(WORKERS)]

    async def stop(self) -> None:
        """Send no more."""
        for each in self._workers:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        if not self._jobs.empty():
            logger.warning("%d mails were not sent before the end", self._jobs.qsize())
        await self._mailer.close()

    def put(self, job: Job) -> None:
        """Do it soon; what is too much is dropped, and said in the log."""
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            self.failed += 1
            logger.warning("a mail was dropped: %d wait already", JOBS_MAX)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                mail = await job()
                if mail is not None:
                    await self._send(mail)
            except Exception:
                self.failed += 1
                logger.exception("a mail could not be made")

    async def _send(self, mail: Mail) -> None:
        for wait_s in (*self._waits_s, None):
            try:
                await self._mailer.send(mail)
            except MailRefusedError as error:
                self.failed += 1
                logger.warning("a mail was refused: %s", error)
                return
            except MailUnavailableError as error:
                if wait_s is None:
                    self.failed += 1
                    logger.warning("a mail was given up: %s", error)
                    return
                logger.info("a mail is tried again in %.0f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
            else:
                return
