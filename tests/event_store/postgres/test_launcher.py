"""A child of ours is known from its first moment, whatever signal comes while it is born."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from event_store.postgres.launcher import ENDING_SIGNALS, Launcher, end_group, undisturbed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


class Told(KeyboardInterrupt):
    """What the handler of these tests raises, as the program's own do."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers that raise."""

    def tell(number: int, _: object) -> None:
        raise Told(number)

    before = {number: signal.signal(number, tell) for number in ENDING_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_signal_does_not_lose_a_child_that_is_being_born(number: int, tmp_path: Path) -> None:
    """It raises once the child is known, and once only (rule: two commands)."""
    child: subprocess.Popen[bytes] | None = None
    handler = signal.getsignal(number)
    with (tmp_path / "log").open("wb") as log, pytest.raises(Told), undisturbed():
        signal.raise_signal(number)
        child = Launcher().popen(["sleep", "60"], log)
    assert child is not None
    assert child.poll() is None
    end_group(child)
    assert signal.getsignal(number) is handler
    with pytest.raises(Told):
        signal.raise_signal(number)


def test_a_failure_to_start_is_told_and_leaves_the_handlers(tmp_path: Path) -> None:
    """A command that is not there raises as ever (rule: two commands)."""
    handler = signal.getsignal(signal.SIGTERM)
    with (
        (tmp_path / "log").open("wb") as log,
        pytest.raises(FileNotFoundError),
        undisturbed(),
    ):
        Launcher().popen([str(tmp_path / "none")], log)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_another_thread_holds_nothing_back(tmp_path: Path) -> None:
    """Handlers are the main thread's, and stay as they are (rule: two commands)."""
    seen: list[object] = []

    def start() -> None:
        with (tmp_path / "log").open("wb") as log, undisturbed():
            child = Launcher().popen(["sleep", "60"], log)
            seen.append(signal.getsignal(signal.SIGTERM))
        end_group(child)

    handler = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_an_ignored_signal_stays_ignored() -> None:
    """As a hang-up is under nohup (rule: two commands)."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with undisturbed():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
