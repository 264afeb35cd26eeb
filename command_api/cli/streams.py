"""The verbs of the full system's other processes: the relay and the workers."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from command_api.cli.base import Home, opened
from command_api.processes.relay import run_relay
from command_api.settings.surroundings import environment_of

PROGRAM = "stream_processors"


def relay(
    home: Home = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Produce the log to Kafka, until Ctrl-C; further relays stand by."""
    with opened(home, relay_port=port) as (settings, database):
        run_relay(settings, database)


def worker(
    home: Home = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Advance the projections from Kafka, until Ctrl-C; further workers share the partitions."""
    with opened(home, worker_port=port) as (settings, database):
        environment = environment_of(settings, database_url=database.application)
    # The stream processors are a program of their own: they use nothing of the command side.
    os.execve(sys.executable, [sys.executable, "-m", PROGRAM], environment)  # noqa: S606
