"""One batch: events evolve its state, commands decide its events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.errors import DomainError
from domain.events.work.batches import (
    BatchCancelled,
    BatchCreated,
    BatchEnded,
    BatchEvent,
    BatchStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import Event, Stamp


class Status(StrEnum):
    """Where a batch stands, by OpenAI's names; `finalizing` is seen of its tables alone."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OPEN = frozenset({Status.VALIDATING, Status.IN_PROGRESS, Status.CANCELLING})
"""Those that have an end before them."""
ENDS = frozenset(Status) - OPEN
FROM: dict[Status, frozenset[Status]] = {
    Status.COMPLETED: frozenset({Status.IN_PROGRESS}),
    Status.FAILED: OPEN,
    Status.EXPIRED: frozenset({Status.VALIDATING, Status.IN_PROGRESS}),
    Status.CANCELLED: frozenset({Status.CANCELLING}),
}
"""Each end, and where a batch stands before it."""


class BatchEndedError(DomainError):
    """What has ended is neither cancelled nor ended again."""

    code = "batch_ended"


@dataclass(frozen=True, slots=True)
class Batch:
    """The state of a batch; version 0 is of none."""

    version: int = 0
    account_id: str = ""
    status: Status = Status.VALIDATING


def evolve(state: Batch, event: BatchEvent) -> Batch:
    """The state after the next event."""
    status = state.status
    match event:
        case BatchStarted():
            status = Status.IN_PROGRESS
        case BatchCancelled():
            status = Status.CANCELLING
        case BatchEnded():
            status = Status(event.status)
        case _:
            pass
    return Batch(event.originator_version, event.account_id, status)


def replay(events: Iterable[Event]) -> Batch:
    """The state after all events of a batch's stream."""
    state = Batch()
    for event in events:
        if isinstance(event, BatchEvent):
            state = evolve(state, event)
    return state


class Wanted(NamedTuple):
    """What is asked of a batch; see `BatchCreated`."""

    account_id: str
    user_id: str
    key_id: str
    endpoint: str
    input_file_id: str
    expires_at: str
    price_percent: int


def create(state: Batch, batch_id: UUID, wanted: Wanted, stamp: Stamp) -> list[BatchEvent]:
    """A new batch; nothing where there is one."""
    if state.version:
        return []
    return [BatchCreated(originator_id=batch_id, originator_version=1, **stamp, **wanted._asdict())]


def start(state: Batch, batch_id: UUID, requests: int, stamp: Stamp) -> list[BatchEvent]:
    """Its requests begin; nothing where they have begun, or it was cancelled meanwhile."""
    if state.status is not Status.VALIDATING:
        return []
    return [BatchStarted(**_next(state, batch_id), **stamp, requests=requests)]


def cancel(state: Batch, batch_id: UUID, stamp: Stamp) -> list[BatchEvent]:
    """No more requests begin; nothing where that is so. Raises BatchEndedError."""
    if state.status in ENDS:
        message = f"a batch that is {state.status} cannot be cancelled"
        raise BatchEndedError(message)
    if state.status is Status.CANCELLING:
        return []
    return [BatchCancelled(**_next(state, batch_id), **stamp)]


def end(
    state: Batch, batch_id: UUID, status: Status, *, completed: int, failed: int, stamp: Stamp
) -> list[BatchEvent]:
    """It ends so; nothing where it has ended, or does not stand where that end comes from.

    Whoever ran a batch may learn late that it was cancelled, and decides anew.
    """
    if state.status not in FROM[status]:
        return []
    made = _next(state, batch_id)
    return [BatchEnded(**made, **stamp, status=str(status), completed=completed, failed=failed)]


def _next(state: Batch, batch_id: UUID) -> dict[str, Any]:
    return {
        "originator_id": batch_id,
        "originator_version": state.version + 1,
        "account_id": state.account_id,
    }
