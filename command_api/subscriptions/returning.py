"""What Stripe told of money that paid an invoice: refunds, disputes, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.subscriptions.billed import Invoices
from domain.payments.fiat import USD
from providers.payments.returns import (
    BALANCE,
    CHARGE,
    DISPUTE,
    REFUND,
    dispute_in,
    fee_in,
    fees_in,
    intent_in,
    name_in,
    refund_in,
    refunded,
)
from providers.payments.told import UnreadableEventError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from command_api.subscriptions.billed import Connect
    from domain.payments.returns import CostSeen, ReturnSeen
    from domain.subscriptions.tiers import Offers
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

ACTOR = "system:stripe"
DOLLARS: Mapping[str, str] = {USD: "1"}


class InvoiceReturns:
    """The handler of what goes back of subscriptions, and of what their money cost."""

    kinds = frozenset({REFUND, DISPUTE, CHARGE})

    def __init__(
        self,
        connect: Connect,
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
        offers: Offers,
        rates: Mapping[str, str] = DOLLARS,
    ) -> None:
        """The provider is asked which invoice an intent paid; `rates` are USD for one unit of each
        currency.
        """
        self._invoices = Invoices(connect, events, committer, provider, offers, ACTOR)
        self._rates = rates

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on what is of an invoice of ours; raises as `Handler.handle` says."""
        intent_id, gone = intent_in(thing), refunded(thing)
        costs = await self._costs(notice, thing)
        goes_back = notice.kind != CHARGE or (gone is not None and gone.minor > 0)
        if not intent_id or not (goes_back or costs):
            return False
        billed = await self._invoices.paid_by(intent_id)
        if billed is None or not await self._invoices.is_sold_here(billed):
            return False
        # Whether it is noted as paid here yet or not: it cost so much.
        for cost in costs:
            await self._invoices.cost(billed, cost, self._rates)
        if goes_back and await self._invoices.is_noted(billed):
            for seen in await self._seen(notice, thing, as_of):
                await self._invoices.observe(billed, seen)
        return True

    async def _costs(self, notice: Notice, thing: Mapping[str, Any]) -> list[CostSeen]:
        """What is said to cost something: a charge names the transaction that has its fee."""
        if notice.kind == DISPUTE:
            return list(fees_in(thing))
        name = name_in(thing.get(BALANCE))
        ours = name and thing.get("paid") is True and notice.kind == CHARGE
        if not ours or not await self._invoices.is_ours(name_in(thing.get("customer"))):
            return []
        return list(fee_in(await self._invoices.asked().thing(BALANCE, name)))

    async def _seen(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> list[ReturnSeen]:
        """What is said to go back; a charge does not say by which refunds, so these are asked."""
        match notice.kind:
            case "refund":
                seen = [refund_in(thing, as_of)]
            case "dispute":
                seen = [dispute_in(thing, as_of, notice.type)]
            case _:
                refunds = await self._invoices.asked().refunds_of(intent_in(thing))
                seen = [refund_in(each, as_of) for each in refunds]
        if not all(each.id for each in seen):
            message = f"a {notice.kind} without an id"
            raise UnreadableEventError(message)
        return seen
