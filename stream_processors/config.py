"""What a worker is told by `gatewayz worker`, which alone reads the settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's configuration, each value by its variable in the environment of the process.

    Defaults and limits are the settings': the environment that is handed on is complete.
    `database` is a libpq connection string.
    """

    database: str = msgspec.field(name="GATEWAYZ_DATABASE_URL")
    redis_url: str | None = msgspec.field(name="GATEWAYZ_REDIS_URL", default=None)
    bootstrap: str = msgspec.field(name="GATEWAYZ_KAFKA_BOOTSTRAP")
    topic: str = msgspec.field(name="GATEWAYZ_KAFKA_TOPIC")
    partitions: int = msgspec.field(name="GATEWAYZ_KAFKA_PARTITIONS")
    host: str = msgspec.field(name="GATEWAYZ_HOST")
    port: int = msgspec.field(name="GATEWAYZ_WORKER_PORT")
    batch_events_max: int = msgspec.field(name="GATEWAYZ_WORKER_BATCH_EVENTS_MAX")
    log_level: str = msgspec.field(name="GATEWAYZ_LOG_LEVEL")


def read_config(environment: Mapping[str, str] | None = None) -> WorkerConfig:
    """The configuration from the environment, by default the process's own.

    Raises msgspec.ValidationError, which names the variable, outside `gatewayz worker`.
    """
    told = dict(os.environ if environment is None else environment)
    return msgspec.convert(told, WorkerConfig, strict=False)
