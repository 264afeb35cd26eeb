"""Whose calls come first."""

from __future__ import annotations

import pytest

from domain.overload.priorities import Priority, priority_of
from domain.plans.catalog import PLANS


@pytest.mark.parametrize(
    ("plan", "admin", "live", "found"),
    [
        (None, False, True, Priority.MEDIUM),
        (None, False, False, Priority.LOW),
        ("free", False, True, Priority.LOW),
        ("free", False, False, Priority.BACKGROUND),
        ("dev", False, True, Priority.MEDIUM),
        ("team", False, True, Priority.HIGH),
        ("team", False, False, Priority.MEDIUM),
        ("customize", False, True, Priority.HIGH),
        ("free", True, False, Priority.CRITICAL),
    ],
)
def test_a_call_is_of_its_plans_class(
    plan: str | None, admin: bool, live: bool, found: Priority
) -> None:
    """Admins first; a key that is not live one class later (rule: calls first)."""
    of_plan = PLANS[plan].priority if plan else None
    assert priority_of(of_plan, admin=admin, live=live) is found


def test_there_is_no_class_after_the_last() -> None:
    """A key that is not live of the last class stays in it (rule: calls first)."""
    assert priority_of(Priority.BACKGROUND, admin=False, live=False) is Priority.BACKGROUND
