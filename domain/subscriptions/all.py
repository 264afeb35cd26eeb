"""All customers and subscriptions, folded from the log: what their tables have to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.money.subscriptions import CustomerEvent, SubscriptionEvent
from domain.subscriptions.customer import evolve_customer
from domain.subscriptions.subscription import evolve_subscription

if TYPE_CHECKING:
    from domain.events.base import Event
    from domain.subscriptions.customer import Customer
    from domain.subscriptions.subscription import Subscription


@dataclass(slots=True)
class AllSubscriptions:
    """By account, and by stream."""

    customers: dict[str, Customer] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, CustomerEvent):
            customer = evolve_customer(self.customers.get(event.account_id), event)
            if customer is not None:
                self.customers[event.account_id] = customer
        elif isinstance(event, SubscriptionEvent):
            stream = str(event.originator_id)
            found = evolve_subscription(self.subscriptions.get(stream), event)
            if found is not None:
                self.subscriptions[stream] = found
