"""Resolves what dead processes left behind (P2, money rule 11).

Touches only holds of owners without a live lease: a spooled outcome is appended, and a hold
past its life without one is expired, its estimated provider cost booked as house loss. The
append checks lease and life once more under its lock. Also drops kept replies and leases past
their time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg

from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.errors import EntryRefusedError
from event_store.ids import new_uuid7, now_iso
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Container
    from uuid import UUID

    from event_store.append.committer import Committer
    from event_store.append.spool import Spool
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.sweeper")

SWEEP_HOLDS_MAX = 1_000
LEASES_KEPT_DAYS = 7
RECONCILE_TIMEOUT_S = 5.0
STATEMENT_S = 10.0
"""Longest statement of a sweep, seconds."""
_OLD_REPLIES = (
    "DELETE FROM idempotent_reply WHERE stored_at < clock_timestamp() - make_interval(hours => %s)"
)
_OLD_RESPONSES = (
    "DELETE FROM kept_response WHERE expires_at < clock_timestamp() - make_interval(hours => %s)"
)
_OLD_ANSWERS = (
    "DELETE FROM semantic_entry WHERE expires_at < clock_timestamp() - make_interval(hours => %s)"
)
_OLD_SHARED = (
    "DELETE FROM shared_answer WHERE expires_at < clock_timestamp() - make_interval(hours => %s)"
)
_OLD_LEASES = (
    "DELETE FROM process_lease WHERE expires_at < clock_timestamp() - make_interval(days => %s)"
)
LEFT_BEHIND = "the process that owned the call is gone and left no outcome"
LEFT_OPEN = "the process that owns the call lives and has no outcome for it"


@dataclass(slots=True)
class Sweep:
    """What one sweep did."""

    settled: int = 0
    expired: int = 0


class Sweeper:
    """Sweeps one home's spool and one database's holds."""

    def __init__(
        self, database: Database, committer: Committer, spool: Spool, *, reply_hours: int
    ) -> None:
        """`reply_hours` is how long a reply is kept for its idempotency key."""
        self._database, self._committer, self._spool = database, committer, spool
        self._reply_hours = reply_hours

    async def sweep(self) -> Sweep:
        """One pass.

        Raises psycopg.OperationalError or LedgerUnavailableError when the database is away.
        """
        done = Sweep()
        connection = await self._database.connect_async(statement_s=STATEMENT_S)
        async with connection:
            unfinished = await asyncio.to_thread(self._spool.unfinished_owners)
            for owner_id in sorted(unfinished.union(self._spool.owners())):
                if not await self._alive(connection, owner_id):
                    await asyncio.to_thread(self._spool.take_up_unfinished, owner_id)
                    done.settled += await self._spool.drain(self._committer, owner_id)
            # A drain may have been cut off: what it left has an outcome, and must not expire.
            waiting = await asyncio.to_thread(self._spool.calls_of_all)
            cursor = await connection.execute(
                "SELECT h.call_id, h.account_id, h.owner_id FROM open_hold h "
                "LEFT JOIN process_lease p ON p.owner_id = h.owner_id "
                "AND p.expires_at > clock_timestamp() "
                "WHERE p.owner_id IS NULL AND h.expires_at <= booking_clock() "
                "AND h.call_id <> ALL (%s) LIMIT %s",
                [list(waiting), SWEEP_HOLDS_MAX],
            )
            for call_id, account_id, owner_id in await cursor.fetchall():
                done.expired += await self._expire(call_id, account_id, owner_id)
            await self._tidy(connection)
        if done.settled or done.expired:
            logger.warning("swept: %d settled from spool, %d expired", done.settled, done.expired)
        return done

    async def _expire(self, call_id: UUID, account_id: UUID, owner_id: UUID) -> bool:
        try:
            answer = await self._committer.append(expiry(call_id, account_id, owner_id))
        except EntryRefusedError:
            logger.exception("the hold of call %s cannot be expired; the rest goes on", call_id)
            return False
        return answer.code == AppendCode.OK

    @staticmethod
    async def _alive(connection: Any, owner_id: UUID) -> bool:
        cursor = await connection.execute(
            "SELECT FROM process_lease WHERE owner_id = %s AND expires_at > clock_timestamp()",
            [owner_id],
        )
        return await cursor.fetchone() is not None

    async def _tidy(self, connection: Any) -> None:
        """What cannot be tidied now is tidied by a later sweep: holds come first."""
        for statement, value in (
            (_OLD_REPLIES, self._reply_hours),
            (_OLD_RESPONSES, 0),
            (_OLD_ANSWERS, 0),
            (_OLD_SHARED, 0),
            (_OLD_LEASES, LEASES_KEPT_DAYS),
        ):
            try:
                await connection.execute(statement, [value])
            except psycopg.errors.QueryCanceled:
                logger.warning(
                    "old replies, responses or leases are locked: a later sweep removes them"
                )


class OwnHolds:
    """What a living process does about its own holds past their life (money rule 11).

    An outcome that waits in the spool is left to the drain, and a call in flight to itself.
    """

    def __init__(
        self, database: Database, committer: Committer, spool: Spool, owner_id: UUID
    ) -> None:
        """Of one process; the append takes an expiry of its holds from nobody else."""
        self._database, self._committer, self._spool = database, committer, spool
        self._owner_id = owner_id

    async def reconcile(self, live: Container[bytes]) -> int:
        """Expire what has neither an outcome nor a call in `live`; returns how many.

        Raises psycopg.OperationalError or LedgerUnavailableError when the database is away.
        """
        connection = await self._database.connect_async()
        async with connection:
            with hanging_up(connection, RECONCILE_TIMEOUT_S):
                cursor = await connection.execute(
                    "SELECT call_id, account_id FROM open_hold "
                    "WHERE owner_id = %s AND expires_at <= booking_clock() LIMIT %s",
                    [self._owner_id, SWEEP_HOLDS_MAX],
                )
                found = await cursor.fetchall()
        waiting = self._spool.calls() if found else set()
        expired = 0
        for call_id, account_id in found:
            if call_id in waiting or call_id.bytes in live:
                continue
            entry = expiry(call_id, account_id, self._owner_id, LEFT_OPEN)
            try:
                answer = await self._committer.append(entry)
            except EntryRefusedError:
                logger.exception("the hold of call %s cannot be expired", call_id)
                continue
            expired += answer.code == AppendCode.OK
        if expired:
            logger.error("%d holds of our own were left open and are expired", expired)
        return expired


def expiry(call_id: UUID, account_id: UUID, owner_id: UUID, reason: str = LEFT_BEHIND) -> Entry:
    """The entry that expires one hold."""
    state = msgspec.json.encode(
        {
            "id": str(new_uuid7()),
            "effective_at": now_iso(),
            "actor": "system:sweeper",
            "correlation_id": str(call_id),
            "causation_id": str(owner_id),
            "account_id": str(account_id),
            "reason": reason,
        }
    )
    return Entry(EntryKind.EXPIRE, call_id.bytes, account_id.bytes, 0, state[:-1])
