"""Invoices of subscriptions, their refunds, disputes and fees: at Stripe, beside the log.

Each line names one thing that does not match, and why. It proposes, and makes no entry.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from command_api.money.compared import (
    LOOK,
    POLL,
    Fees,
    Line,
    Returned,
    differs,
    fee_lines,
    fees_of_disputes,
    not_taken,
    untold,
)
from domain.payments.fiat import Fiat, shown
from domain.payments.returned import Phase
from domain.subscriptions.allowance import AbsurdInvoiceError
from event_store.beside.billing.invoices import (
    read_invoice_fees,
    read_invoice_returns,
    read_invoices,
    read_invoices_named,
    read_not_given,
)
from event_store.beside.billing.subscriptions import read_customers_among
from event_store.beside.payments import read_payment_of_intent
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
)
from providers.payments.told import fiat_in, payment_named
from providers.payments.told_billing import INVOICE, invoice_of, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    import psycopg

    from command_api.money.compared import Lists
    from domain.payments.returns import ReturnSeen
    from domain.subscriptions.tiers import Offers
    from event_store.beside.billing.invoices import InvoiceRow

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
    Thing = dict[str, Any]

ROWS_MAX = 100_000
"""Most rows of one kind that are compared: give a shorter time for more."""
PAID = "paid"


@dataclass
class Reconciled:
    """What was compared; `lines` is empty when all is well."""

    invoices: int = 0
    refunds: int = 0
    disputes: int = 0
    fees: int = 0
    cut_short: bool = False
    lines: list[Line] = field(default_factory=list)


class InvoiceReconciliation:
    """One for each run."""

    def __init__(self, connect: Connect, lists: Lists, offers: Offers) -> None:
        """Reads both sides, of what came to be in a time; `offers` are what is sold here."""
        self._connect, self._lists, self._offers = connect, lists, offers
        self.found = Reconciled()

    async def compare(self) -> Reconciled:
        """All of the time. Raises PaymentsUnavailableError, psycopg.Error."""
        theirs = await self._theirs()
        ours = await self._ours(theirs)
        await self._invoices(theirs, ours)
        disputes = await self._lists.all(DISPUTE)
        back = await self._back(disputes)
        await self._fees(theirs, disputes, fees_of_disputes(disputes, back))
        return self.found

    async def _theirs(self) -> dict[str, Thing]:
        """Stripe's invoices of our customers for what is sold here, that are paid."""
        rows = [each for each in await self._lists.all(INVOICE) if each.get("status") == PAID]
        customers = await self._customers(named(each).customer_id for each in rows)
        return {
            str(each["id"]): each
            for each in rows
            if named(each).customer_id in customers
            and named(each).subscription_id
            and self._is_sold_here(each)
        }

    async def _ours(self, names: Iterable[str]) -> dict[str, InvoiceRow]:
        rows = await asyncio.to_thread(self._rows, read_invoices, names)
        return {each.invoice_id: each for each in rows}

    async def _invoices(self, theirs: Mapping[str, Thing], ours: Mapping[str, InvoiceRow]) -> None:
        self.found.invoices = len(theirs.keys() | ours.keys())
        for name in sorted(theirs.keys() - ours.keys()):
            paid = fiat_in(theirs[name], "amount_paid")
            said = (
                f"{'nothing' if paid is None else shown(paid)} was paid for the subscription "
                f"{named(theirs[name]).subscription_id}, and it is not noted as paid here"
            )
            self.found.lines.append(Line("invoice_not_told", name, "", said, POLL))
        for name, row in sorted(ours.items()):
            thing = theirs.get(name) or await self._lists.found(INVOICE, name)
            status = None if thing is None else thing.get("status")
            here = Fiat(row.amount_minor, row.currency)
            there = None if thing is None else fiat_in(thing, "amount_paid")
            if status != PAID:
                how = "not there" if status is None else str(status)[:40]
                said = f"{shown(here)} is noted as paid here, and at Stripe it is {how}"
                self.found.lines.append(Line("invoice_not_paid", name, "", said, LOOK))
            elif there != here:
                said = f"it is {'nothing' if there is None else shown(there)} at Stripe, and "
                said += f"{shown(here)} in the log"
                self.found.lines.append(Line("invoice_differs", name, "", said, LOOK))
        for name in await asyncio.to_thread(self._not_given, list(ours)):
            said = "it is noted as paid, and the ledger has no lot of its allowance"
            told = "gatewayz ledger verify tells more"
            self.found.lines.append(Line("lot_missing", name, "", said, told))

    async def _back(self, disputes: list[Thing]) -> dict[str, Returned]:
        """Refunds and disputes; returns those that the log has."""
        seen = {each["id"]: refund_in(each, 0) for each in await self._lists.all(REFUND)}
        seen |= {each["id"]: dispute_in(each, 0, "") for each in disputes}
        rows = await asyncio.to_thread(self._rows, read_invoice_returns, seen)
        known = {
            row.object_id: Returned(
                *(row.object_id, row.kind, row.phase, row.amount_minor, row.currency),
                *(row.credits_nano_usd, row.invoice_id, "", row.account_id),
            )
            for row in rows
        }
        kinds = [each.kind for each in known.values()]
        self.found.refunds, self.found.disputes = kinds.count(REFUND), kinds.count(DISPUTE)
        for name in sorted(seen.keys() - known.keys()):
            self.found.lines += await self._untold(seen[name])
        for name, row in sorted(known.items()):
            there = seen.get(name) or await self._lists.returned(row)
            self.found.lines += differs(row, there)
        self.found.lines += await asyncio.to_thread(self._not_taken, known)
        return known

    async def _untold(self, seen: ReturnSeen) -> list[Line]:
        """What is at Stripe and not here: of an invoice that is noted here as paid."""
        if seen.phase is Phase.BACK or await asyncio.to_thread(self._is_payment, seen.intent_id):
            return []
        invoice = await self._paid_by(seen.intent_id)
        return list(untold(seen, invoice)) if await self._is_noted(invoice) else []

    async def _fees(
        self, invoices: Mapping[str, Thing], disputes: list[Thing], theirs: Fees
    ) -> None:
        """Fees of charges and disputes; those of other products are passed over."""
        transactions = {each["id"]: each for each in await self._lists.all(BALANCE)}
        charges = [
            each
            for each in await self._lists.all(CHARGE)
            if each.get("paid") and not payment_named(each)
        ]
        customers = await self._customers(name_in(each.get("customer")) for each in charges)
        rows = await asyncio.to_thread(self._rows, read_invoice_fees, [*theirs, *transactions])
        told: Fees = {
            row.source_id: (Fiat(row.amount_minor, row.currency), row.invoice_id) for row in rows
        }
        for charge in charges:
            if name_in(charge.get("customer")) not in customers:
                continue
            for cost in fee_in(transactions.get(name_in(charge.get(BALANCE)), {})):
                known = told.get(cost.source_id)
                invoice = known[1] if known else await self._paid_by(intent_in(charge))
                if known or invoice in invoices or await self._is_noted(invoice):
                    theirs[cost.source_id] = cost.amount, invoice
        self.found.fees = len(theirs.keys() | told.keys())
        disputed = {cost.source_id for each in disputes for cost in fees_in(each)}
        self.found.lines += fee_lines(theirs, told, disputed | transactions.keys())

    async def _is_noted(self, invoice_id: str) -> bool:
        """Whether an invoice of any time is noted as paid here."""

        def read() -> bool:
            with self._connect() as connection:
                return bool(read_invoices_named(connection, [invoice_id]))

        return await asyncio.to_thread(read)

    async def _paid_by(self, intent_id: str) -> str:
        """The invoice that an intent is for; empty for none."""
        return await self._lists.provider.invoice_paid_by(intent_id) if intent_id else ""

    async def _customers(self, names: Iterable[str]) -> set[str]:
        """Those of Stripe's customers that are accounts here."""
        asked = sorted({each for each in names if each})

        def read() -> set[str]:
            with self._connect() as connection:
                return read_customers_among(connection, asked)

        return await asyncio.to_thread(read)

    def _is_sold_here(self, thing: Thing) -> bool:
        try:
            return invoice_of(thing, 0, self._offers) is not None
        except AbsurdInvoiceError:
            return True

    def _rows(self, read: Callable[..., list[Any]], names: Iterable[str]) -> list[Any]:
        with self._connect() as connection:
            rows = read(connection, list(names), self._lists.since, self._lists.until, ROWS_MAX)
        self.found.cut_short |= len(rows) == ROWS_MAX
        return rows

    def _not_given(self, names: list[str]) -> list[str]:
        with self._connect() as connection:
            return read_not_given(connection, names)

    def _not_taken(self, known: Mapping[str, Returned]) -> list[Line]:
        with self._connect() as connection:
            return list(not_taken(connection, known.values()))

    def _is_payment(self, intent_id: str) -> bool:
        with self._connect() as connection:
            return read_payment_of_intent(connection, intent_id) is not None
