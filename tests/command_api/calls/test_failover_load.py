"""Many calls at once over providers that fail in every way: one charge each, the books right."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx

from tests.command_api.calls.test_failover import NAMES, good, providers_toml, status
from tests.support.harness import (
    ScriptedUpstream,
    begin_stream,
    chunk,
    eventually,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

CALLS = 240
CALLERS = 16
USD = 1_000_000_000


class Moody:
    """An upstream's moods, drawn anew for each request."""

    def __init__(self, name: str, seed: int) -> None:
        """Draw from a seed."""
        self._good = good(name)
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, request: Request) -> Any:
        """Answer, or fail."""
        with self._lock:
            mood = self._dice.choice(("good", "good", "500", "429", "close", "slow", "half"))
        if mood == "500":
            return status(500)(connection, request)
        if mood == "429":
            return status(429, **{"retry-after": "0"})(connection, request)
        if mood == "close":
            return "close"
        if mood == "slow":
            time.sleep(0.3)
        if mood == "half" and request.body.get("stream"):
            begin_stream(connection)
            send_piece(connection, chunk({"content": "half"}))
            return "close"
        return self._good(connection, request)


def call(client: httpx.Client, number: int) -> str:
    """One call: whole, streamed, or a stream that the caller leaves; how it ended for him."""
    body: dict[str, Any] = {
        "model": "org/model",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": number % 3 != 0,
    }
    try:
        with client.stream("POST", "/v1/chat/completions", json=body) as got:
            if number % 7 == 0 and got.status_code == 200:
                next(got.iter_raw(), b"")
                return "left"
            got.read()
            return str(got.status_code)
    except httpx.TransportError:
        return "lost"


def test_one_charge_each_whatever_happens(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """No hold is left, no call is charged twice, every nano-USD is accounted for (P1, P2, P3)."""
    upstreams = {name: ScriptedUpstream(Moody(name, seed)) for seed, name in enumerate(NAMES, 1)}
    routing = "[routing]\nhedge_after_ms = 60\n"
    text = providers_toml(upstreams, routing)
    with running_gateway(
        database, tmp_path / "home", upstream, providers=text, breaker_open_s=0.2
    ) as gateway:
        user = gateway.user(grant=USD)
        limits = httpx.Limits(max_connections=CALLERS)
        headers = {"Authorization": f"Bearer {user.api_key}"}
        with (
            httpx.Client(
                base_url=gateway.url, headers=headers, timeout=20, limits=limits
            ) as client,
            ThreadPoolExecutor(CALLERS) as pool,
        ):
            ends = Counter(pool.map(lambda number: call(client, number), range(CALLS)))
        assert ends["200"] > CALLS // 2
        assert not ends["lost"]
        eventually(lambda: gateway.open_holds() == 0)
        gateway.verified()
        with database.connect() as connection:
            rows = connection.execute(
                "SELECT originator_id, count(*) FILTER (WHERE topic LIKE 'ledger.hold_placed%'), "
                "count(*) FILTER (WHERE topic ~ '^ledger.hold_(settled|voided)') "
                "FROM events WHERE topic LIKE 'ledger.hold_%' GROUP BY 1"
            ).fetchall()
            charged = connection.execute(
                "SELECT sum((convert_from(state, 'UTF8')::jsonb ->> 'settled_nano_usd')::bigint) "
                "FROM events WHERE topic LIKE 'ledger.hold_settled%'"
            ).fetchone()
        assert len(rows) == CALLS
        assert {(placed, ended) for _, placed, ended in rows} == {(1, 1)}
        balance = gateway.balance(user)
        assert charged is not None
        assert balance["available_nano_usd"] == USD - charged[0]
    for each in upstreams.values():
        each.close()
