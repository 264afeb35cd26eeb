"""The verbs of the full system's other processes: the relay and the workers."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer

from command_api.cli.base import Home, fail, opened
from command_api.processes.relay import run_relay
from event_store.relay.relay import RelayError

PROGRAM = "stream_processors"
VARIABLE = "GATEWAYZ_WORKER"
"""How the program is told; see its `config`."""


def relay(
    home: Home = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Produce the log to Kafka, until Ctrl-C; further relays stand by."""
    with opened(home, relay_port=port) as (settings, database):
        try:
            run_relay(settings, database)
        except (RelayError, OSError) as error:
            fail(str(error))


def worker(
    home: Home = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Advance the projections from Kafka, until Ctrl-C; further workers share the partitions."""
    with opened(home, worker_port=port) as (settings, database):
        configuration = {
            "database": database.application,
            "redis_url": settings.redis_url,
            "bootstrap": settings.kafka_bootstrap,
            "topic": settings.kafka_topic,
            "partitions": settings.kafka_partitions,
            "host": settings.host,
            "port": settings.worker_port,
            "batch_events_max": settings.worker_batch_events_max,
            "log_level": settings.log_level,
        }
    # The stream processors are a program of their own: they use nothing of the command side.
    environment = {**os.environ, VARIABLE: msgspec.json.encode(configuration).decode()}
    os.execve(sys.executable, [sys.executable, "-m", PROGRAM], environment)  # noqa: S606
