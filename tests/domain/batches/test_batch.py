"""The life of a batch, by its rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain.batches.all import AllBatches
from domain.batches.batch import (
    ENDS,
    OPEN,
    Batch,
    BatchEndedError,
    Status,
    Wanted,
    cancel,
    create,
    end,
    replay,
    start,
)
from domain.events.profile import UserDeleted

ID = UUID(int=7)
STAMP: Any = {"id": "e", "effective_at": "t", "actor": "a", "correlation_id": "c"}
WANTED = Wanted("account", "user", "key", "/v1/embeddings", "file", "later", 50)


def finish(events: list[Any], status: Status) -> list[Any]:
    """What follows from an end."""
    return [*end(replay(events), ID, status, completed=2, failed=1, stamp=STAMP)]


def test_it_is_created_started_and_ended_once() -> None:
    """What is done again changes nothing (P3)."""
    events: list[Any] = [*create(Batch(), ID, WANTED, STAMP)]
    assert replay(events) == Batch(1, "account", Status.VALIDATING)
    assert (events[0].price_percent, events[0].key_id, events[0].stream) == (
        50,
        "key",
        f"batch-{ID}",
    )
    assert create(replay(events), ID, WANTED, STAMP) == []
    events += start(replay(events), ID, 3, STAMP)
    assert events[-1].requests == 3
    assert start(replay(events), ID, 3, STAMP) == []
    events += finish(events, Status.COMPLETED)
    assert (events[-1].status, events[-1].completed, events[-1].failed) == ("completed", 2, 1)
    assert replay(events) == Batch(3, "account", Status.COMPLETED)
    assert [finish(events, each) for each in ENDS] == [[]] * len(ENDS)
    with pytest.raises(BatchEndedError, match="completed"):
        cancel(replay(events), ID, STAMP)


def test_what_was_cancelled_ends_so() -> None:
    """Whoever ran it cannot complete it any more, whether it had begun or not (P8)."""
    for began in (False, True):
        events: list[Any] = [*create(Batch(), ID, WANTED, STAMP)]
        if began:
            events += start(replay(events), ID, 3, STAMP)
        events += cancel(replay(events), ID, STAMP)
        assert cancel(replay(events), ID, STAMP) == []
        assert start(replay(events), ID, 3, STAMP) == []
        assert finish(events, Status.COMPLETED) == finish(events, Status.EXPIRED) == []
        assert finish(events, Status.FAILED) != []
        assert replay([*events, *finish(events, Status.CANCELLED)]).status == "cancelled"


def test_ends_come_from_where_they_may() -> None:
    """What never began is not completed; what was not cancelled does not end so (P8)."""
    events: list[Any] = [*create(Batch(), ID, WANTED, STAMP)]
    assert finish(events, Status.COMPLETED) == finish(events, Status.CANCELLED) == []
    assert finish(events, Status.EXPIRED) != []
    assert set(Status) == OPEN | ENDS


def test_all_are_folded() -> None:
    """By their ids; what is about something else is passed over (P8)."""
    every, events = AllBatches(), create(Batch(), ID, WANTED, STAMP)
    gone = UserDeleted(originator_id=ID, originator_version=1, **STAMP)
    for each in (*events, gone, *start(Batch(1, "account"), ID, 2, STAMP)):
        every.apply(each)
    assert every.by_id == {ID: Batch(2, "account", Status.IN_PROGRESS)}
    assert replay([gone]) == Batch()
