"""/health and /metrics of a process that serves nothing else, and the read models' metrics."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from projections.engine.register import read_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from event_store.postgres.database import Database

STATEMENT_S = 5.0


class ReadModelMetrics:
    """Lag and parking of every projection, whoever advances it, as the database tells."""

    def __init__(self, database: Database) -> None:
        """The database is asked at each scrape."""
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; none while the database is away."""
        try:
            with self._database.connect_to_read(STATEMENT_S) as connection:
                head, found = read_partitions(connection)
        except psycopg.Error:
            return
        labels = ["projection", "partition"]
        lag = GaugeMetricFamily(
            "gatewayz_projection_lag", "Positions behind the head of the log.", labels=labels
        )
        parked = GaugeMetricFamily(
            "gatewayz_projection_parked",
            "Position of the event that stops the projection.",
            labels=labels,
        )
        for each in found:
            names = [each.name, str(each.partition)]
            lag.add_metric(names, max(0, head - each.position))
            if each.parked_position is not None:
                parked.add_metric(names, each.parked_position)
        yield lag
        yield parked


def serve_pages(
    collector: Collector, healthy: Callable[[], bool], host: str, port: int
) -> ThreadingHTTPServer:
    """Serve /health and /metrics in the background; raises OSError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(collector)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4", generate_latest(registry))
            elif self.path == "/health":
                well = healthy()
                state = "healthy" if well else "stale"
                body = b'{"status":"%b"}' % state.encode()
                self._answer(200 if well else 503, "application/json", body)
            else:
                self._answer(404, "application/json", b'{"detail":"Not Found","code":"not_found"}')

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not worth a line."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
