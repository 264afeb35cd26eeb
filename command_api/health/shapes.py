"""The words in which the board is told: names that clients of older gateways know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.availability.standing import Availability, Health, Line
from event_store.ids import to_iso

if TYPE_CHECKING:
    from datetime import datetime

    from command_api.health.queries import Board, ModelState, ProviderState
    from event_store.beside.upkeep.reading import Check, WindowNow

PPM_OF_PERCENT = 10_000
PLACES = 2


def percent(ppm: int | None) -> float | None:
    """Parts per million as a percentage, for people."""
    return None if ppm is None else round(ppm / PPM_OF_PERCENT, PLACES)


def instant(at: datetime | None) -> str | None:
    """ISO 8601, UTC."""
    return None if at is None else to_iso(at)


def model_line(each: ModelState) -> dict[str, Any]:
    """A line of /health/models."""
    return {
        "model_id": each.model,
        "provider": each.provider,
        "gateway": each.provider,
        "status": each.health,
        "response_time_ms": each.latency_ms,
        "success_rate": percent(each.late.success_ppm),
        "last_checked": instant(each.last_checked),
        "last_success": instant(each.last_success),
        "last_failure": instant(each.last_failure),
        "error_count": each.long.attempts - each.long.successes,
        "total_requests": each.long.attempts,
        "avg_response_time_ms": each.long.mean_ms,
        "uptime_percentage": percent(each.long.up_ppm),
        "error_message": each.last_error,
    }


def provider_line(each: ProviderState) -> dict[str, Any]:
    """A line of /health/providers."""
    return {
        "provider": each.provider,
        "gateway": each.provider,
        "status": each.line,
        "total_models": each.models,
        "healthy_models": each.counts[Health.HEALTHY],
        "degraded_models": each.counts[Health.DEGRADED],
        "unhealthy_models": each.counts[Health.UNHEALTHY],
        "avg_response_time_ms": each.late.mean_ms,
        "overall_uptime": percent(each.long.up_ppm),
        "last_checked": instant(each.last_checked),
        "error_message": each.error,
        "maintenance_until": instant(each.until),
    }


def system_line(board: Board) -> dict[str, Any]:
    """/health/system."""
    lines = [each.line for each in board.providers.values()]
    states = [each.health for each in board.models]
    return {
        "overall_status": board.overall,
        "total_providers": len(lines),
        "healthy_providers": lines.count(Line.ONLINE),
        "degraded_providers": lines.count(Line.DEGRADED),
        "unhealthy_providers": lines.count(Line.OFFLINE),
        "total_models": len(states),
        "healthy_models": states.count(Health.HEALTHY),
        "degraded_models": states.count(Health.DEGRADED),
        "unhealthy_models": states.count(Health.UNHEALTHY),
        "system_uptime": percent(board.long.up_ppm),
        "last_updated": instant(board.facts.at),
    }


def uptime_line(board: Board) -> dict[str, Any]:
    """/health/uptime."""
    long = board.long
    failed = long.attempts - long.successes
    share = long.success_ppm
    incidents = [each.last_error_at for each in board.facts.tried.values() if each.last_error_at]
    return {
        "status": board.overall,
        "uptime_percentage": percent(long.up_ppm),
        "response_time_avg": long.mean_ms,
        "last_incident": instant(max(incidents, default=None)),
        "total_requests": long.attempts,
        "successful_requests": long.successes,
        "failed_requests": failed,
        "error_rate": None if share is None else percent(1_000_000 - share),
        "last_updated": instant(board.facts.at),
    }


def monitor_line(board: Board, interval_s: float) -> dict[str, Any]:
    """/health/monitoring/status."""
    monitor = board.facts.monitor
    return {
        "monitoring_active": monitor.running,
        "check_interval_seconds": int(interval_s),
        "last_check": instant(monitor.ended_at),
        "next_check": instant(monitor.due_at),
        "checks": [check_line(each) for _, each in sorted(board.facts.checks.items())],
    }


def check_line(each: Check) -> dict[str, Any]:
    """What one check found."""
    return {
        "provider": each.provider,
        "gateway": each.provider,
        "success": each.error is None,
        "response_time_ms": each.latency_ms,
        "models": each.models,
        "error_message": each.error,
        "checked_at": instant(each.checked_at),
    }


def window_line(each: WindowNow) -> dict[str, Any]:
    """A maintenance window that lasts."""
    return {
        "gateway": each.provider,
        "model_id": each.model or None,
        "until": instant(each.until),
    }


def available_line(each: ModelState) -> dict[str, Any]:
    """A line of /availability/models."""
    return {
        "model_id": each.model,
        "provider": each.provider,
        "gateway": each.provider,
        "available": each.availability.admits,
        "status": each.availability,
        "circuit_breaker_state": each.circuit,
        "success_rate": percent(each.late.success_ppm),
        "response_time_ms": each.latency_ms,
        "last_checked": instant(each.last_checked),
        "error_count": each.long.attempts - each.long.successes,
        "total_requests": each.long.attempts,
        "maintenance_until": instant(each.until),
    }


def availability_counts(board: Board) -> dict[str, Any]:
    """How many offers can be had."""
    states = [each.availability for each in board.models]
    counts = {f"{each}_models": states.count(each) for each in Availability}
    return {"total_models": len(states), **counts}
