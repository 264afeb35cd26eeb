"""What stands in events instead of what callers write in headers (P5).

Events are never erased, so a request's id and an app's name stand in them as keyed hashes: the same
text has the same hash, and without the installation's secret nobody can tell which text. The names
of apps are kept beside the log, where they can be deleted (ADR 0020).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import psycopg

from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.apps")

NAMES_MAX = 10_000
"""Most names of apps that a process knows, and most accounts whose names it counts."""
KEEPING_MAX = 16
"""Most names that wait to be written; others are written at their next call."""
NAMES_OF_ACCOUNT_MAX = 100
"""Most names that are kept for an account's calls in a day and a process."""
DAY_S = 86_400
PAUSE_S = 1.0
"""Between two writes: names are of no hurry, and take one connection."""
TIMEOUT_S = 5.0


class Pseudonyms:
    """One for each process."""

    def __init__(self, vault: Vault, database: Database) -> None:
        """No name was seen yet."""
        self._vault, self._database = vault, database
        self._apps: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._kept: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._day, self._counts = 0, dict[str, int]()
        self._writing: asyncio.Task[None] | None = None

    def of_request(self, account_id: str, given: str) -> str:
        """What stands for a caller's x-request-id; another account's like one has another."""
        return "request-" + self._vault.pseudonym("request", account_id, given)

    def of_app(self, name: str) -> str:
        """What stands for an app's name; empty for none."""
        if not name:
            return ""
        known = self._apps.get(name)
        if known is None:
            if len(self._apps) >= NAMES_MAX:
                self._apps.clear()
                self._names.clear()
            known = self._apps[name] = "app-" + self._vault.pseudonym("app", name)
            self._names[known] = name
        return known

    def keep(self, account_id: str, app_id: str) -> None:
        """Keep the name of an app beside the log, once a call of it was charged."""
        name = self._names.get(app_id)
        if name is None or app_id in self._kept or len(self._waiting) >= KEEPING_MAX:
            return
        if not self._counted(account_id):
            return
        if len(self._kept) >= NAMES_MAX:
            self._kept.clear()
        self._kept.add(app_id)
        self._waiting[app_id] = name
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def _counted(self, account_id: str) -> bool:
        """Whether one more name of the account may be kept today."""
        today = int(time.time()) // DAY_S
        if self._day != today or len(self._counts) >= NAMES_MAX:
            self._day, self._counts = today, {}
        count = self._counts[account_id] = self._counts.get(account_id, 0) + 1
        return count <= NAMES_OF_ACCOUNT_MAX

    async def _write(self) -> None:
        while self._waiting:
            written, self._waiting = self._waiting, {}
            try:
                await self._insert(written)
            except psycopg.Error as error:
                self._kept.difference_update(written)  # Their next calls try again.
                logger.warning(
                    "the names of %s could not be kept: %s",
                    ", ".join(written),
                    type(error).__name__,
                )
            await asyncio.sleep(PAUSE_S)

    async def _insert(self, names: Mapping[str, str]) -> None:
        connection = await self._database.connect_async()
        async with connection:
            with hanging_up(connection, TIMEOUT_S):
                await connection.execute(
                    "INSERT INTO app_name (app_id, name) "
                    "SELECT * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING",
                    [list(names), list(names.values())],
                )
