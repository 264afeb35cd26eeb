"""The plans of all users, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.offers.plans import PlanAssigned, PlanEvent

if TYPE_CHECKING:
    from domain.events.base import Event


@dataclass(slots=True)
class AllPlans:
    """By user: account, version, plan and its end."""

    by_user: dict[str, tuple[str, int, str | None, str | None]] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if not isinstance(event, PlanEvent):
            return
        plan, ends = None, None
        if isinstance(event, PlanAssigned):
            plan, ends = event.plan, event.expires_at
        self.by_user[event.user_id] = event.account_id, event.originator_version, plan, ends
