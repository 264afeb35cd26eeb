"""Finds what a time is in the log: its position, its day, and which periods were closed by then."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.books.periods import Close
from domain.events.access import BOOKS, PeriodClosed
from event_store.log.reading import booking_now, head_position, position_at, read_stream
from projections.engine.freshness import (
    WAIT_STEP_S,
    WANTED_CHANNEL,
    ProjectionLaggingError,
    progress_of,
)
from projections.money.books import AsOf

if TYPE_CHECKING:
    import psycopg

    from projections.engine.projection import Projection

    Connection = psycopg.Connection[Any]

TICK = timedelta(microseconds=1)
BEGIN = date(1970, 1, 1)


class AsOfError(ValueError):
    """A time that cannot be answered for: it has not come yet."""


class Time(NamedTuple):
    """What is asked for: a position, the time before an instant, or None for now.

    With `effective`, what is dated before the instant counts, whenever it was booked.
    """

    at: int | datetime | None = None
    effective: bool = False


def read_closes(connection: Connection, head: int | None = None) -> list[Close]:
    """The closes of periods, in the order of the log, up to a position."""
    return [
        Close(entry.position, entry.event.until)
        for entry in read_stream(connection, BOOKS)
        if isinstance(entry.event, PeriodClosed) and (head is None or entry.position <= head)
    ]


def find_times(
    connection: Connection, projection: Projection, asked: tuple[Time, ...], *, wait_s: float
) -> list[AsOf]:
    """What the times are in the log, as far as the projection has come.

    Waits for a bounded time until it has passed them; now is where it then stands. Raises
    AsOfError, and ProjectionLaggingError for what lies behind that.
    """
    now, newest = booking_now(connection), head_position(connection)
    wanted = [_position(connection, each, now, newest) for each in asked]
    head = _await(connection, projection, newest, wait_s)
    if (needed := max((each for each in wanted if each is not None), default=0)) > head:
        raise ProjectionLaggingError(projection.name, needed - head)
    closes = read_closes(connection, head)
    return [
        _as_of(connection, each, head if position is None else position, head, closes)
        for each, position in zip(asked, wanted, strict=True)
    ]


def _position(connection: Connection, asked: Time, now: datetime, newest: int) -> int | None:
    match asked.at:
        case int(position):
            if position > newest:
                message = f"the log has no position {position} yet: it ends at {newest}"
                raise AsOfError(message)
            return position
        case datetime() as instant:
            if instant > now:
                message = f"{instant.isoformat()} has not come yet: it is {now.isoformat()}"
                raise AsOfError(message)
            return (
                0
                if instant <= datetime.min.replace(tzinfo=UTC) + TICK
                else position_at(connection, instant - TICK)
            )
    return None


def _await(connection: Connection, projection: Projection, head: int, wait_s: float) -> int:
    """Where the projection stands once it has passed the head, or time is over."""
    until = time.monotonic() + wait_s
    if progress_of(connection, projection) < head:
        connection.execute(f"NOTIFY {WANTED_CHANNEL}")
    while (reached := progress_of(connection, projection)) < head and time.monotonic() < until:
        time.sleep(WAIT_STEP_S)
    return reached


def _as_of(
    connection: Connection, asked: Time, position: int, head: int, closes: list[Close]
) -> AsOf:
    row = connection.execute(
        "SELECT booked_at FROM events WHERE notification_id <= %s "
        "ORDER BY notification_id DESC LIMIT 1",
        [position],
    ).fetchone()
    day, begins = BEGIN, 0
    if row is not None:
        day = row[0].astimezone(UTC).date()
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        begins = position_at(connection, midnight - TICK)
    instant = asked.at if asked.effective and isinstance(asked.at, datetime) else None
    return AsOf(position, day, begins, head, instant, closes)
