"""/health and /metrics of a process that serves nothing else, and the read models' metrics."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from command_api.managers.metrics import ManagerMetrics
from command_api.managers.table import standings
from command_api.payments.inbox import counts
from command_api.payments.metrics import InboxMetrics
from projections.engine.register import read_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from command_api.managers.table import Standing
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.status")
Page = tuple[int, str, bytes]
"""Status, content type, body."""

STATEMENT_S = 5.0
CONNECTIONS_MAX = 16
"""Most connections at once. For one more the oldest that has asked nothing yet is closed."""
CONNECTION_S = 5.0
"""So long a connection may take for its question, seconds."""
HEAD_BYTES_MAX = 8 * 1024
SCRAPE_KEPT_S = 1.0
"""Metrics are worked out at most so often, seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4"
JSON = "application/json"
_NOT_FOUND: Page = (404, JSON, b'{"detail":"Not Found","code":"not_found"}')
_NOT_ALLOWED: Page = (405, JSON, b'{"detail":"Method Not Allowed","code":"method_not_allowed"}')


class ReadModelMetrics:
    """Lag and parking of every projection, whoever advances it, as the database tells."""

    def __init__(self, database: Database) -> None:
        """The database is asked at each scrape."""
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; none while the database is away."""
        try:
            with self._database.connect(statement_s=STATEMENT_S) as connection:
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


class BackgroundMetrics:
    """All that the background process tells: of read models, payments, managers."""

    def __init__(self, database: Database) -> None:
        """The database is asked at each scrape."""
        self._database = database
        self._read_models, self._inbox = ReadModelMetrics(database), InboxMetrics(self._counts)
        self._managers = ManagerMetrics(self._standings)

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        yield from self._read_models.collect()
        yield from self._inbox.collect()
        yield from self._managers.collect()

    def _standings(self) -> list[Standing]:
        with self._database.connect(statement_s=STATEMENT_S) as connection:
            return standings(connection)

    def _counts(self) -> tuple[int, int, float]:
        with self._database.connect(statement_s=STATEMENT_S) as connection:
            return counts(connection)


class Scrape:
    """The metrics as text, made at most once in a while, whoever asks."""

    def __init__(self, collector: Collector) -> None:
        """The collector is asked at a scrape, unless the last one is young."""
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._lock = threading.Lock()
        self._text, self._until = b"", 0.0

    def text(self) -> bytes:
        """The metrics of this moment, or of one less than `SCRAPE_KEPT_S` ago."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = generate_latest(self._registry)
                self._until = time.monotonic() + SCRAPE_KEPT_S
            return self._text


class Pages(ThreadingTCPServer):
    """A small server of two pages; what others do with its port is bounded in time and number."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        pages: Mapping[str, Callable[[], Page]],
        connection_s: float,
    ) -> None:
        """Raises OSError when the port is taken. A connection may last `connection_s` seconds."""
        self.pages, self.connection_s = pages, connection_s
        self._lock = threading.Lock()
        self._open: dict[socket.socket, bool] = {}
        """The connections, the oldest first, and whether they have asked."""
        super().__init__(address, _Handler)

    @property
    def server_port(self) -> int:
        """The port."""
        port: int = self.socket.getsockname()[1]
        return port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread, if there is or can be made room."""
        with self._lock:
            if len(self._open) >= CONNECTIONS_MAX:
                idle = next((each for each, asked in self._open.items() if not asked), request)
                self._open.pop(idle, None)
                with suppress(OSError):
                    idle.shutdown(socket.SHUT_RDWR)  # Its thread sees the end and goes.
            refused = len(self._open) >= CONNECTIONS_MAX
            if not refused:
                self._open[request] = False
        if refused:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def asked(self, request: socket.socket) -> None:
        """The question is there: the answer is not cut off for somebody else."""
        with self._lock:
            if request in self._open:
                self._open[request] = True

    def shutdown_request(self, request: Any) -> None:
        """A connection is done with."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, or says nothing, is not worth a line; a defect is."""
        del request, client_address
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logger.error("a status page failed", exc_info=error)


class _Handler(BaseRequestHandler):
    """One question, one answer."""

    server: Pages
    request: socket.socket

    def handle(self) -> None:
        """Raises OSError when the client is slow or goes."""
        head = _head(self.request, time.monotonic() + self.server.connection_s)
        self.server.asked(self.request)
        method, _, rest = head.partition(b" ")
        page = self.server.pages.get(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
        code, kind, body = page() if page else _NOT_FOUND
        if method not in {b"GET", b"HEAD"}:
            code, kind, body = _NOT_ALLOWED
        told = f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\nContent-Type: {kind}\r\n"
        told += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.request.settimeout(self.server.connection_s)
        self.request.sendall(told.encode() + (b"" if method == b"HEAD" else body))


def _head(connection: socket.socket, until: float) -> bytes:
    """The head of a request; raises OSError when it does not come, or is too long."""
    head = b""
    while b"\r\n\r\n" not in head:
        left_s = until - time.monotonic()
        if left_s <= 0 or len(head) > HEAD_BYTES_MAX:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(HEAD_BYTES_MAX)
        if not part:
            raise ConnectionResetError
        head += part
    return head


def serve_pages(
    collector: Collector,
    healthy: Callable[[], bool],
    host: str,
    port: int,
    *,
    connection_s: float = CONNECTION_S,
) -> Pages:
    """Serve /health and /metrics in the background; raises OSError when the port is taken.

    A connection has `connection_s` seconds for its question, and as many to take the answer.
    """
    scrape = Scrape(collector)

    def health() -> Page:
        well = healthy()
        state = b"healthy" if well else b"stale"
        return 200 if well else 503, JSON, b'{"status":"%b"}' % state

    pages = {"/health": health, "/metrics": lambda: (200, CONTENT_TYPE, scrape.text())}
    server = Pages((host, port), pages, connection_s)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
