"""Pure tests: those that need no server, no folder and no other process.

Which they are follows from the fixtures that a test takes, so no list of them is kept; that they
stay what they say is checked while they run.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

HARMLESS = frozenset({"request", "monkeypatch", "caplog", "capsys", "recwarn"})
"""Fixtures that a pure test may take."""
PROGRAMS = frozenset({"git"})
"""What a pure test may run: it tells which files are tracked, and what they were."""

_running: list[str] = []
"""The pure test that runs, if one does."""


def is_pure(item: pytest.Item) -> bool:
    """Whether a test takes harmless fixtures only; its parameters are none."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return set(getattr(item, "fixturenames", ["?"])) <= HARMLESS | set(parameters)


@contextmanager
def no_processes(test: str) -> Iterator[None]:
    """Refuse, while the block runs, to start a process."""
    _running.append(test)
    try:
        yield
    finally:
        _running.remove(test)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if _running and event == "subprocess.Popen" and arguments[0] not in PROGRAMS:
        message = f"{_running[0]} takes no fixture, so it counts as pure and may start no process"
        raise AssertionError(message)


sys.addaudithook(_refuse)
