"""The relay and the workers as processes, on a database and a broker of a test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from event_store.log.reading import head_position
from projections.all import PROJECTIONS
from projections.engine.comparison import compare
from projections.engine.rebuild import rebuild
from projections.engine.register import read_status
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import install
from projections.hosting.verify import verify
from tests.support.processes import PROGRAM, TIMEOUT_S, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.history import History

PARTITIONS = 4


class Program:
    """One `gatewayz` process, with what it wrote."""

    def __init__(self, log: Path, *arguments: str, environment: dict[str, str]) -> None:
        """Start it."""
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(PROGRAM), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **environment},
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait; a process that does not end is a failure."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.log.read_text()[-4000:]) from None


class System:
    """A database whose projections are the workers', and the processes around it."""

    def __init__(
        self, database: Database, bootstrap: str, folder: Path, *, redis_url: str | None = None
    ) -> None:
        """Give the projections to the workers; nothing runs yet."""
        self.database, self.folder, self.redis_url = database, folder, redis_url
        self.sinks = sinks_of(redis_url)
        install(database, self.sinks)
        for projection in PROJECTIONS:
            rebuild(database, projection, self.sinks, host="workers", partitions=PARTITIONS)
        self.topic = f"test.{uuid.uuid4().hex}"
        self.environment = {
            "GATEWAYZ_DATABASE_URL": database.owner,
            "GATEWAYZ_HOME": str(folder / "home"),
            "GATEWAYZ_KAFKA_BOOTSTRAP": bootstrap,
            "GATEWAYZ_KAFKA_TOPIC": self.topic,
            "GATEWAYZ_KAFKA_PARTITIONS": str(PARTITIONS),
            "GATEWAYZ_PROJECTION_HOST": "workers",
            "GATEWAYZ_RELAY_BATCH_EVENTS_MAX": "200",
            "GATEWAYZ_WORKER_BATCH_EVENTS_MAX": "500",
            "GATEWAYZ_LOG_LEVEL": "info",
        }
        if redis_url:
            self.environment["GATEWAYZ_REDIS_URL"] = redis_url
        self.programs: list[Program] = []
        self.ports: list[int] = []

    def start(self, verb: str, **environment: str) -> Program:
        """A relay or a worker, on a port of its own."""
        port = free_port()
        program = Program(
            self.folder / f"{verb}-{len(self.programs)}.log",
            verb,
            "--port",
            str(port),
            environment={**self.environment, **environment},
        )
        self.programs.append(program)
        self.ports.append(port)
        return program

    def stop(self) -> None:
        """End what still runs."""
        for program in self.programs:
            program.stop()

    def metrics(self, program: Program) -> dict[str, float]:
        """What a process exports."""
        port = self.ports[self.programs.index(program)]
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S).text
        pairs = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    def positions(self) -> dict[str, int]:
        """Where the projections stand."""
        with self.database.connect() as connection:
            return {each.name: each.position for each in read_status(connection)}

    def head(self) -> int:
        """Position of the last event."""
        with self.database.connect() as connection:
            return head_position(connection)

    def await_head(self, *, but: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S) -> None:
        """Wait until all projections stand at the head of the log."""
        until = time.monotonic() + timeout_s
        head = self.head()
        while True:
            behind = {k: v for k, v in self.positions().items() if v < head and k not in but}
            if not behind:
                return
            for program in self.programs:
                assert program.process.poll() in (None, 0, -9), program.log.read_text()[-4000:]
            assert time.monotonic() < until, (head, behind, self.logs())
            time.sleep(0.05)

    def logs(self) -> str:
        """The ends of what the processes wrote."""
        return "\n".join(program.log.read_text()[-3000:] for program in self.programs)

    def verified(self) -> None:
        """`ledger verify` and `projections verify` are clean, at the head."""
        report = verify(self.database, self.sinks)
        assert report.differences == []
        head, found = compare(self.database, PROJECTIONS, self.sinks)
        assert [text for each in found for text in each.differences] == []
        assert {each.position for each in found} == {head}
        assert all(each.parked == [] for each in found)


@contextmanager
def system(database: Database, bootstrap: str, folder: Path, **options: Any) -> Iterator[System]:
    """A system whose processes end with the block."""
    made = System(database, bootstrap, folder, **options)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def load(history: History, *, calls: int = 10, pause_s: float = 0.02) -> Iterator[None]:
    """Append calls all the time, in small batches, until the block ends."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.wait(pause_s):
                history.calls(calls)
        except BaseException as error:  # noqa: BLE001  told to the test, which is another thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT_S)
    assert errors == []
