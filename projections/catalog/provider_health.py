"""`provider_health`: attempts at each provider and model by minute, and the last error of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from domain.events.ledger import HoldResolved
from projections.call_facts import UNKNOWN, minute_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, counts, key, sums

if TYPE_CHECKING:
    from datetime import datetime

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

ERROR_CHARACTERS_MAX = 500

ATTEMPTS = Table(
    name="provider_attempt",
    about="Attempts in a minute; times in milliseconds.",
    columns=(
        key("minute", "timestamptz"),
        key("provider", "text"),
        key("model", "text"),
        *counts("attempts", "successes", "failures", "rate_limited"),
        *sums("total_latency_ms", "total_first_output_ms"),
        *counts("first_outputs"),
    ),
    time="minute",
    keep_days=30,
)
LAST_OUTCOME = Table(
    name="provider_last_outcome",
    about="The last success and the last error of a provider's model.",
    columns=(
        key("provider", "text"),
        key("model", "text"),
        Column("last_success_at", "timestamptz", Merge.MAX),
        Column("last_error", "text", Merge.LATEST, by="last_error_position"),
        Column("last_error_status", "integer", Merge.LATEST, by="last_error_position"),
        Column("last_error_at", "timestamptz", Merge.LATEST, by="last_error_position"),
        Column("last_error_position", "bigint", Merge.MAX, about="0 when there was none."),
    ),
)


class ProviderHealth(Projection):
    """See the module."""

    name = "provider_health"
    about = "Success, latency and last error of each provider's models."
    tables = (ATTEMPTS, LAST_OUTCOME)
    handles = (HoldResolved,)
    revision = 3

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count each attempt of a call that ended."""
        event = entry.event
        assert isinstance(event, HoldResolved)
        for attempt in event.attempts:
            _count(entry, attempt, changes)


def _count(entry: LogEntry, attempt: dict[str, Any], changes: Changes) -> None:
    at = attempt.get("started_at") or entry.event.effective_at
    where = (attempt.get("provider", UNKNOWN), attempt.get("model", UNKNOWN))
    error, status = attempt.get("error"), attempt.get("status")
    first = attempt.get("first_output_ms")
    figures = (
        1,
        1 if error is None else 0,
        0 if error is None else 1,
        1 if status == HTTPStatus.TOO_MANY_REQUESTS else 0,
        attempt.get("duration_ms") or 0,
        first or 0,
        0 if first is None else 1,
    )
    changes.merge(ATTEMPTS, (minute_of(at), *where), figures)
    if error is None:
        last: tuple[Any, ...] = (at, None, None, None, 0)
    else:
        last = (None, str(error)[:ERROR_CHARACTERS_MAX], status, at, entry.position)
    changes.merge(LAST_OUTCOME, where, last)


def read_provider_health(select: Select, *, since: datetime) -> list[dict[str, Any]]:
    """Success rate (parts per million) and mean latency since an instant, by provider, model."""
    rows = select(
        "SELECT a.provider, a.model, sum(a.attempts), sum(a.successes), "
        "sum(a.rate_limited), sum(a.total_latency_ms), max(o.last_error), "
        "max(o.last_error_at) "
        f"FROM {ATTEMPTS.view} a LEFT JOIN {LAST_OUTCOME.view} o USING (provider, model) "
        "WHERE a.minute >= %s GROUP BY 1, 2 ORDER BY 1, 2",
        [since],
    )
    return [
        {
            "provider": provider,
            "model": model,
            "attempts": attempts,
            "success_ppm": successes * 1_000_000 // attempts,
            "rate_limited": limited,
            "latency_ms": latency // attempts,
            "last_error": error,
            "last_error_at": at,
        }
        for provider, model, attempts, successes, limited, latency, error, at in rows
    ]
