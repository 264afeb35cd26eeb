"""The metrics of the read models, where no worker serves them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.core import GaugeMetricFamily

from command_api.processes.status_pages import (
    CONNECTIONS_MAX,
    HEAD_BYTES_MAX,
    ReadModelMetrics,
    serve_pages,
)
from event_store.postgres.database import Database
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from tests.projections.engine.test_refused_rows import NO_TEXT, SETTLED, insert_like
from tests.support.harness import eventually
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
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


class Counted:
    """A collector that counts how often it is asked."""

    def __init__(self) -> None:
        """Not yet."""
        self.asked = 0

    def collect(self) -> Iterator[Metric]:
        """The count."""
        self.asked += 1
        yield GaugeMetricFamily("asked", "Times.", self.asked)


@contextmanager
def served(collector: Collector, connection_s: float = 5.0) -> Iterator[int]:
    """The port of the pages."""
    server = serve_pages(collector, lambda: True, "127.0.0.1", 0, connection_s=connection_s)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def connected(port: int, sent: bytes) -> socket.socket:
    """A client that has sent this."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(sent)
    return client


HALF = b"GET /metrics HTTP/1.1\r\nhost: x\r\n"


def test_clients_that_say_half_take_no_more_than_their_share() -> None:
    """A few connections at once, the newest of them, and a real question is answered
    (rule: bounded).
    """
    before = threading.active_count()
    with served(Counted()) as port:
        clients = [connected(port, HALF) for _ in range(5 * CONNECTIONS_MAX)]
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        assert "asked" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
        eventually(lambda: threading.active_count() <= before + CONNECTIONS_MAX + 1)
        assert clients[0].recv(1) == b""
        for each in clients:
            each.close()


def test_a_question_must_come_in_time_and_be_short() -> None:
    """However it trickles; an endless one is not kept (rule: bounded)."""
    endless = b"GET /" + b"x" * 2 * HEAD_BYTES_MAX
    with served(Counted(), connection_s=0.3) as port, connected(port, HALF) as slow:
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as it happens.
            while time.monotonic() < began + 5:
                slow.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() < began + 5
        with connected(port, endless) as long, suppress(ConnectionError):
            assert long.recv(1) == b""


def test_a_hang_up_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """Before the question and during the answer; others are still served (rule: observable)."""
    with served(Counted()) as port:
        for sent in (HALF, HALF + b"\r\n"):
            client = connected(port, sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        assert httpx.post(f"http://127.0.0.1:{port}/health").status_code == 405
        assert httpx.head(f"http://127.0.0.1:{port}/health").content == b""
    assert capfd.readouterr().err == ""


def test_scrapes_are_made_once_a_second() -> None:
    """Whoever asks; a scrape is a connection of the database (rule: bounded)."""
    counted = Counted()
    with served(counted) as port:
        before = counted.asked
        began = time.monotonic()
        texts = {httpx.get(f"http://127.0.0.1:{port}/metrics").text for _ in range(10)}
        assert counted.asked - before <= 1 + time.monotonic() - began
        assert len(texts) == counted.asked - before
        time.sleep(1)
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").text not in texts
