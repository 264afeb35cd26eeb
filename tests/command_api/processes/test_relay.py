"""The relay's page of health and metrics."""

from __future__ import annotations

import time

import httpx

from command_api.processes.relay import STALE_S, serve_status
from event_store.relay.relay import RelayStatus


def test_health_follows_the_relays_beat_and_metrics_its_status() -> None:
    """A relay that no longer looks at the log is not healthy, and its lag is a metric (P7)."""
    status = RelayStatus(active=True, position=7, lag_events=3, events=5, beat=time.monotonic())
    server = serve_status(status, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        healthy = httpx.get(f"{url}/health")
        assert (healthy.status_code, healthy.json()) == (200, {"status": "healthy"})
        metrics = httpx.get(f"{url}/metrics").text
        assert "gatewayz_relay_position 7.0" in metrics
        assert "gatewayz_relay_lag_events 3.0" in metrics
        assert "gatewayz_relay_events_total 5.0" in metrics
        status.beat -= STALE_S
        stale = httpx.get(f"{url}/health")
        assert (stale.status_code, stale.json()) == (503, {"status": "stale"})
        assert httpx.get(f"{url}/other").status_code == 404
    finally:
        server.shutdown()
        server.server_close()
