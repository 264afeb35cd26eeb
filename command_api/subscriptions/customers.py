"""The one customer that an account is at Stripe: made when it is first needed, and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.subscriptions.customer import link_customer
from event_store.beside.billing.subscriptions import read_customer
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from command_api.identity.people import People
    from edge.caller import Caller
    from event_store.beside.billing.subscriptions import CustomerRow
    from providers.payments.billing import BillingProvider


class Customers:
    """One for each process."""

    def __init__(self, people: People, provider: BillingProvider | None) -> None:
        """Through the connections of people."""
        self._people, self._provider = people, provider

    async def of(self, caller: Caller) -> str:
        """The customer that the caller's account is; empty where nobody can pay.

        Gateways that ask at once are given the same by Stripe, under a key that is made of the
        account, and one of them writes it down. Raises PaymentsUnavailableError and
        PaymentRefusedError, PersistenceError and psycopg.Error.
        """
        known = await self._people.run(self.known, caller.account_id)
        if known is not None or self._provider is None:
            return "" if known is None else known.customer_id
        made = await self._provider.create_customer(caller.account_id)
        return await self._people.run(self._link, caller, made)

    def known(self, account_id: str) -> CustomerRow | None:
        """The customer that an account is, if it is one."""
        with self._people.connect() as connection:
            return read_customer(connection, UUID(account_id))

    def _link(self, caller: Caller, made: str) -> str:
        event = link_customer(caller.account_id, made, new_envelope(caller.actor))
        try:
            self._people.events.append([event])
        except IntegrityError:
            # Another gateway was quicker; what it wrote down counts.
            known = self.known(caller.account_id)
            if known is None:
                raise
            return known.customer_id
        return made
