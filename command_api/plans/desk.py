"""What the routes are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.plans.commands import Plans

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.people import People


class PlanDesk:
    """One for each process."""

    def __init__(self, people: People, forget: Callable[[str], None], *, planless: bool) -> None:
        """`forget` is told whose keys are to be looked up anew."""
        self.people, self.forget = people, forget
        self.plans = Plans(people, planless=planless)
