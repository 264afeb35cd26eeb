"""What our own traffic says of providers and models: requests, tokens, money, speed, users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from projections.engine.projection import select_on
from projections.usage.usage_by_hour import read_traffic_rows

if TYPE_CHECKING:
    from event_store.postgres.database import Connects

RANGES: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
"""Time ranges of callers; figures are by whole hours."""
START = datetime(2020, 1, 1, tzinfo=UTC)
MILLISECONDS = 1_000


class Figures(NamedTuple):
    """Sums over a time; money in nano-USD, time in milliseconds. Empty names mean all."""

    provider: str
    model: str
    requests: int
    tokens: int
    charged: int
    output_tokens: int
    latency_ms: int
    users: int

    @property
    def tokens_per_second(self) -> int:
        """Output tokens a second of calls."""
        return self.output_tokens * MILLISECONDS // self.latency_ms if self.latency_ms else 0


class Traffic(NamedTuple):
    """Everything that was asked, by model, by provider, and altogether."""

    by_model: list[Figures]
    by_provider: dict[str, Figures]
    total: Figures


NOTHING = Figures("", "", 0, 0, 0, 0, 0, 0)


def read_traffic(database: Connects, time_range: str) -> Traffic:
    """The traffic of a time range, the most asked models first."""
    span = RANGES[time_range]
    since = START if span is None else datetime.now(UTC) - span
    since = since.replace(minute=0, second=0, microsecond=0)
    with database.connect() as connection:
        rows = read_traffic_rows(select_on(connection), since=since)
    by_model: list[Figures] = []
    by_provider: dict[str, Figures] = {}
    total = NOTHING
    for provider, model, grouped, *sums in rows:
        figures = Figures(provider, model, *(value or 0 for value in sums))
        if grouped == 0:
            by_model.append(figures)
        elif figures.provider or grouped == 1:
            by_provider[provider] = figures
        else:
            total = figures
    return Traffic(by_model, by_provider, total)
