"""Lines that callers could make without end are written seldom, and say how many there were."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from command_api.log_lines.seldom import EVERY_S, KINDS_MAX, SeldomLines

if TYPE_CHECKING:
    import pytest

LOGGER = logging.getLogger("gatewayz.seldom")


class Clock:
    """A clock that stands until it is told."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_flood_is_a_line_a_minute_which_tells_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first at once, later ones with their number, each kind by itself (rule: bounded)."""
    clock = Clock()
    lines = SeldomLines(clock)
    for _ in range(1_000):
        lines.write(LOGGER, logging.WARNING, "a", "%s was refused", "a")
    lines.write(LOGGER, logging.ERROR, "b", "b was refused")
    assert caplog.messages == ["a was refused", "b was refused"]
    clock.now_s = EVERY_S - 0.1
    lines.write(LOGGER, logging.WARNING, "a", "%s was refused", "a")
    assert len(caplog.messages) == 2
    clock.now_s = EVERY_S
    lines.write(LOGGER, logging.WARNING, "a", "%s was refused", "a")
    assert caplog.messages[2:] == ["a was refused; 1000 more like it were left out"]
    clock.now_s = 2 * EVERY_S
    lines.write(LOGGER, logging.WARNING, "a", "%s was refused", "a")
    assert caplog.messages[3:] == ["a was refused"]


def test_kinds_without_end_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A caller who makes ever new kinds makes no more lines than there is room for, and old
    kinds are let go of (rule: bounded).
    """
    clock = Clock()
    lines = SeldomLines(clock)
    for number in range(3 * KINDS_MAX):
        lines.write(LOGGER, logging.WARNING, f"k{number}", "refused")
    assert len(caplog.messages) == KINDS_MAX + 1
    clock.now_s = EVERY_S
    caplog.clear()
    for number in range(3 * KINDS_MAX):
        lines.write(LOGGER, logging.WARNING, f"n{number}", "refused")
    assert len(caplog.messages) == KINDS_MAX + 1


def test_a_level_that_nobody_hears_uses_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The line comes once the level is heard (rule: observable)."""
    lines = SeldomLines(Clock())
    caplog.set_level(logging.ERROR, LOGGER.name)
    lines.write(LOGGER, logging.WARNING, "a", "refused")
    caplog.set_level(logging.WARNING, LOGGER.name)
    lines.write(LOGGER, logging.WARNING, "a", "refused")
    assert caplog.messages == ["refused"]
