"""Invoices that an admin refunds: found by what paid them, or by their id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid5

from command_api.subscriptions.billed import Invoices
from domain.payments.returns import NotPaidError
from domain.subscriptions.bills import bill_of, refundable_of
from event_store.ids import new_uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.identity.people import People
    from command_api.subscriptions.billed import Billed
    from domain.payments.returned import Return
    from domain.payments.returns import ReturnSeen
    from domain.subscriptions.subscription import Subscription
    from domain.subscriptions.tiers import Offers
    from event_store.append.committer import Committer
    from providers.payments.port import PaymentProvider


@dataclass(frozen=True, slots=True)
class PaidInvoice:
    """An invoice of a subscription that is noted as paid."""

    state: Subscription
    billed: Billed
    intent_id: str
    invoices: Invoices

    @property
    def names(self) -> Mapping[str, str | None]:
        """By Stripe's id of the invoice."""
        return {"payment_id": None, "invoice_id": self.billed.invoice_id}

    def request_id(self, key: str | None) -> str:
        """Of the invoice and the key."""
        name = f"refund {self.billed.invoice_id} {key}"
        return str(uuid5(self.state.id, name) if key else new_uuid7())

    def asked(self, request_id: str) -> Return | None:
        """As the log knows it for ever."""
        return bill_of(self.state.bills, self.billed.invoice_id).returns.asked(request_id)

    def left(self, asked: int | None) -> int:
        """By the rule of payments."""
        return refundable_of(self.state, self.billed.invoice_id, asked)

    async def observe(self, seen: ReturnSeen) -> None:
        """In the subscription's stream; its allowance follows."""
        await self.invoices.observe(self.billed, seen)


class InvoiceRefunds:
    """One for each process."""

    def __init__(
        self,
        people: People,
        committer: Committer,
        provider: PaymentProvider | None,
        offers: Offers,
    ) -> None:
        """Through the connections of people."""
        self._people, self._committer = people, committer
        self._provider, self._offers = provider, offers

    async def of_intent(self, intent_id: str, actor: str) -> PaidInvoice | None:
        """The invoice that an intent paid; raises NotPaidError for one that is not noted as paid,
        and what a provider raises.
        """
        invoices = self._invoices(actor)
        billed = await invoices.paid_by(intent_id)
        return None if billed is None else await self._paid(invoices, billed, intent_id)

    async def of_invoice(self, invoice_id: str, actor: str) -> PaidInvoice | None:
        """An invoice of a subscription of ours; raises as `of_intent`."""
        invoices = self._invoices(actor)
        billed = await invoices.named(invoice_id)
        if billed is None:
            return None
        intent_id = await invoices.asked().intent_paying(invoice_id)
        return await self._paid(invoices, billed, intent_id)

    async def _paid(self, invoices: Invoices, billed: Billed, intent_id: str) -> PaidInvoice | None:
        state = await invoices.state(billed.subscription_id)
        noted = state is not None and billed.invoice_id in state.paid
        if not noted and not await invoices.is_sold_here(billed):
            return None
        if state is None or not noted or not intent_id:
            message = (
                f"the invoice {billed.invoice_id} is not noted as paid by a card here, so there is "
                "nothing to refund"
            )
            raise NotPaidError(message)
        return PaidInvoice(state, billed, intent_id, invoices)

    def _invoices(self, actor: str) -> Invoices:
        people = self._people
        made = people.connect, people.events, self._committer, self._provider
        return Invoices(*made, self._offers, actor)
