"""Compares the state of batches with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.batches.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.batches.all import AllBatches


def batch_differences(connection: psycopg.Connection[Any], logged: AllBatches) -> Iterator[str]:
    """Every batch whose state differs."""
    rows = connection.execute("SELECT batch_id, version, account_id, status FROM batch").fetchall()
    stored = {
        batch_id: (version, str(account), status) for batch_id, version, account, status in rows
    }
    for batch_id in sorted(stored.keys() | logged.by_id.keys()):
        told = logged.by_id.get(batch_id, Batch())
        here, said = stored.get(batch_id), (told.version, told.account_id, str(told.status))
        if here != said:
            yield f"batch {batch_id}: stored {here!r}, the log says {said!r}"
