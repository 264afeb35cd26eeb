"""Rankings of models and apps from our own traffic, wherever the projection keeps them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from projections.engine.projection import select_on
from projections.usage.app_rankings import AppRankings, read_app_names
from projections.usage.model_rankings import ModelRankings
from projections.usage.rankings import day_reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from event_store.postgres.database import Connects
    from projections.engine.sinks.port import Sink
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
    """The leading apps of the last days; raises SinkUnavailableError.

    An app whose name was deleted is shown by what stands for it in the log.
    """
    ranked = _rank(database, sinks, APPS, days=days, order=order, limit=limit)
    with database.connect() as connection:
        names = read_app_names(select_on(connection), [each["app"] for each in ranked])
    return [
        {
            "rank": each["rank"],
            "app_name": name,
            "app_url": name if "://" in name else None,
            "domain": name.partition("://")[2] or None,
            "is_new": each["trend_ppm"] is None,
            **_figures(each, days),
        }
        for each in ranked
        if (name := names.get(each["app"], each["app"]))
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
        read = day_reader(connection, sinks, ranking)
        return ranking.rank(read, last_day=today, days=days, order=order, limit=limit)
