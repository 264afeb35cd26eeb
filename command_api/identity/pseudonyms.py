"""What stands in events instead of what callers write in headers (P5).

Events are never erased, so a request's id and an app's name stand in them as keyed hashes: the same
text has the same hash, and without the installation's secret nobody can tell which text. The names
of apps are kept beside the log, where they can be deleted (ADR 0020).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.apps")

NAMES_MAX = 10_000
"""Most names of apps that a process knows to be kept."""
KEEPING_MAX = 16
"""Most names that are being written at once; others are written at their next call."""


class Pseudonyms:
    """One for each process."""

    def __init__(self, vault: Vault, database: Database) -> None:
        """No name was seen yet."""
        self._vault, self._database = vault, database
        self._apps: dict[str, str] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    def of_request(self, account_id: str, given: str) -> str:
        """What stands for a caller's x-request-id; another account's like one has another."""
        return "request-" + self._vault.pseudonym("request", account_id, given)

    def of_app(self, name: str) -> str:
        """What stands for an app's name, which is kept beside the log; empty for none."""
        if not name:
            return ""
        known = self._apps.get(name)
        if known is None:
            known = "app-" + self._vault.pseudonym("app", name)
            if len(self._keeping) < KEEPING_MAX:
                if len(self._apps) >= NAMES_MAX:
                    self._apps.clear()
                self._apps[name] = known
                task = asyncio.get_running_loop().create_task(self._keep(known, name))
                self._keeping.add(task)
                task.add_done_callback(self._keeping.discard)
        return known

    async def _keep(self, app_id: str, name: str) -> None:
        try:
            await asyncio.to_thread(self._insert, app_id, name)
        except psycopg.Error as error:
            self._apps.pop(name, None)  # Its next call tries again.
            logger.warning("the name of %s could not be kept: %s", app_id, type(error).__name__)

    def _insert(self, app_id: str, name: str) -> None:
        with self._database.connect() as connection:
            connection.execute(
                "INSERT INTO app_name (app_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [app_id, name],
            )
