"""What our own traffic says of providers and models."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from query_api.traffic.queries import NOTHING, RANGES, Figures, read_traffic
from tests.support.projected import Projected

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def test_traffic_sums_to_the_events(database: Database) -> None:
    """By model, by provider and altogether; the most asked first; accounts once (P4)."""
    projected = Projected(database)
    projected.connection.close()
    traffic = read_traffic(database, "1h")
    asked = Counter(
        (last["provider"], last["model"]) for each in projected.ends for last in each.attempts[-1:]
    )
    assert {(each.provider, each.model): each.requests for each in traffic.by_model} == asked
    assert [each.requests for each in traffic.by_model] == sorted(asked.values(), reverse=True)
    tokens = sum(
        each.usage["input_tokens"] + each.usage["output_tokens"] for each in projected.charged
    )
    charged = sum(each.settled_nano_usd for each in projected.charged)
    total = traffic.total
    assert (total.requests, total.tokens, total.charged) == (len(projected.ends), tokens, charged)
    assert total.users == len({each.account_id for each in projected.ends})
    assert set(traffic.by_provider) == {provider for provider, _ in asked}
    for name in ("requests", "tokens", "charged", "output_tokens", "latency_ms"):
        of_all = getattr(total, name)
        assert sum(getattr(each, name) for each in traffic.by_model) == of_all
        assert sum(getattr(each, name) for each in traffic.by_provider.values()) == of_all


@pytest.mark.parametrize("time_range", RANGES)
def test_without_traffic_all_is_nought(database: Database, time_range: str) -> None:
    """No figure is made up for a range in which nothing was asked (P10)."""
    assert read_traffic(database, time_range) == ([], {}, NOTHING)


def test_speed_is_of_whole_tokens_a_second() -> None:
    """Output tokens over the time of the calls; nought without any time (P4)."""
    figures = Figures("p", "m", 2, 30, 1, output_tokens=20, latency_ms=3_000, users=1)
    assert figures.tokens_per_second == 6
    assert NOTHING.tokens_per_second == 0
