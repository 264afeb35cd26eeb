"""What the routes about limits read: a user's keys, their use by window, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edge.errors import ApiError
from event_store.ids import now_iso, to_iso
from projections.engine.projection import select_on
from projections.usage.rate_limit_alerts import read_alerts
from projections.usage.rate_limit_counters import (
    SPANS,
    read_key_windows,
    read_system_windows,
    windows_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from command_api.limits.commands import OfKeys
    from domain.limits.rates import RateLimits
    from event_store.postgres.database import Connects
    from projections.engine.sinks.port import Sink

KEYS_MAX = 1_000
"""Most keys of a user that are shown, or set together."""
NOTHING = (0, 0)


class OwnKey(NamedTuple):
    """A key of the caller's."""

    key_id: str
    masked: str
    name: str


def keys_of_user(database: Connects, user_id: str, key_id: str | None = None) -> list[OwnKey]:
    """The user's keys that open something, or one of them. Raises ApiError 404 where it is none."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT key_id::text, masked, name FROM api_key WHERE user_id = %s AND NOT replaced "
            "AND NOT revoked AND NOT deleted AND (%s::text IS NULL OR key_id::text = %s) "
            "ORDER BY key_id LIMIT %s",
            [user_id, key_id, key_id, KEYS_MAX],
        ).fetchall()
    if key_id is not None and not rows:
        message = "You have no such key: GET /user/rate-limits lists yours."
        raise ApiError(404, "key_not_found", message)
    return [OwnKey(*row) for row in rows]


def usage_of_keys(
    database: Connects, sinks: Mapping[str, Sink], key_ids: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Requests and tokens of each key in the present minute, hour and day (UTC)."""
    now = now_iso()
    windows = windows_at(now)
    with database.connect() as connection:
        found = read_key_windows(connection, sinks, windows, list(key_ids))
    return {
        key_id: {
            span: {
                "start_time": windows[span],
                "end_time": now,
                "total_requests": found.get((span, key_id), NOTHING)[0],
                "total_tokens": found.get((span, key_id), NOTHING)[1],
            }
            for span in SPANS
        }
        for key_id in key_ids
    }


def system_usage(database: Connects, sinks: Mapping[str, Sink]) -> dict[str, dict[str, Any]]:
    """Requests, tokens and active keys of everybody in the present minute, hour and day (UTC)."""
    with database.connect() as connection:
        found = read_system_windows(connection, sinks, windows_at(now_iso()))
    return {
        span: {
            "requests": requests,
            "tokens": tokens,
            "active_keys": keys,
            f"requests_per_{span}": requests,
        }
        for span, (requests, tokens, keys) in found.items()
    }


def alerts(database: Connects, scope_id: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest refusals by hour, scope and reason."""
    with database.connect() as connection:
        rows = read_alerts(select_on(connection), scope_id=scope_id, limit=limit)
    return [
        {
            "id": f"{position}-{reason.replace(' ', '-').lower()}",
            "alert_type": "rate_limit_exceeded",
            "scope": scope,
            "scope_id": str(of),
            "reason": reason,
            "count": int(count),
            "starts_at": to_iso(starts_at),
            "created_at": to_iso(booked_at),
            "resolved": False,
        }
        for position, reason, scope, of, starts_at, booked_at, count in rows
    ]


def config_of(limits: RateLimits) -> dict[str, int | None]:
    """Limits as clients know them; null where there is none."""
    return limits._asdict()


def plan_of(known: OfKeys, key_id: str) -> dict[str, Any] | None:
    """The plan that binds a key, with what it allows the key; None where none does."""
    plan = known.plans.get(key_id)
    if plan is None:
        return None
    return {"name": plan.plan, "rate_limits": config_of(known.of_plan(key_id))}
