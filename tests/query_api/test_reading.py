"""Readers take nothing from the ledger, nor from each other; money and users are not public."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.harness import eventually, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

STATISTICS = (
    "/v1/gateways/summary",
    "/v1/gateway/local/stats",
    "/v1/provider/local/stats",
    "/v1/provider/local/top-models",
)
STATEMENT_S = 4.0
WHO_COUNTS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "


def test_queries_that_hang_take_nothing_from_the_calls(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Forty hanging statistics: a balance is read, the ledger reconnects, a call is charged, and
    each of the forty is told that it took too long, or that too many wait (P12, rule: bounded).
    """
    settings = {"read_statement_s": STATEMENT_S, "public_reads_max": 2, "reads_waiting_max": 5}
    with running_gateway(
        database, tmp_path / "home", upstream, ranking_cache_s=0, **settings
    ) as gateway:
        user = gateway.user()
        gateway.chat(user, {})
        gateway.balance(user)
        with database.connect_as_owner() as lock, ThreadPoolExecutor(40) as threads:
            lock.execute("BEGIN")
            table = lock.execute(
                "SELECT 'read_usage_by_hour_v' || version FROM projection "
                "WHERE name = 'usage_by_hour'"
            ).fetchone()
            ranked = lock.execute(
                "SELECT 'read_model_day_v' || version FROM projection WHERE name = 'model_rankings'"
            ).fetchone()
            assert table is not None
            assert ranked is not None
            lock.execute(f"LOCK TABLE {table[0]}, {ranked[0]} IN ACCESS EXCLUSIVE MODE")
            headers = {"Authorization": f"Bearer {user.api_key}"}
            paths = [f"/ranking/models?days={days}" for days in range(1, 31)]
            paths += [f"/v1/gateways/summary?time_range={name}" for name in ("1h", "24h") * 5]
            asked = [
                threads.submit(httpx.get, gateway.url + path, headers=headers, timeout=30)
                for path in paths
            ]
            time.sleep(0.2)
            with database.connect_as_owner() as other:
                other.execute(WHO_COUNTS + "AND query LIKE '%ledger_append%'")
            eventually(lambda: gateway.chat(user, {}).status_code == 200, 5)
            assert (
                httpx.get(f"{gateway.url}/v1/calls/{'0' * 32}", headers=headers).status_code == 404
            )
            assert not all(each.done() for each in asked)
            codes = {
                each.result().json().get("code") or each.result().json()["error"]["code"]
                for each in asked
            }
            lock.execute("ROLLBACK")
        assert codes == {"read_timeout", "reads_busy"}
        assert httpx.get(f"{gateway.url}/v1/gateways/summary", headers=headers).status_code == 200


def test_money_and_users_are_for_callers(gateway: RunningGateway) -> None:
    """Statistics want a key; what is public names neither (rule: access)."""
    user = gateway.user()
    gateway.chat(user, {})
    gateway.balance(user)
    headers = {"Authorization": f"Bearer {user.api_key}"}
    for path in STATISTICS:
        assert httpx.get(gateway.url + path).status_code == 401, path
        assert httpx.get(gateway.url + path, headers=headers).status_code == 200, path
    trending = "/v1/models/trending?time_range=1h"
    eventually(lambda: httpx.get(gateway.url + trending).json()["data"])
    shown = httpx.get(gateway.url + trending).json()["data"][0]
    assert (shown["total_cost"], shown["unique_users"]) == (None, None)
    assert shown["requests"] == 1
    known = httpx.get(gateway.url + trending, headers=headers).json()["data"][0]
    assert known["unique_users"] == 1
    assert known["total_cost"] > 0
    for path in ("/ranking/models", "/ranking/apps"):
        rows = httpx.get(gateway.url + path).json()["data"]
        assert all(each["users"] is None for each in rows)
    rows = httpx.get(f"{gateway.url}/ranking/models", headers=headers).json()["data"]
    assert [each["users"] for each in rows] == [1]
    for path in (f"{trending}&sort_by=users", "/ranking/models?order=users"):
        assert httpx.get(gateway.url + path).status_code == 401, path
        assert httpx.get(gateway.url + path, headers=headers).status_code == 200, path
    wrong = {"Authorization": "Bearer wrong"}
    assert httpx.get(gateway.url + trending, headers=wrong).status_code == 401


@pytest.mark.parametrize("path", [*STATISTICS, "/ranking/models?order=users"])
def test_an_operator_may_show_them_to_all(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, path: str
) -> None:
    """One switch (rule: access)."""
    with running_gateway(database, tmp_path / "home", upstream, public_statistics=True) as gateway:
        assert httpx.get(gateway.url + path).status_code == 200
