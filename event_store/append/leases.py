"""A serving process proves that it lives by renewing its lease in the database.

Only holds of owners whose lease has lapsed may be swept, so that no live call ever is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from event_store.ids import new_uuid7_text
from event_store.postgres.database import CONNECT_TIMEOUT_S, hanging_up

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.lease")

LEASE_TIMEOUT_S = 5.0
"""Longest wait for a renewal, seconds."""
RETRY_S = 0.5
"""Pause before a renewal that failed is tried again: health comes back with the lease, seconds."""
RECONNECT_TIMEOUT_S = 2


def home_identity(home: Path) -> str:
    """The random name of a home, made on first use; paths may be the same on two hosts."""
    file = home / "identity"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file.open("x") as handle:
            handle.write(f"{new_uuid7_text()}\n")
    except FileExistsError:
        pass
    return file.read_text().strip()


class Lease:
    """The lease of this process; start it before the first hold, stop it after the last."""

    def __init__(
        self, database: Database, owner_id: UUID, *, home: str, life_s: float, heartbeat_s: float
    ) -> None:
        """`home` is the home's identity: its next start knows that this process is dead."""
        self._database, self._owner_id, self._home = database, owner_id, home
        self._life_s, self._heartbeat_s = life_s, heartbeat_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0

    @property
    def lives(self) -> bool:
        """Whether nobody may take this process for dead, by its own clock."""
        return time.monotonic() < self._until

    async def start(self) -> None:
        """Take the lease and keep renewing it; raises psycopg.OperationalError."""
        await self._renew()
        self._task = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        """Give the lease up, when the database can be reached."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None and not self._connection.closed:
            with suppress(psycopg.Error), hanging_up(self._connection, LEASE_TIMEOUT_S):
                await self._connection.execute(
                    "DELETE FROM process_lease WHERE owner_id = %s", [self._owner_id]
                )
            await self._connection.close()

    async def _renew(self) -> None:
        if self._connection is None or self._connection.closed:
            timeout_s = CONNECT_TIMEOUT_S if self._task is None else RECONNECT_TIMEOUT_S
            self._connection = await self._database.connect_async(timeout_s)
        began = time.monotonic()
        with hanging_up(self._connection, LEASE_TIMEOUT_S):
            await self._connection.execute(
                "INSERT INTO process_lease (owner_id, home, expires_at) "
                "VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s)) "
                "ON CONFLICT (owner_id) DO UPDATE SET expires_at = excluded.expires_at",
                [self._owner_id, self._home, self._life_s],
            )
        self._until = began + self._life_s

    async def _beat(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(min(RETRY_S, self._heartbeat_s) if failing else self._heartbeat_s)
            try:
                await self._renew()
                failing = False
            except psycopg.Error as error:
                if not failing:
                    logger.warning("the lease could not be renewed, it is tried again: %s", error)
                failing = True
                if self._connection is not None:
                    await self._connection.close()


LAPSE_S = 30.0
"""Longest that a start waits for its home's leases, seconds: who rotates the secret locks them."""


def lapse_leases_of_home(database: Database, home: str) -> int:
    """End the leases of a home whose processes are known to be dead; returns how many.

    Raises psycopg.OperationalError, after LAPSE_S at the latest.
    """
    with database.connect(statement_s=LAPSE_S) as connection:
        return connection.execute("DELETE FROM process_lease WHERE home = %s", [home]).rowcount
