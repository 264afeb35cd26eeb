"""One server for a home, and none beside the children of an earlier one, by file locks."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from command_api.processes.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORPHANS_WAIT_S = 20.0
"""How long the children of a killed supervisor may take to end."""
POLL_S = 0.1


@contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Be the one server of a home, which is made when absent. Raises StartError beside another."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = (home / "server.lock").open("a+")
    except OSError as error:
        message = f"the home {home} cannot be written ({error.strerror}): "
        message += "choose another with --home or GATEWAYZ_HOME"
        raise StartError(message) from None
    with opened as lock:
        if not _locked(lock):
            message = (
                f"a server of the home {home} runs already. Stop it first, or choose another "
                f"home with --home (and another --port)"
            )
            raise StartError(message)
        yield


@contextmanager
def child_lock(home: Path) -> Iterator[int]:
    """The lock that a child holds while it lives: a descriptor for it to inherit."""
    with _children_lock(home) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock.fileno()  # The child's copy keeps the lock until the child is dead.


def await_orphans(home: Path) -> None:
    """Wait until no child of an earlier server lives: only dead ones may have lapsed leases.

    Raises StartError after ORPHANS_WAIT_S.
    """
    with _children_lock(home) as lock:
        until = time.monotonic() + ORPHANS_WAIT_S
        while not _locked(lock):
            if time.monotonic() > until:
                message = (
                    f"processes of an earlier server still use {home}: end them, and start again"
                )
                raise StartError(message)
            time.sleep(POLL_S)


def _children_lock(home: Path) -> IO[str]:
    return (home / "children.lock").open("a+")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
