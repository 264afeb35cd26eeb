"""What a worker is told by the process that starts it."""

from __future__ import annotations

import msgspec
import pytest

from stream_processors.config import VARIABLE, WorkerConfig, read_config

TOLD = WorkerConfig(
    database="dbname=x",
    redis_url=None,
    bootstrap="a:1,b:2",
    topic="t",
    partitions=8,
    host="127.0.0.1",
    port=6066,
    batch_events_max=5_000,
    log_level="info",
)


def test_a_worker_reads_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it comes through one variable (rule: tidy)."""
    monkeypatch.setenv(VARIABLE, msgspec.json.encode(TOLD).decode())
    assert read_config() == TOLD


def test_a_worker_that_was_told_nothing_does_not_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without the variable nor with half of it (P10)."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(KeyError, match=VARIABLE):
        read_config()
    monkeypatch.setenv(VARIABLE, '{"database":"dbname=x"}')
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        read_config()
