"""What a worker is told by `gatewayz worker`, which alone reads the settings."""

from __future__ import annotations

import os

import msgspec

VARIABLE = "GATEWAYZ_WORKER"


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's configuration; `database` is a libpq connection string."""

    database: str
    redis_url: str | None
    bootstrap: str
    topic: str
    partitions: int
    host: str
    port: int
    batch_events_max: int
    log_level: str


def read_config() -> WorkerConfig:
    """The configuration from the environment; raises KeyError outside `gatewayz worker`."""
    return msgspec.json.decode(os.environ[VARIABLE], type=WorkerConfig)
