"""Windows that last, the monitor's rounds, and what checks found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

WINDOWS_MAX = 10_000
"""Most windows that are looked at, those that end first."""
CHECKS_MAX = 1_000
WINDOWS = (
    "SELECT provider, model, until, "
    "extract(epoch FROM until - clock_timestamp())::float8 FROM maintenance_window "
    f"WHERE until > clock_timestamp() ORDER BY until, provider, model LIMIT {WINDOWS_MAX}"
)
"""Rows of `WindowNow`."""


class WindowNow(NamedTuple):
    """A window that lasts, and for how long still, seconds; `model` is "" for a whole provider."""

    provider: str
    model: str
    until: datetime
    left_s: float


class MonitorNow(NamedTuple):
    """The monitor: whether it checks, when it did, and when it does next."""

    running: bool
    ended_at: datetime | None
    due_at: datetime | None


class Check(NamedTuple):
    """What the last check of a provider found; `error` is None where it went well."""

    provider: str
    checked_at: datetime
    latency_ms: int
    models: int | None
    error: str | None


def read_windows(connection: psycopg.Connection[Any]) -> list[WindowNow]:
    """All that last."""
    return [WindowNow(*row) for row in connection.execute(WINDOWS).fetchall()]


def read_monitor(connection: psycopg.Connection[Any]) -> MonitorNow:
    """As it is now."""
    row = connection.execute(
        "SELECT running, ended_at, CASE WHEN running AND isfinite(due_at) THEN due_at END "
        "FROM health_monitor"
    ).fetchone()
    assert row is not None
    return MonitorNow(*row)


def read_checks(connection: psycopg.Connection[Any]) -> dict[str, Check]:
    """By provider."""
    rows = connection.execute(
        "SELECT provider, checked_at, latency_ms, models, error FROM provider_check "
        f"ORDER BY checked_at DESC LIMIT {CHECKS_MAX}"
    ).fetchall()
    return {row[0]: Check(*row) for row in rows}


def keep_checks(connection: psycopg.Connection[Any], found: Sequence[Check]) -> None:
    """Keep what was found, unless something newer is kept already."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO provider_check AS c (provider, checked_at, latency_ms, models, error) "
            "VALUES (%s, %s, %s, %s, left(%s, 200)) ON CONFLICT (provider) DO UPDATE SET "
            "checked_at = excluded.checked_at, latency_ms = excluded.latency_ms, "
            "models = excluded.models, error = excluded.error "
            "WHERE c.checked_at <= excluded.checked_at",
            found,
        )


def take_round(connection: psycopg.Connection[Any], *, lease_s: float) -> bool:
    """Lease the monitor where a round is due and nobody has it; whether it is ours."""
    return (
        connection.execute(
            "UPDATE health_monitor "
            "SET leased_until = clock_timestamp() + make_interval(secs => %s) "
            "WHERE running AND due_at <= clock_timestamp() AND leased_until <= clock_timestamp() "
            "RETURNING true",
            [lease_s],
        ).fetchone()
        is not None
    )


def end_round(connection: psycopg.Connection[Any], *, next_s: float) -> None:
    """Let go of the monitor; the next round is due after so many seconds."""
    connection.execute(
        "UPDATE health_monitor SET leased_until = '-infinity', ended_at = clock_timestamp(), "
        "due_at = clock_timestamp() + make_interval(secs => %s)",
        [next_s],
    )
