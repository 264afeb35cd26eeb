"""Under kills, hostile providers and hostile clients the books stay right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.torture.run import Plan, shown, torture

if TYPE_CHECKING:
    from pathlib import Path

SECONDS, SEED = 12.0, 5


def test_nothing_is_lost_double_or_left_over(tmp_path: Path) -> None:
    """A dozen seconds of kills by a fixed seed; `make torture` runs for long (P1, P2, P3, P12)."""
    report = torture(tmp_path, Plan(SECONDS, SEED))
    assert report.clean, shown(report)
    assert report.kills > 0
    assert report.answered > 0
