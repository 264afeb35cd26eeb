"""What a worker is told, and what it says when it was not."""

from __future__ import annotations

import msgspec
import pytest

from stream_processors.config import read_config

TOLD = {
    "GATEWAYZ_DATABASE_URL": "dbname=x",
    "GATEWAYZ_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "GATEWAYZ_KAFKA_TOPIC": "topic",
    "GATEWAYZ_KAFKA_PARTITIONS": "8",
    "GATEWAYZ_HOST": "127.0.0.1",
    "GATEWAYZ_WORKER_PORT": "6066",
    "GATEWAYZ_WORKER_BATCH_EVENTS_MAX": "5000",
    "GATEWAYZ_LOG_LEVEL": "info",
}


def test_numbers_are_read_from_text_and_redis_may_be_absent() -> None:
    """Without Redis a worker runs all the same (P12)."""
    config = read_config({**TOLD, "PATH": "/bin"})
    assert (config.partitions, config.port, config.batch_events_max) == (8, 6066, 5000)
    assert config.redis_url is None
    assert read_config({**TOLD, "GATEWAYZ_REDIS_URL": "redis://x"}).redis_url == "redis://x"


@pytest.mark.parametrize("variable", sorted(TOLD))
def test_what_is_missing_is_named(variable: str) -> None:
    """Started by hand, it says which variable it lacks (rule: refuse clearly)."""
    told = {name: text for name, text in TOLD.items() if name != variable}
    with pytest.raises(msgspec.ValidationError, match=variable):
        read_config(told)
