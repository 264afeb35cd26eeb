"""Batches for tests, as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.batches.batch import Batch, Status, Wanted, cancel, create, end, replay, start
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp
    from event_store.postgres.database import Database


def tell_batches(database: Database, user_id: str, account_id: str, key_id: str) -> None:
    """One that was completed, and one that was cancelled."""
    wanted = Wanted(
        account_id=account_id,
        user_id=user_id,
        key_id=key_id,
        endpoint="/v1/embeddings",
        input_file_id=str(new_uuid7()),
        expires_at="2027-01-02T00:00:00.000000Z",
        price_percent=50,
    )

    def stamp() -> Stamp:
        return new_envelope(f"api_key:{key_id}")

    aggregates = Aggregates(database)
    try:
        for cancelled in (False, True):
            batch_id = new_uuid7()
            events: list[Event] = [*create(Batch(), batch_id, wanted, stamp())]
            events += start(replay(events), batch_id, 3, stamp())
            status = Status.COMPLETED
            if cancelled:
                events += cancel(replay(events), batch_id, stamp())
                status = Status.CANCELLED
            counts = {"completed": 2, "failed": 1}
            events += end(replay(events), batch_id, status, **counts, stamp=stamp())
            aggregates.append(events)
    finally:
        aggregates.close()
