"""What dies, when, and what it takes until all is well again."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.support.small_disk import fill_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.processes import Server

VICTIMS = ("worker",) * 5 + ("background",) * 2 + ("postgres",) * 2 + ("supervisor", "everything")
DISK_SHARE = 0.15
"""Share of the strikes at which the spool's disk is filled as well, for a few strikes."""
FULL_STRIKES_MAX = 3
STARTS_MAX = 10
HEALTH_S = 60.0
DATABASE_VICTIMS = ("postgres", "supervisor", "everything")


@dataclass
class Killer:
    """Kills by a seed, and starts again what nobody else would."""

    start: Callable[[], Server]
    seed: int
    disk: Path | None = None
    """Where the spool has a small disk of its own, to be filled; None where it has not."""
    full_disks: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    failed_starts: int = 0
    down: list[tuple[float, float]] = field(default_factory=list)
    """From a kill that takes the database or the whole server along, until it is healthy again."""
    worker_bytes_max: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._filler: Path | None = None
        self._full_strikes = 0
        self.server = self.start()
        self.server.await_health()

    def strike(self) -> None:
        """Kill something, and wait until the server is well where it was not spared."""
        self._fill_or_free()
        victim = self._random.choice(VICTIMS)
        began = time.time()
        if victim in ("supervisor", "everything"):
            self._kill_supervisor(everything=victim == "everything")
        elif not self._kill_one(victim):
            return
        self.kills[victim] = self.kills.get(victim, 0) + 1
        if victim in DATABASE_VICTIMS:
            self._await_health()
            self.down.append((began, time.time()))

    def measure(self) -> None:
        """Note the largest resident memory of a worker, in bytes."""
        for pid in self.server.children("worker"):
            with suppress(OSError):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                size = pages * os.sysconf("SC_PAGE_SIZE")
                self.worker_bytes_max = max(self.worker_bytes_max, size)

    def free(self) -> None:
        """Make room on the disk again."""
        if self._filler is not None:
            self._filler.unlink()
            self._filler = None

    def _fill_or_free(self) -> None:
        if self._filler is not None:
            self._full_strikes -= 1
            if self._full_strikes <= 0:
                self.free()
        elif self.disk is not None and self._random.random() < DISK_SHARE:
            self._full_strikes = self._random.randint(1, FULL_STRIKES_MAX)
            self._filler = fill_up(self.disk)
            self.full_disks += 1

    def _kill_one(self, victim: str) -> bool:
        with suppress(OSError, ValueError):
            pids = [self.server.postgres()] if victim == "postgres" else self._children(victim)
            if pids:
                os.kill(self._random.choice(pids), signal.SIGKILL)
                return True
        return False

    def _children(self, kind: str) -> list[int]:
        return self.server.children(kind)

    def _kill_supervisor(self, *, everything: bool) -> None:
        pids = [self.server.process.pid]
        if everything:
            pids += self._children("worker") + self._children("background")
            with suppress(OSError, ValueError):
                pids.append(self.server.postgres())
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.process.wait()
        self.server = self.start()

    def _await_health(self) -> None:
        until = time.monotonic() + HEALTH_S
        starts = 0
        while time.monotonic() < until:
            if self.server.process.poll() is not None:
                starts += 1
                self.failed_starts += 1
                assert starts < STARTS_MAX, self.server.text()[-2_000:]
                time.sleep(0.5)
                self.server = self.start()
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.server.url}/health", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        message = f"not healthy in {HEALTH_S:.0f} s: {self.server.text()[-2_000:]}"
        raise AssertionError(message)
