"""`rate_limit_counters`: requests and tokens by minute, hour and day, of keys and accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.events.ledger import HoldPlaced, HoldSettled
from projections.call_facts import (
    MINUTE_CHARACTERS,
    UNKNOWN,
    counted_tokens,
    day_of,
    hour_of,
    key_id_of,
    minute_of,
)
from projections.engine.projection import Projection, select_on
from projections.engine.register import registered
from projections.engine.sinks.port import REDIS, SinkUnavailableError
from projections.engine.sinks.redis import RedisSink
from projections.engine.tables import Table, counts, key, sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from event_store.log.reading import LogEntry
    from projections.engine.sinks.port import Sink
    from projections.engine.tables import Changes, Row

KEEP_DAYS = 2
MIDNIGHT = "T00:00:00Z"

RATE_LIMIT_COUNTER = Table(
    name="rate_limit_counter",
    about="Requests begun and tokens charged in a window, which begins at `starts_at`.",
    columns=(
        key("starts_at", "timestamptz"),
        key("span", "text", "minute, hour or day"),
        key("scope", "text", "key or account"),
        key("scope_id", "text"),
        *counts("requests"),
        *sums("tokens"),
    ),
    members=2,
    time="starts_at",
    keep_days=KEEP_DAYS,
)


class RateLimitCounters(Projection):
    """See the module."""

    name = "rate_limit_counters"
    about = "Requests and tokens in windows of a minute, an hour, a day."
    tables = (RATE_LIMIT_COUNTER,)
    handles = (HoldPlaced, HoldSettled)
    in_redis = True
    revision = 2

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count a request when its hold is placed, its tokens when it is settled."""
        event = entry.event
        if isinstance(event, HoldPlaced):
            figures = (1, 0)
        else:
            assert isinstance(event, HoldSettled)
            figures = (0, counted_tokens(event))
        at = event.effective_at
        # A busy key calls many times a minute: find its rows once, then count in them.
        where = (at[:MINUTE_CHARACTERS], event.account_id, event.actor)
        rows = changes.memo.get(where)
        if rows is None:
            rows = changes.memo[where] = _rows(event, changes)
        for row in rows:
            row[0] += figures[0]
            row[1] += figures[1]


SPANS = ("minute", "hour", "day")


def windows_at(instant: str) -> dict[str, str]:
    """The begin of each window that an instant lies in, by span."""
    begins = (minute_of(instant), hour_of(instant), day_of(instant) + MIDNIGHT)
    return dict(zip(SPANS, begins, strict=True))


def read_key_windows(
    connection: psycopg.Connection[Any],
    sinks: Mapping[str, Sink],
    windows: Mapping[str, str],
    key_ids: list[str],
) -> dict[tuple[str, str], tuple[int, int]]:
    """Requests and tokens by span and key; raises SinkUnavailableError."""
    wanted = set(key_ids)
    found = {}
    for span, begin in windows.items():
        condition, values = "AND scope = 'key' AND scope_id = ANY (%s)", [key_ids]
        for row in _window(connection, sinks, begin, span, (condition, values)):
            if row[2] == "key" and row[3] in wanted:
                found[span, str(row[3])] = (int(row[4]), int(row[5]))
    return found


def read_system_windows(
    connection: psycopg.Connection[Any], sinks: Mapping[str, Sink], windows: Mapping[str, str]
) -> dict[str, tuple[int, int, int]]:
    """Requests, tokens and active keys by span; raises SinkUnavailableError."""
    found = {}
    for span, begin in windows.items():
        rows = [row for row in _window(connection, sinks, begin, span) if row[2] == "key"]
        figures = (sum(int(row[4]) for row in rows), sum(int(row[5]) for row in rows), len(rows))
        found[span] = figures
    return found


def _window(
    connection: psycopg.Connection[Any],
    sinks: Mapping[str, Sink],
    begin: str,
    span: str,
    more: tuple[str, list[Any]] = ("", []),
) -> Iterable[Row]:
    """The rows of one window, wherever they are kept."""
    version, kept_in = registered(connection, _COUNTERS)
    if kept_in == REDIS:
        sink = sinks.get(REDIS)
        if not isinstance(sink, RedisSink):
            message = "rate limit counters are kept in Redis, which is not configured here"
            raise SinkUnavailableError(message)
        return sink.leading(RATE_LIMIT_COUNTER, version, begin, span)
    condition, values = more
    return select_on(connection)(
        f"SELECT {', '.join(RATE_LIMIT_COUNTER.names)} FROM {RATE_LIMIT_COUNTER.view} "
        f"WHERE starts_at = %s AND span = %s {condition}",
        [begin, span, *values],
    )


_COUNTERS = RateLimitCounters()


def _rows(event: HoldPlaced | HoldSettled, changes: Changes) -> list[list[int]]:
    """The counters of every window and scope that an event falls into."""
    at = event.effective_at
    scopes = [("account", event.account_id)]
    key_id = key_id_of(event.actor)
    if key_id != UNKNOWN:
        scopes.append(("key", key_id))
    windows = (
        (minute_of(at), "minute"),
        (hour_of(at), "hour"),
        (day_of(at) + MIDNIGHT, "day"),
    )
    return [
        changes.row(RATE_LIMIT_COUNTER, (*window, *scope)) for window in windows for scope in scopes
    ]
