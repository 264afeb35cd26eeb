"""Rankings of models and apps from our own traffic, wherever the projection keeps them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from projections.engine.sinks.port import REDIS, SinkUnavailableError
from projections.engine.sinks.redis import RedisSink
from projections.usage.app_rankings import AppRankings
from projections.usage.model_rankings import ModelRankings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import psycopg

    from event_store.postgres.database import Connects
    from projections.engine.sinks.port import Sink
    from projections.engine.tables import Row, Table
    from projections.usage.rankings import Order, Ranking

MODELS, APPS = ModelRankings(), AppRankings()
PARTS_PER_PERCENT = 10_000


def read_model_ranking(
    database: Connects, sinks: Mapping[str, Sink], *, days: int, order: Order, limit: int
) -> list[dict[str, Any]]:
    """The leading models of the last days; raises SinkUnavailableError."""
    return [
        {
            "rank": each["rank"],
            "model_name": each["model"],
            "author": each["model"].partition("/")[0] if "/" in each["model"] else each["provider"],
            "provider": each["provider"],
            **_figures(each, days),
        }
        for each in _rank(database, sinks, MODELS, days=days, order=order, limit=limit)
    ]


def read_app_ranking(
    database: Connects, sinks: Mapping[str, Sink], *, days: int, order: Order, limit: int
) -> list[dict[str, Any]]:
    """The leading apps of the last days; raises SinkUnavailableError."""
    return [
        {
            "rank": each["rank"],
            "app_name": each["app"],
            "app_url": each["app"] if "://" in each["app"] else None,
            "domain": each["app"].partition("://")[2] or None,
            "is_new": each["trend_ppm"] is None,
            **_figures(each, days),
        }
        for each in _rank(database, sinks, APPS, days=days, order=order, limit=limit)
    ]


def _figures(each: dict[str, Any], days: int) -> dict[str, Any]:
    trend = each["trend_ppm"]
    direction = "new" if trend is None else "up" if trend > 0 else "down" if trend < 0 else "flat"
    return {
        "requests": each["requests"],
        "tokens": each["tokens"],
        "users": each["users"],
        "trend_percentage": None if trend is None else f"{_percent(trend)}%",
        "trend_direction": direction,
        "time_period": f"{days}d",
    }


def _percent(parts_per_million: int) -> str:
    """Parts per million as a percentage with two decimals, without a float."""
    hundredths = abs(parts_per_million) // (PARTS_PER_PERCENT // 100)
    sign = "-" if parts_per_million < 0 else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"


def _rank(
    database: Connects,
    sinks: Mapping[str, Sink],
    ranking: Ranking,
    *,
    days: int,
    order: Order,
    limit: int,
) -> list[dict[str, Any]]:
    today = datetime.now(UTC).date().isoformat()
    with database.connect() as connection:
        row = connection.execute(
            "SELECT version, sink FROM projection WHERE name = %s", [ranking.name]
        ).fetchone()
        assert row is not None, "migrations install every projection"
        if row[1] == REDIS:
            sink = sinks.get(REDIS)
            if not isinstance(sink, RedisSink):
                message = "rankings are kept in Redis, which is not configured here"
                raise SinkUnavailableError(message)
            read = _from_redis(sink, row[0])
        else:
            read = _from_postgres(connection)
        return ranking.rank(read, last_day=today, days=days, order=order, limit=limit)


def _from_redis(sink: RedisSink, version: int) -> Callable[[Table, str], Iterable[Row]]:
    return lambda table, day: sink.leading(table, version, day)


def _from_postgres(
    connection: psycopg.Connection[Any],
) -> Callable[[Table, str], Iterable[Row]]:
    def read(table: Table, day: str) -> Iterable[Row]:
        columns = ", ".join(table.names)
        return connection.execute(
            f"SELECT {columns} FROM {table.view} WHERE day = %s", [day]
        ).fetchall()

    return read
