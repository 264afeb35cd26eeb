"""GET /ranking: our own traffic, from PostgreSQL or Redis, with the trend of the window before."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import install
from projections.usage.model_rankings import MODEL_DAY, MODEL_DAY_USER, ModelRankings
from query_api.rankings.queries import read_app_ranking, read_model_ranking
from tests.support.harness import eventually
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


def test_rankings_are_served_to_anybody(gateway: RunningGateway) -> None:
    """By tokens and origin; pages and windows have limits (rule: contract, rule: bounded)."""
    user = gateway.user()
    for _ in range(3):
        gateway.chat(user, {}, **{"HTTP-Referer": "https://app.example.com/x"})
    gateway.chat(user, {"model": "local/org/long/name"})

    def read_in() -> bool:
        models, apps = (
            read(gateway.database, {}, days=1, order="requests", limit=9)
            for read in (read_model_ranking, read_app_ranking)
        )
        return [each["requests"] for each in (*models, *apps)] == [3, 1, 3]

    eventually(read_in)  # What is served is kept for a while.
    query = "order=requests&days=1&limit=10"
    key = {"Authorization": f"Bearer {user.api_key}"}
    body = httpx.get(f"{gateway.url}/ranking/models?{query}", headers=key).json()
    assert [(each["rank"], each["model_name"], each["requests"]) for each in body["data"]] == [
        (1, "m", 3),
        (2, "org/long/name", 1),
    ]
    assert body["data"][0]["users"] == 1
    assert body["data"][0]["trend_direction"] == "new"
    assert body["data"][1]["author"] == "org"
    apps = httpx.get(f"{gateway.url}/ranking/apps").json()
    assert [(each["app_name"], each["domain"]) for each in apps["data"]] == [
        ("https://app.example.com", "app.example.com")
    ]
    with gateway.database.connect() as connection:
        assert connection.execute("DELETE FROM app_name").rowcount == 1
        (nameless,) = read_app_ranking(gateway.database, {}, days=1, order="requests", limit=9)
    assert re.fullmatch("app-[0-9a-f]{32}", nameless["app_name"])
    assert (nameless["requests"], nameless["app_url"], nameless["domain"]) == (3, None, None)
    assert (
        httpx.get(f"{gateway.url}/ranking/models?offset=1&days=1&order=requests").json()["count"]
        == 1
    )
    for query in ("days=0", "days=999", "limit=0", "limit=5000", "offset=-1", "order=price"):
        assert httpx.get(f"{gateway.url}/ranking/models?{query}").status_code == 422, query


@pytest.mark.parametrize("in_redis", [False, True])
def test_both_stores_rank_alike(database: Database, empty_redis: str, in_redis: bool) -> None:
    """The same figures from tables and from sorted sets (P8)."""
    sinks = sinks_of(empty_redis if in_redis else None)
    install(database, sinks)
    history = History(database)
    history.calls(120)
    with database.connect() as connection:
        for projection in PROJECTIONS:
            Runner(projection, sinks).advance(connection, 10_000)
        row = connection.execute(
            "SELECT count(*) FROM events WHERE topic LIKE 'ledger.hold_settled%'"
        ).fetchone()
    assert row is not None
    models = read_model_ranking(database, sinks, days=2, order="requests", limit=10)
    assert sum(each["requests"] for each in models) == row[0]
    assert [each["rank"] for each in models] == [1, 2, 3]
    # The accounts of the five users; one more made a single call, which is corrected.
    assert sorted(each["users"] for each in models) == [5, 5, 6]
    apps = read_app_ranking(database, sinks, days=2, order="users", limit=1)
    assert len(apps) == 1


def test_the_trend_compares_with_the_window_before() -> None:
    """Parts per million of change; none where there was nothing before (rule: observable)."""
    today = datetime(2026, 3, 10, tzinfo=UTC).date()
    days = {(today - timedelta(days=back)).isoformat(): back for back in range(10)}

    def read_day(table: object, day: str) -> list[tuple[Any, ...]]:
        back = days[day]
        if table is MODEL_DAY:
            rows = [(day, "p", "old", 10 if back < 2 else 20, 100)]
            return rows + ([(day, "p", "new", 1, 1)] if back == 0 else [])
        assert table is MODEL_DAY_USER
        return [(day, "p", "old", f"account {back % 3}", 1)]

    ranked = ModelRankings().rank(read_day, last_day=today.isoformat(), days=2)
    assert [(r["model"], r["requests"], r["users"], r["trend_ppm"]) for r in ranked] == [
        ("old", 20, 2, -500_000),
        ("new", 1, 0, None),
    ]
