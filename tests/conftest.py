"""What the tests share: one real PostgreSQL for the run, and a fresh database for a test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, settings

from event_store.postgres.database import Database
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all
from tests.providers.inference.recordings import NOT_FOUND, missing_line
from tests.servers.provide import (
    MISSING,
    VARIABLES,
    closing_line,
    database_url,
    kafka_bootstrap,
    redis_url,
)
from tests.support.clients import share_certificates
from tests.support.event_schemas import check_events
from tests.support.harness import (
    RunningGateway,
    ScriptedUpstream,
    completion,
    reply,
    running_gateway,
)
from tests.support.pure import is_pure, no_processes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PROCESSES_LEAST, PROCESSES_MOST = 2, 4
"""Processes of a whole run: beyond four their servers want more memory than they save time."""
MEMORY, MEMORY_BYTES_MIN = Path("/dev/shm"), 2 * 2**30  # noqa: S108 - a folder is made in it.
"""Each process's PostgreSQL takes some 500 MB of it."""
# How long an example takes says how busy the machine is, and no test is about that.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
share_certificates()

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """A migrated database on a server of the tests' own, or on GATEWAYZ_TEST_DATABASE_URL."""
    with database_url() as url:
        if url:
            database = Database.from_url(url)
            migrate_all(database)
            yield database
            return
    with (
        tempfile.TemporaryDirectory(prefix="gw-", dir=_memory()) as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        _without_disk(database)
        migrate_all(database)
        yield database


def _memory() -> str | None:
    """A folder that is in memory, where there is one with room; else that for temporary files."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        return str(MEMORY)
    return None


def _without_disk(database: Database) -> None:
    """Wait for no disk: only a crash of the machine would lose what is not there yet.

    What outlives a killed server is tested on servers of those tests' own.
    """
    with database.with_name("postgres").connect_as_owner() as connection:
        for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '256MB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real broker."""
    with kafka_bootstrap(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Redis, shared by the tests of the run."""
    with redis_url(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def empty_redis(redis_server: str) -> str:
    """The same, emptied."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def pytest_configure(config: pytest.Config) -> None:
    """The order of the tests is random (`--randomly-seed=N` repeats it), random numbers are not.

    Tests seed their own, and so does Hypothesis.
    """
    config.option.randomly_reset_seed = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the pure tests, which `make check` runs."""
    for item in items:
        if is_pure(item):
            item.add_marker("pure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Hold a pure test to its word."""
    if item.get_closest_marker("pure") is None:
        return (yield)
    with no_processes(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Without a server the run covers less than is asked, and its closing line says why."""
    result = yield
    coverage = session.config.pluginmanager.getplugin("_cov")
    if coverage and closing_line():
        coverage.options.cov_fail_under = None
    return result


def pytest_xdist_auto_num_workers() -> int:
    """As many processes as there are processors, each with servers of its own.

    Tests wait more than they work, so there are never fewer than two; servers that somebody else
    runs are shared, and what one test wipes would be another's, so there is one then.
    """
    if any(variable in os.environ for variable in VARIABLES):
        return 1
    return min(max(os.cpu_count() or 1, PROCESSES_LEAST), PROCESSES_MOST)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was missing to the process that prints the summary."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output.update(missing=dict(MISSING), not_found=dict(NOT_FOUND))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take it, as a process ends."""
    output = getattr(node, "workeroutput", {})
    MISSING.update(output.get("missing", {}))
    NOT_FOUND.update(output.get("not_found", {}))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """List what failed where GATEWAYZ_TEST_FAILED says, so that it can be tried once more."""
    listed = os.environ.get("GATEWAYZ_TEST_FAILED")
    if report.failed and listed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(listed).open("a") as file:
            file.write(f"{report.nodeid}\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was missing: the servers, and the recordings, in one line each."""
    for line in (closing_line(), missing_line(NOT_FOUND)):
        if line:
            terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """An empty, migrated database of this test's own; its events must fit their schemas."""
    with fresh_database(server) as made:
        yield made
        check_events(made)


class fresh_database:
    """Make a database as a copy of the migrated one, and drop it afterwards."""

    def __init__(self, server: Database, template: str | None = None) -> None:
        """`server` is the migrated database to copy, unless another `template` is named."""
        self.server, self.template = server, template
        self.name = f"test_{os.getpid()}_{next(_numbers)}"

    def __enter__(self) -> Database:
        """Create the copy."""
        template = self.template or self.server.parts()["dbname"]
        with self.server.with_name("postgres").connect_as_owner() as connection:
            # Where nothing waits for the disk, files are copied faster than written to the WAL.
            waits = connection.execute("SHOW fsync").fetchone() == ("on",)
            how = "" if waits else "STRATEGY file_copy"
            connection.execute(f"CREATE DATABASE {self.name} TEMPLATE {template} {how}".encode())
        return self.server.with_name(self.name)

    def __exit__(self, *_: object) -> None:
        """Drop the copy, connections or not."""
        with self.server.with_name("postgres").connect_as_owner() as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """An upstream that does what the test says."""
    made = ScriptedUpstream(lambda connection, _: reply(connection, completion()))
    yield made
    made.close()


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway on the test's own database."""
    with running_gateway(database, tmp_path / "home", upstream) as made:
        yield made
