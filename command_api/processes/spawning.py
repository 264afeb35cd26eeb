"""The children of a supervisor: started, replaced when they die, ended together."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from command_api.processes.locks import child_lock
from command_api.settings.surroundings import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings import Settings

logger = logging.getLogger("gatewayz.supervisor")

PROGRAM = "command_api.processes.children"
RESTART_WAIT_S = 0.5
STOP_MARGIN_S = 5.0


class Children:
    """The child processes of one supervisor."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started yet."""
        self._home = settings.installation.home
        self._stop_s = settings.server.shutdown_grace_s + STOP_MARGIN_S
        self._environment = environment_of(settings)
        self._running: dict[subprocess.Popen[bytes], tuple[str, tuple[int, ...]]] = {}

    def start(self, kind: str, *inherited: int) -> None:
        """Start one; it inherits these descriptors, and is told their numbers."""
        with child_lock(self._home) as lock:
            child = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, kind, *map(str, inherited)],
                pass_fds=[*inherited, lock],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=self._environment,
            )
        self._running[child] = (kind, inherited)

    @property
    def all_ended(self) -> bool:
        """Whether none is left."""
        return all(child.poll() is not None for child in self._running)

    def replace_ended(self, stopping: Callable[[], bool]) -> None:
        """Start anew, after a pause each, those that have ended; none once we are stopping."""
        for child, (kind, inherited) in list(self._running.items()):
            if child.poll() is not None and not stopping():
                logger.error("%s ended with %s and is restarted", kind, child.returncode)
                del self._running[child]
                time.sleep(RESTART_WAIT_S)
                self.start(kind, *inherited)

    def stop(self) -> None:
        """End all, in the time for calls in flight and a margin; then by force."""
        for child in self._running:
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + self._stop_s
        for child in self._running:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
