"""The metrics of the read models, where no worker serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from command_api.processes.status_pages import ReadModelMetrics, serve_pages
from event_store.postgres.database import Database
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from tests.projections.engine.test_refused_rows import NO_TEXT, SETTLED, insert_like
from tests.support.history import History

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def scrape(collector: Collector, *, healthy: bool = True) -> tuple[int, str]:
    """The status of /health, and the metrics."""
    server = serve_pages(collector, lambda: healthy, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        return httpx.get(f"{url}/health").status_code, httpx.get(f"{url}/metrics").text
    finally:
        server.shutdown()
        server.server_close()


def test_lag_and_parking_are_metrics(database: Database) -> None:
    """Of every projection, with the position that stops one (P7, rule: observable)."""
    History(database).calls(10)
    poison = insert_like(database, SETTLED, model=NO_TEXT)
    with database.connect() as connection:
        for projection in PROJECTIONS:
            Runner(projection).advance(connection, 10_000)
    code, text = scrape(ReadModelMetrics(database))
    assert code == 200
    labels = '{partition="0",projection="usage_by_hour"}'
    assert f"gatewayz_projection_parked{labels} {float(poison)}" in text
    assert f"gatewayz_projection_lag{labels} 1.0" in text
    assert 'gatewayz_projection_lag{partition="0",projection="account_balances"} 0.0' in text
    assert 'gatewayz_projection_parked{partition="0",projection="account_balances"}' not in text


def test_without_a_database_there_are_none() -> None:
    """The page is there all the same, and says so of the follower (P12, rule: observable)."""
    nowhere = Database.from_url("postgresql://nobody@127.0.0.1:1/none")
    code, text = scrape(ReadModelMetrics(nowhere), healthy=False)
    assert code == 503
    assert "gatewayz_projection" not in text
