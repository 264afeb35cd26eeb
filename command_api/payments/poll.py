"""Asking Stripe for events that no webhook brought, since the last ones seen.

What is asked for goes into the same inbox, under the same ids: what a webhook brought is there
already. A window of time is asked for to its end, over as many rounds as that takes, whoever dies
in between.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.payments.inbox import POLL
from providers.payments.told import EVENT, UnreadableEventError, notice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import psycopg

    from command_api.payments.inbox import Inbox
    from providers.payments.port import Page, PaymentProvider

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

PAGES_MAX = 10
"""Pages (of a hundred events) of one round."""
OVERLAP = timedelta(minutes=10)
"""Windows overlap by so much: what happened may be listed a little later."""
FIRST = timedelta(hours=1)
"""What the first window looks back."""
LOOKS_BACK = timedelta(days=30)
"""Stripe lists events of so many days."""


class Window(NamedTuple):
    """What is asked for: between two instants, older than an event where some was had."""

    since: datetime
    until: datetime
    after: str


class Poll:
    """One for each process that polls."""

    def __init__(
        self, connect: Connect, inbox: Inbox, provider: PaymentProvider, types: Sequence[str]
    ) -> None:
        """Windows are kept in the database, so that any process goes on where another ended.

        `types` are the types of events that are asked for.
        """
        self._connect, self._inbox, self._provider = connect, inbox, provider
        self._types = types

    async def round(self, since: datetime | None = None) -> int:
        """Ask for the present window, or as much of it as a round may; returns what was new.

        `since` begins another window there. Raises PaymentsUnavailableError, psycopg.Error,
        InboxFullError.
        """
        window = await asyncio.to_thread(self._window, since)
        new = 0
        for _ in range(PAGES_MAX):
            page = await self._provider.listed(
                EVENT,
                int(window.since.timestamp()),
                int(window.until.timestamp()),
                window.after,
                self._types,
            )
            new += await asyncio.to_thread(self._keep, page)
            after = str(page.rows[-1].get("id", "")) if page.more and page.rows else ""
            window = window._replace(after=after)
            await asyncio.to_thread(self._asked, window)
            if not after:
                break
        return new

    async def whole(self, since: datetime | None = None) -> int:
        """Ask for a window to its end; returns what was new. Raises as `round`."""
        new = await self.round(since)
        while await asyncio.to_thread(self.unfinished):
            new += await self.round()
        return new

    def unfinished(self) -> bool:
        """Whether a window is asked for in part."""
        with self._connect() as connection:
            row = connection.execute("SELECT after_id FROM stripe_poll").fetchone()
        return bool(row and row[0])

    def _window(self, since: datetime | None) -> Window:
        now = datetime.now(UTC)
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO stripe_poll (since) VALUES (%s) ON CONFLICT DO NOTHING", [now - FIRST]
            )
            row = connection.execute("SELECT since, until, after_id FROM stripe_poll").fetchone()
            assert row is not None
            begun, until, after = row
            if after and until is not None and since is None:
                return Window(begun, until, after)
            begins = max(since or begun - OVERLAP, now - LOOKS_BACK)
            window = Window(begins, now, "")
            connection.execute(
                "UPDATE stripe_poll SET since = %s, until = %s, after_id = ''", [begins, now]
            )
        return window

    def _keep(self, page: Page) -> int:
        """Keep a page's events, the oldest first; what is none is passed over."""
        new = 0
        with self._connect() as connection:
            for row in reversed(page.rows):
                try:
                    notice = notice_of(row)
                except UnreadableEventError:
                    continue
                new += self._inbox.keep(connection, notice, msgspec.json.encode(row), POLL)
        return new

    def _asked(self, window: Window) -> None:
        """A page is kept: go on behind it, or with the next window once this one is at its end."""
        with self._connect() as connection:
            connection.execute(
                "UPDATE stripe_poll SET after_id = %(after)s, polled_at = clock_timestamp(), "
                "since = CASE WHEN %(after)s = '' THEN %(until)s ELSE since END "
                "WHERE until = %(until)s",
                window._asdict(),
            )
