"""All payments, folded from the log: what the table of payments has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.money.payments import PaymentEvent
from domain.payments.payment import Payment, evolve_payment

if TYPE_CHECKING:
    from domain.events.base import Event


@dataclass(slots=True)
class PaymentBook:
    """Every payment there is."""

    payments: dict[str, Payment] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if not isinstance(event, PaymentEvent):
            return
        stream = str(event.originator_id)
        known = evolve_payment(self.payments.get(stream), event)
        if known is not None:
            self.payments[stream] = known
