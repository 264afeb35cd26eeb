"""`rate_limit_counters`: requests and tokens by minute, hour and day, of keys and accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from projections.engine.projection import Projection
from projections.engine.tables import Table, counts, key, sums

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from projections.engine.tables import Changes

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
