"""Which servers the tests use: those of the environment, else Docker's, else local processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.servers.fetch import GET, MissingServerError
from tests.servers.local import Broker, RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KAFKA_VARIABLE = "GATEWAYZ_TEST_KAFKA_BOOTSTRAP"
REDIS_VARIABLE = "GATEWAYZ_TEST_REDIS_URL"
DATABASE_VARIABLE = "GATEWAYZ_TEST_DATABASE_URL"
VARIABLES = (KAFKA_VARIABLE, REDIS_VARIABLE, DATABASE_VARIABLE)
"""What names servers that somebody else runs."""
POSTGRES_IMAGE = "postgres:17-alpine"
KAFKA_IMAGE = "confluentinc/cp-kafka:7.8.0"
REDIS_IMAGE = "redis:7-alpine"
DOCKER_S = 10

MISSING: dict[str, str] = {}
"""What could not be had in this run, for the closing line."""


@cache
def docker_runs() -> bool:
    """Whether a Docker engine answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        asked = subprocess.run([docker, "info"], capture_output=True, timeout=DOCKER_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def absent(name: str, error: MissingServerError) -> NoReturn:
    """Skip the test that needs a server; in CI its absence is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs {error}")
    MISSING[name] = str(error)
    pytest.skip(f"needs {error}")


def closing_line() -> str:
    """What is missing and how to get it; empty when nothing is."""
    if not MISSING:
        return ""
    return f"skipped for want of {'; '.join(sorted(MISSING.values()))} (all at once: {GET})"


@contextmanager
def local_broker(folder: Path) -> Iterator[Broker]:
    """A broker that a test may stop and kill."""
    broker = Broker(folder)
    try:
        broker.start()
    except MissingServerError as error:
        absent("kafka", error)
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def local_redis(folder: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop and wipe."""
    server = RedisServer(folder)
    try:
        server.start()
    except MissingServerError as error:
        absent("redis", error)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def kafka_bootstrap(folder: Path) -> Iterator[str]:
    """A broker to share."""
    if url := os.environ.get(KAFKA_VARIABLE):
        yield url
    elif docker_runs():
        from testcontainers.kafka import KafkaContainer  # Only where there is Docker.

        with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        with local_broker(folder) as broker:
            yield broker.bootstrap


@contextmanager
def redis_url(folder: Path) -> Iterator[str]:
    """A Redis to share."""
    if url := os.environ.get(REDIS_VARIABLE):
        yield url
    elif docker_runs():
        from testcontainers.redis import RedisContainer  # Only where there is Docker.

        with RedisContainer(REDIS_IMAGE) as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
            yield f"redis://{host}:{port}/0"
    else:
        with local_redis(folder) as server:
            yield server.url


@contextmanager
def database_url() -> Iterator[str | None]:
    """A PostgreSQL that somebody else runs; None where the embedded one is to be used."""
    if url := os.environ.get(DATABASE_VARIABLE):
        yield url
    elif docker_runs():
        from testcontainers.postgres import PostgresContainer  # Only where there is Docker.

        unsafe = "-c fsync=off -c full_page_writes=off"
        with PostgresContainer(POSTGRES_IMAGE, driver=None).with_command(unsafe) as container:
            yield container.get_connection_url()
    else:
        yield None
