"""Payments as Stripe has them beside payments as the log has them: what does not match, and why.

It proposes, and makes no entry.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.money.compared import Line
from command_api.payments.inbox import FAILED, entries
from domain.payments.fiat import Fiat, shown
from domain.payments.payment import Status
from event_store.beside.payments import read_payment, read_payments_between
from providers.payments.port import NotThereError
from providers.payments.told import INTENT, observed, payment_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    import psycopg

    from event_store.beside.payments import PaymentRow
    from providers.payments.port import PaymentProvider

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

INTENTS_MAX = 100_000
"""Most intents of one reconciliation: give a shorter time for more."""
PAGES_MAX = INTENTS_MAX // 100
_LOTS = "SELECT lot_id FROM grant_key WHERE lot_id = ANY (%s)"


@dataclass
class Reconciled:
    """What was compared; `lines` is empty when all is well."""

    intents: int = 0
    payments: int = 0
    matched: int = 0
    not_ours: int = 0
    cut_short: bool = False
    lines: list[Line] = field(default_factory=list)


class Reconciliation:
    """One for each run."""

    def __init__(self, connect: Connect, provider: PaymentProvider) -> None:
        """Reads both sides."""
        self._connect, self._provider = connect, provider

    async def compare(self, since: datetime, until: datetime) -> Reconciled:
        """Every payment of a time. Raises PaymentsUnavailableError, psycopg.Error."""
        found = Reconciled()
        ours = await asyncio.to_thread(self._ours, since, until)
        theirs = await self._theirs(since, until, found)
        ours |= await asyncio.to_thread(self._named, theirs.keys() - ours.keys())
        await self._look_up(ours, theirs)
        given = await asyncio.to_thread(self._given, ours)
        found.payments = len(ours)
        for name in theirs.keys() - ours.keys():
            found.lines += _unknown(name, theirs[name])
        for name, row in ours.items():
            lines = list(_lines(row, theirs.get(name, []), given=name in given))
            found.matched += not lines
            found.lines += lines
        found.lines += await asyncio.to_thread(self._failed)
        return found

    async def _look_up(
        self, ours: dict[str, PaymentRow], theirs: dict[str, list[dict[str, Any]]]
    ) -> None:
        """What was paid outside the time: Stripe is asked for it by its id."""
        for name, row in ours.items():
            if row.status == Status.COMPLETED and name not in theirs and row.intent_id:
                with suppress(NotThereError):
                    theirs[name] = [await self._provider.thing(INTENT, row.intent_id)]

    async def _theirs(
        self, since: datetime, until: datetime, found: Reconciled
    ) -> dict[str, list[dict[str, Any]]]:
        """Stripe's intents by the payment of ours that they name."""
        rows: list[dict[str, Any]] = []
        after = ""
        for _ in range(PAGES_MAX):
            begins, ends = int(since.timestamp()), int(until.timestamp())
            page = await self._provider.listed(INTENT, begins, ends, after)
            rows += page.rows
            if not (page.more and page.rows):
                break
            after = str(page.rows[-1]["id"])
        else:
            found.cut_short = True
        found.intents = len(rows)
        named: dict[str, list[dict[str, Any]]] = {}
        for intent in rows:
            name = payment_named(intent)
            if name:
                named.setdefault(name, []).append(intent)
            else:
                found.not_ours += 1
        return named

    def _ours(self, since: datetime, until: datetime) -> dict[str, PaymentRow]:
        with self._connect() as connection:
            rows = read_payments_between(connection, since, until, INTENTS_MAX)
        return {str(row.payment_id): row for row in rows}

    def _named(self, names: set[str]) -> dict[str, PaymentRow]:
        """Payments of another time that Stripe names in this one."""
        found: dict[str, PaymentRow] = {}
        with self._connect() as connection:
            for name in names:
                with suppress(ValueError):
                    row = read_payment(connection, UUID(name))
                    if row is not None:
                        found[name] = row
        return found

    def _given(self, ours: dict[str, PaymentRow]) -> set[str]:
        """The payments whose lot is in the ledger."""
        lots = {row.lot_id: name for name, row in ours.items() if row.lot_id is not None}
        with self._connect() as connection:
            rows = connection.execute(_LOTS, [list(lots)]).fetchall()
        return {lots[lot] for (lot,) in rows}

    def _failed(self) -> list[Line]:
        with self._connect() as connection:
            return [
                Line(
                    "event_failed",
                    "",
                    "",
                    f"event {each.event_id} ({each.kind}): {each.error}",
                    f"once the cause is gone: gatewayz payments handle {each.event_id}",
                )
                for each in entries(connection, FAILED)
            ]


def _unknown(name: str, intents: list[dict[str, Any]]) -> Iterator[Line]:
    for intent in intents:
        seen = observed(intent, 0)
        if seen is not None and seen.status is Status.COMPLETED:
            yield Line(
                "unknown_payment",
                name,
                seen.intent_id,
                f"{_paid(seen.paid)} was paid for a payment that the log does not have here",
                "look for it in a longer time, or in another installation on this account; else "
                "refund it at Stripe",
            )


def _lines(row: PaymentRow, intents: list[dict[str, Any]], *, given: bool) -> Iterator[Line]:
    """What does not match of one payment."""
    name, price = str(row.payment_id), Fiat(row.amount_minor, row.currency)
    done = row.status == Status.COMPLETED
    paid = [seen for each in intents if (seen := observed(each, 0)) and seen.paid is not None]
    for seen in paid:
        if seen.paid != price:
            said = f"{_paid(seen.paid)} was paid where {shown(price)} was asked for"
            yield Line("amount_differs", name, seen.intent_id, said, "refund it at Stripe")
    for seen in paid[1:]:
        said = f"{_paid(seen.paid)} was paid again, by another charge"
        yield Line("paid_twice", name, seen.intent_id, said, "refund one of them at Stripe")
    if paid and paid[0].paid == price and not done:
        yield Line(
            "paid_not_credited",
            name,
            paid[0].intent_id,
            f"{shown(price)} was paid, and its credits were not given",
            "gatewayz reconcile stripe --poll brings what was missed",
        )
    if done and not paid:
        said = f"{shown(price)} is completed here, and Stripe has no payment of it in this time"
        yield Line(
            "credited_not_paid", name, row.intent_id, said, "look for it at Stripe by its id"
        )
    if done and not given:
        said = "it is completed, and the ledger has no lot of it"
        yield Line("lot_missing", name, row.intent_id, said, "gatewayz ledger verify tells more")


def _paid(paid: Fiat | None) -> str:
    return "nothing" if paid is None else shown(paid)
