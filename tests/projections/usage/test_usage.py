"""What the read models of use answer, checked against the events themselves."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import redis

from domain.events.ledger import HoldPlaced
from event_store.ids import now_iso
from projections.call_facts import day_of, hour_of
from projections.engine.sinks.port import SinkUnavailableError
from projections.engine.sinks.redis import RedisSink, sinks_of
from projections.hosting.install import install
from projections.usage.activity_log import ActivityLog
from projections.usage.rate_limit_counters import (
    MIDNIGHT,
    RATE_LIMIT_COUNTER,
    read_key_windows,
    read_system_windows,
    windows_at,
)
from projections.usage.usage_by_hour import BUCKETS, LATENCY_BOUNDS_MS

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.projected import Projected


@pytest.mark.parametrize("by", ["hour", "model", "account_id", "key_id", "provider"])
def test_usage_sums_to_the_events(projected: Projected, by: str) -> None:
    """Requests, tokens, money, errors and first outputs, however they are grouped (P7)."""
    figures = (
        *("requests", "errors", "input_tokens", "output_tokens"),
        *("charged_nano_usd", "margin_nano_usd", "first_outputs"),
    )
    groups = projected.select(
        f"SELECT {', '.join(f'sum({each})' for each in figures)} FROM read_usage_by_hour "
        f"GROUP BY {by}",
        [],
    )
    sums = dict(zip(figures, map(sum, zip(*groups, strict=True)), strict=True))
    ends, charged = projected.ends, projected.charged
    firsts = [a for each in charged for a in each.attempts if "first_output_ms" in a]
    assert sums == {
        "requests": len(ends),
        "errors": len(ends) - len(charged),
        "input_tokens": sum(each.usage["input_tokens"] for each in charged),
        "output_tokens": sum(each.usage["output_tokens"] for each in charged),
        "charged_nano_usd": sum(each.settled_nano_usd for each in charged),
        "margin_nano_usd": sum(each.settled_nano_usd - each.cost_nano_usd for each in charged),
        "first_outputs": len(firsts),
    }


def test_usage_of_one_account_has_its_latencies(projected: Projected) -> None:
    """Each call of the account is in the one bucket that its time falls into (P7)."""
    times = [
        each.attempts[-1]["duration_ms"]
        for each in projected.ends
        if each.account_id == str(projected.account)
    ]
    columns = ["calls_0_to_100_ms", "calls_100_to_250_ms", *BUCKETS[2:-1], "calls_over_60000_ms"]
    names = ("requests", "total_latency_ms", *columns)
    rows = projected.select(
        f"SELECT {', '.join(f'sum({each})' for each in names)} "
        "FROM read_usage_by_hour WHERE account_id = %s",
        [projected.account],
    )
    bounds = (0, *LATENCY_BOUNDS_MS, float("inf"))
    buckets = [sum(low < each <= high for each in times) for low, high in pairwise(bounds)]
    assert rows == [(len(times), sum(times), *buckets)]


def test_activity_has_everything_once(projected: Projected) -> None:
    """Every end, grant and key of the account, at the position of its event (P7)."""
    rows = projected.select(
        "SELECT position, activity FROM read_activity_log WHERE account_id = %s "
        "ORDER BY position DESC",
        [projected.account],
    )
    account = str(projected.account)
    told = [
        each.position
        for each in projected.entries
        if isinstance(each.event, ActivityLog.handles)
        and getattr(each.event, "account_id", None) == account
    ]
    assert [position for position, _ in rows] == told[::-1]
    kinds = Counter(activity for _, activity in rows)
    assert kinds["credits_granted"] == 2
    assert kinds["user_registered"] == 1
    assert kinds["api_key_created"] == 4
    assert kinds["hold_settled"] == sum(each.account_id == account for each in projected.charged)


def test_use_of_a_key(projected: Projected) -> None:
    """One row for the account's key that was used, with all its calls (P7)."""
    (used,) = projected.select(
        "SELECT key_id, requests, first_used_at <= last_used_at FROM read_key_usage "
        "WHERE account_id = %s",
        [projected.account],
    )
    calls = sum(each.account_id == str(projected.account) for each in projected.ends)
    assert used == (str(projected.key), calls, True)


@pytest.mark.parametrize("in_redis", [False, True])
def test_windows_count_alike_in_both_stores(
    projected: Projected, database: Database, empty_redis: str, in_redis: bool
) -> None:
    """Requests begun and tokens charged today, of a key and of its account (P8)."""
    account = str(projected.account)
    began = sum(
        isinstance(each, HoldPlaced) and each.account_id == account for each in projected.events
    )
    tokens = sum(
        each.usage["input_tokens"] + each.usage["output_tokens"]
        for each in projected.charged
        if each.account_id == account
    )
    if in_redis:
        install(database, sinks_of(empty_redis))
    sink = RedisSink(redis.Redis.from_url(empty_redis, decode_responses=True))

    def window(starts_at: str, span: str) -> dict[Any, tuple[int, int]]:
        if in_redis:
            rows = list(sink.leading(RATE_LIMIT_COUNTER, 2, starts_at, span))
        else:
            rows = projected.select(
                "SELECT starts_at, span, scope, scope_id, requests, tokens "
                "FROM read_rate_limit_counter WHERE starts_at = %s AND span = %s",
                [starts_at, span],
            )
        return {row[3]: (row[4], row[5]) for row in rows}

    found = window(day_of(now_iso()) + MIDNIGHT, "day")
    assert found[account] == found[str(projected.key)] == (began, tokens)
    assert "nobody" not in window(hour_of(now_iso()), "hour")
    sinks = sinks_of(empty_redis) if in_redis else {}
    key_id, windows = str(projected.key), windows_at(now_iso())
    with database.connect() as connection:
        of_keys = read_key_windows(connection, sinks, windows, [key_id, "nobody"])
        of_all = read_system_windows(connection, sinks, windows)
        if in_redis:
            with pytest.raises(SinkUnavailableError):
                read_system_windows(connection, {}, windows)
    assert of_keys["day", key_id] == (began, tokens)
    assert {of for _, of in of_keys} == {key_id}
    assert of_all["day"][0] >= began and of_all["day"][2] >= 1
