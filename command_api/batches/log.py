"""The events of batches, appended to their streams with what stands beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.batches.batch import cancel, create, end, replay, start
from edge.errors import ledger_unavailable
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.people import People
    from domain.batches.batch import Batch, Status, Wanted
    from domain.events.work.batches import BatchEvent

TRIES_MAX = 5
"""How often it is decided anew because somebody else was quicker."""
ACTOR = "system:batches"
_OWN = "UPDATE batch SET owner_id = %s, sealed = %s WHERE batch_id = %s"
_FILES = "UPDATE batch SET output_file_id = %s, error_file_id = %s, errors = %s WHERE batch_id = %s"
_OPEN = "SELECT count(*) AS open FROM batch WHERE account_id = %s AND ended_at IS NULL"
_DROP = "DELETE FROM batch_result WHERE batch_id = %s"


class TooManyBatchesError(Exception):
    """The account has as many batches that have not ended as it may."""


class BatchLog:
    """The commands; one for each process. All raise ApiError 503."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self._people = people

    async def create(
        self,
        batch_id: UUID,
        wanted: Wanted,
        actor: str,
        owner_id: UUID,
        sealed: bytes,
        open_max: int,
    ) -> bool:
        """A new batch, with what is sealed of it; False where there is one with this id.

        Raises TooManyBatchesError where more than `open_max` of its account had not ended.
        """
        return await self._append(
            batch_id,
            lambda state: create(state, batch_id, wanted, new_envelope(actor)),
            [(_OWN, [owner_id, sealed, batch_id])],
            (UUID(wanted.account_id), open_max),
        )

    async def start(self, batch_id: UUID, requests: int) -> bool:
        """Its requests begin; False where it is cancelled."""
        return await self._append(
            batch_id, lambda state: start(state, batch_id, requests, new_envelope(ACTOR))
        )

    async def cancel(self, batch_id: UUID, actor: str) -> bool:
        """No more of its requests begin. Raises BatchEndedError."""
        return await self._append(
            batch_id, lambda state: cancel(state, batch_id, new_envelope(actor))
        )

    async def end(
        self,
        batch_id: UUID,
        status: Status,
        counts: tuple[int, int],
        files: tuple[UUID | None, UUID | None] = (None, None),
        errors: bytes | None = None,
    ) -> bool:
        """It has ended, with these files; False where it cannot have ended so."""
        completed, failed = counts
        return await self._append(
            batch_id,
            lambda state: end(
                state,
                batch_id,
                status,
                completed=completed,
                failed=failed,
                stamp=new_envelope(ACTOR),
            ),
            [(_FILES, [*files, errors, batch_id]), (_DROP, [batch_id])],
        )

    async def _append(
        self,
        batch_id: UUID,
        decide: Callable[[Batch], Sequence[BatchEvent]],
        beside: Sequence[tuple[str, list[Any]]] = (),
        most: tuple[UUID, int] | None = None,
    ) -> bool:
        try:
            return await self._people.run(self._decided, batch_id, decide, beside, most)
        except (PersistenceError, psycopg.Error):
            raise ledger_unavailable() from None

    def _decided(
        self,
        batch_id: UUID,
        decide: Callable[[Batch], Sequence[BatchEvent]],
        beside: Sequence[tuple[str, list[Any]]],
        most: tuple[UUID, int] | None,
    ) -> bool:
        """Whether anything followed; blocks."""
        for tried in range(1, TRIES_MAX + 1):
            events = decide(replay(self._people.events.events_of(batch_id)))
            if not events:
                return False
            try:
                self._people.events.append(events, lambda cursor: _write(cursor, beside, most))
            except IntegrityError:
                if tried == TRIES_MAX:
                    raise
            else:
                break
        return True


def _write(
    cursor: Cursor[DictRow],
    beside: Sequence[tuple[str, list[Any]]],
    most: tuple[UUID, int] | None,
) -> None:
    """What stands beside the events; raises TooManyBatchesError, and then neither stands."""
    for statement, values in beside:
        cursor.execute(statement.encode(), values)
    if most is None:
        return
    # Behind the lock of the append: nobody makes another one at this instant.
    row = cursor.execute(_OPEN.encode(), [most[0]]).fetchone()
    if row is not None and row["open"] > most[1]:
        raise TooManyBatchesError
