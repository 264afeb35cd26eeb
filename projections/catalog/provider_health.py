"""`provider_health`: attempts at each provider and model by minute, and the last error of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.ledger import HoldResolved
from domain.routing.verdicts import Verdict, verdict_of
from projections.call_facts import UNKNOWN, minute_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, counts, key, sums

if TYPE_CHECKING:
    from datetime import datetime

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

ERROR_CHARACTERS_MAX = 500
OURS = frozenset(
    {"cancelled", "client_disconnected", "gateway_stopped", "hedge_lost", "internal_error"}
)
"""Errors of attempts that were given up, or that we failed ourselves."""
TRIED_MAX = 50_000
"""Most models of which it is read what was tried."""

ATTEMPTS = Table(
    name="provider_attempt",
    about="Attempts in a minute; times in milliseconds, those of `neutral` attempts left out.",
    columns=(
        key("minute", "timestamptz"),
        key("provider", "text"),
        key("model", "text"),
        *counts("attempts", "successes", "failures", "rate_limited"),
        *sums("total_latency_ms", "total_first_output_ms"),
        *counts("first_outputs"),
        Column("neutral", "bigint", Merge.SUM, about="Attempts that say nothing of the provider."),
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
    revision = 4

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count each attempt of a call that ended."""
        event = entry.event
        assert isinstance(event, HoldResolved)
        for attempt in event.attempts:
            if attempt.get("own_key"):
                continue  # How a customer's own key does says nothing of others' calls.
            _count(entry, attempt, changes)


def _count(entry: LogEntry, attempt: dict[str, Any], changes: Changes) -> None:
    at = attempt.get("started_at") or entry.event.effective_at
    where = (attempt.get("provider", UNKNOWN), attempt.get("model", UNKNOWN))
    error, status = attempt.get("error"), attempt.get("status")
    first = attempt.get("first_output_ms")
    neutral = error is not None and _is_neutral(str(error), status)
    figures = (
        1,
        1 if error is None else 0,
        0 if error is None else 1,
        1 if status == HTTPStatus.TOO_MANY_REQUESTS else 0,
        0 if neutral else attempt.get("duration_ms") or 0,
        first or 0,
        0 if first is None else 1,
        1 if neutral else 0,
    )
    changes.merge(ATTEMPTS, (minute_of(at), *where), figures)
    if neutral:
        return
    if error is None:
        last: tuple[Any, ...] = (at, None, None, None, 0)
    else:
        last = (None, str(error)[:ERROR_CHARACTERS_MAX], status, at, entry.position)
    changes.merge(LAST_OUTCOME, where, last)


def _is_neutral(error: str, status: int | None) -> bool:
    """Whether a failure is the caller's or ours: it says nothing of how the provider is doing."""
    if error in OURS:
        return True
    return status is not None and verdict_of(status) in {Verdict.CALLER, Verdict.SKIPPED}


def read_provider_health(select: Select, *, since: datetime) -> list[dict[str, Any]]:
    """Success rate (parts per million) and mean latency since an instant, by provider, model.

    What says nothing of the provider does not count.
    """
    rows = select(
        "SELECT a.provider, a.model, sum(a.attempts - a.neutral), sum(a.successes), "
        "sum(a.rate_limited), sum(a.total_latency_ms), max(o.last_error), "
        "max(o.last_error_at) "
        f"FROM {ATTEMPTS.view} a LEFT JOIN {LAST_OUTCOME.view} o USING (provider, model) "
        "WHERE a.minute >= %s GROUP BY 1, 2 HAVING sum(a.attempts - a.neutral) > 0 ORDER BY 1, 2",
        [since],
    )
    return [
        {
            "provider": provider,
            "model": model,
            "attempts": attempts,
            "success_ppm": successes * 1_000_000 // attempts,
            "rate_limited": limited,
            "latency_ms": int(latency // attempts),
            "last_error": error,
            "last_error_at": at,
        }
        for provider, model, attempts, successes, limited, latency, error, at in rows
    ]


class Tried(NamedTuple):
    """Attempts at a provider's model: of late, and over a longer time; their ends. Milliseconds.

    Of `minutes` with attempts that say something, `up` had a success.
    """

    provider: str
    model: str
    late_attempts: int
    late_successes: int
    late_latency_ms: int
    attempts: int
    successes: int
    latency_ms: int
    minutes: int
    up: int
    last_success_at: datetime | None
    last_error_at: datetime | None
    last_error: str | None


def read_attempts(select: Select, *, late: datetime, since: datetime) -> list[Tried]:
    """What was tried since an instant, and since a later one; those asked most come first."""
    rows = select(
        "SELECT t.*, o.last_success_at, o.last_error_at, o.last_error FROM ("
        "SELECT provider, model, "
        "coalesce(sum(attempts - neutral) FILTER (WHERE minute >= %s), 0)::bigint, "
        "coalesce(sum(successes) FILTER (WHERE minute >= %s), 0)::bigint, "
        "coalesce(sum(total_latency_ms) FILTER (WHERE minute >= %s), 0)::bigint, "
        "sum(attempts - neutral)::bigint, sum(successes)::bigint, sum(total_latency_ms)::bigint, "
        "count(*) FILTER (WHERE attempts > neutral), count(*) FILTER (WHERE successes > 0) "
        f"FROM {ATTEMPTS.view} WHERE minute >= %s GROUP BY 1, 2 ORDER BY 6 DESC LIMIT %s"
        f") t LEFT JOIN {LAST_OUTCOME.view} o USING (provider, model)",
        [late, late, late, since, TRIED_MAX],
    )
    return [Tried(*row) for row in rows]
