"""The monitor's rounds: one for all gateways, on time, and by another where one dies."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from command_api.health.monitor import keep_monitoring
from command_api.settings import Settings
from event_store.beside.upkeep.reading import (
    end_round,
    read_checks,
    read_monitor,
    take_round,
)
from tests.support.harness import eventually, reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

FILE = '[[provider]]\nname = "openrouter"\nbase_url = "{}"\napi_key = "k"\n'


@pytest.fixture
def settings(tmp_path: Path, upstream: ScriptedUpstream) -> Settings:
    """With a provider that has a list."""
    file = tmp_path / "providers.toml"
    file.write_text(FILE.format(upstream.base_url))
    listed = json.dumps({"data": [{"id": "org/a"}]}).encode()
    upstream.answer = lambda connection, _: reply(connection, listed)
    return Settings(home=tmp_path, providers_file=file, health_interval_s=100)


def monitors(
    settings: Settings, database: Database, check: Callable[[], object], count: int = 3
) -> None:
    """Several processes' monitors, until something is true."""
    stop = threading.Event()

    async def run() -> None:
        await asyncio.gather(
            *(keep_monitoring(settings, database, stop, first_s=0.01) for _ in range(count))
        )

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        eventually(check)
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "the monitor did not stop"


def test_one_of_all_gateways_makes_a_round(
    settings: Settings, database: Database, upstream: ScriptedUpstream
) -> None:
    """Three look, one asks; what it found and when it is due again is shared (rule: bounded)."""

    def ended() -> bool:
        with database.connect() as connection:
            return read_monitor(connection).ended_at is not None

    monitors(settings, database, ended)
    assert len(upstream.requests) == 1
    with database.connect() as connection:
        found, monitor = read_checks(connection), read_monitor(connection)
    assert (found["openrouter"].models, found["openrouter"].error) == (1, None)
    assert monitor.due_at is not None
    assert monitor.ended_at is not None
    assert 89 <= (monitor.due_at - monitor.ended_at).total_seconds() <= 111


def test_a_stopped_monitor_asks_nobody(
    settings: Settings, database: Database, upstream: ScriptedUpstream
) -> None:
    """As long as it is off (rule: contract)."""
    with database.connect() as connection:
        connection.execute("UPDATE health_monitor SET running = false")
    looked = threading.Event()
    timer = threading.Timer(1.0, looked.set)
    timer.start()
    monitors(settings, database, looked.is_set, count=1)
    assert upstream.requests == []


def test_a_round_is_leased(database: Database) -> None:
    """Nobody else has it meanwhile; who dies leaves it to another (rule: two commands)."""
    with database.connect() as connection:
        assert take_round(connection, lease_s=60)
        assert not take_round(connection, lease_s=60)
        connection.execute("UPDATE health_monitor SET leased_until = clock_timestamp()")
        assert take_round(connection, lease_s=60)
        end_round(connection, next_s=60)
        assert not take_round(connection, lease_s=60)
