"""The top-ups of all accounts, folded from the log: what their table has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.money.topups import TopUpEvent
from domain.topups.topups import TopUps, evolve_top_ups

if TYPE_CHECKING:
    from domain.events.base import Event


@dataclass(slots=True)
class AllTopUps:
    """By account."""

    by_account: dict[str, TopUps] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, TopUpEvent):
            known = self.by_account.get(event.account_id, TopUps())
            self.by_account[event.account_id] = evolve_top_ups(known, event)
