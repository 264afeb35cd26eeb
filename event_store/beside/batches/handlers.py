"""What the events of a batch change beside the log, in the transaction that saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.work.batches import BatchCancelled, BatchCreated, BatchEnded, BatchStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_BOOKED = (
    "(SELECT e.booked_at FROM events e WHERE e.originator_id = %(stream)s "
    "AND e.originator_version = %(version)s)"
)


def _apply(statement: str) -> Handler:
    """A handler that executes a statement with the fact's members."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        own = {"stream": stored.originator_id, "version": stored.originator_version}
        cursor.execute(statement.encode(), {**fact, **own})

    return handle


HANDLERS: Mapping[str, Handler] = {
    BatchCreated.TOPIC: _apply(
        "INSERT INTO batch (batch_id, version, account_id, user_id, key_id, status, endpoint, "
        "input_file_id, price_percent, created_at, expires_at) VALUES (%(stream)s, %(version)s, "
        "%(account_id)s, %(user_id)s, %(key_id)s, 'validating', %(endpoint)s, %(input_file_id)s, "
        f"%(price_percent)s, {_BOOKED}, %(expires_at)s)"
    ),
    BatchStarted.TOPIC: _apply(
        "UPDATE batch SET version = %(version)s, status = 'in_progress', total = %(requests)s, "
        f"in_progress_at = {_BOOKED} WHERE batch_id = %(stream)s"
    ),
    BatchCancelled.TOPIC: _apply(
        "UPDATE batch SET version = %(version)s, status = 'cancelling', "
        f"cancelling_at = {_BOOKED} WHERE batch_id = %(stream)s"
    ),
    BatchEnded.TOPIC: _apply(
        "UPDATE batch SET version = %(version)s, status = %(status)s, runner_id = NULL, "
        f"ended_at = {_BOOKED} WHERE batch_id = %(stream)s"
    ),
}
