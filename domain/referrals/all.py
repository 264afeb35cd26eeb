"""All codes and referrals, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.offers.referrals import ReferralEvent
from domain.referrals.referral import evolve

if TYPE_CHECKING:
    from domain.events.base import Event
    from domain.referrals.referral import ReferralCode


@dataclass(slots=True)
class AllReferrals:
    """Every code by its stream."""

    codes: dict[str, ReferralCode] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if not isinstance(event, ReferralEvent):
            return
        stream = str(event.originator_id)
        state = evolve(self.codes.get(stream), event)
        if state is not None:
            self.codes[stream] = state
