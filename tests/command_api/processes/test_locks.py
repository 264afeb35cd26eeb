"""One server for a home, and none beside the children of an earlier one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from command_api.processes import locks
from command_api.processes.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path


def sleeper(home: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A child that holds the children's lock while it lives."""
    with locks.child_lock(home) as lock:
        return subprocess.Popen(
            [sys.executable, "-c", f"import time; time.sleep({seconds})"], pass_fds=[lock]
        )


def test_a_home_has_one_server(tmp_path: Path) -> None:
    """Two supervisors of a home would lapse each other's leases; the second is refused (P1)."""
    home = tmp_path / "a/home"
    with locks.home_lock(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(StartError, match="runs already"), locks.home_lock(home):
            pass
    with locks.home_lock(home):
        pass


def test_a_start_waits_for_the_children_of_a_killed_server(tmp_path: Path) -> None:
    """Leases lapse only when nobody of that home can still append (P2)."""
    first, second = sleeper(tmp_path, 0.2), sleeper(tmp_path, 0.6)
    locks.await_orphans(tmp_path)
    assert first.poll() == second.poll() == 0
    with locks.child_lock(tmp_path):  # And the next children can hold it again.
        pass


def test_children_that_do_not_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end, and says what to do (rule: refuse clearly)."""
    monkeypatch.setattr(locks, "ORPHANS_WAIT_S", 0.3)
    child = sleeper(tmp_path, 30)
    try:
        began = time.monotonic()
        with pytest.raises(StartError, match="end them, and start again"):
            locks.await_orphans(tmp_path)
        assert 0.3 <= time.monotonic() - began < 5
    finally:
        child.kill()
        child.wait()
    waiting = threading.Thread(target=locks.await_orphans, args=(tmp_path,))
    waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()
