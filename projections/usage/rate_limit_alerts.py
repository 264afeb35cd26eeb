"""`rate_limit_alerts`: whose requests were refused, how often and why, by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.events.limits import RateLimitsRefused
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, key

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

ALERTS = Table(
    name="rate_limit_alert",
    about="Requests that one process refused for a scope's limits, in an hour, for a reason.",
    columns=(
        key("position", "bigint"),
        key("reason", "text"),
        Column(
            "scope",
            "text",
            Merge.ONCE,
            about="one of the scopes of limits",
        ),
        Column("scope_id", "uuid", Merge.ONCE),
        Column("starts_at", "timestamptz", Merge.ONCE),
        Column("booked_at", "timestamptz", Merge.ONCE),
        *amounts("refused", about="Requests."),
    ),
    appended=True,
    indexes=("scope_id, position DESC",),
)


class RateLimitAlerts(Projection):
    """See the module."""

    name = "rate_limit_alerts"
    about = "Requests refused for rate limits, by hour and reason."
    tables = (ALERTS,)
    handles = (RateLimitsRefused,)

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """A row for each reason."""
        event = entry.event
        assert isinstance(event, RateLimitsRefused)
        for reason, count in sorted(event.reasons.items()):
            row = (entry.position, reason, event.scope, event.scope_id, event.starts_at)
            changes.append(ALERTS, (*row, entry.booked_at, count))


def read_alerts(select: Select, *, scope_id: str | None, limit: int) -> list[tuple[Any, ...]]:
    """The newest: position, reason, scope, its id, begin of the hour, when told, count."""
    condition = "" if scope_id is None else "WHERE scope_id = %s "
    return list(
        select(
            f"SELECT {', '.join(ALERTS.names)} FROM {ALERTS.view} {condition}"
            "ORDER BY position DESC, reason LIMIT %s",
            [limit] if scope_id is None else [scope_id, limit],
        )
    )
