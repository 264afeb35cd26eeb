"""How long the event loop had nothing to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from command_api.shedding.idleness import Idleness
from projections.hosting import contention

if TYPE_CHECKING:
    from pathlib import Path


def test_neither_run_nor_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the last look, and never less than nothing (rule: calls first)."""
    file = tmp_path / "schedstat"
    monkeypatch.setattr(contention, "SCHEDSTAT", file)
    file.write_text("5000000 1000000 9")
    idle = Idleness()
    file.write_text("12000000 4000000 9")
    assert idle.since(25_000) == 15_000
    assert idle.since(25_000) == 25_000
    file.write_text("52000000 4000000 9")
    assert idle.since(25_000) == 0


@pytest.mark.parametrize("text", [None, "", "unknown"])
def test_a_kernel_that_does_not_tell_leaves_lateness_alone(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere than on Linux a process that is late counts as busy (rule: calls first)."""
    file = tmp_path / "schedstat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(contention, "SCHEDSTAT", file)
    assert Idleness().since(25_000) == 0


def test_who_sleeps_is_idle() -> None:
    """By the real kernel's word, of which one tick may be missing (rule: calls first)."""
    idle = Idleness()
    time.sleep(0.2)
    assert idle.since(200_000) > 100_000
