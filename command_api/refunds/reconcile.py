"""What went back, what it cost and what was paid out: at Stripe, beside the log.

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
from event_store.beside.payments import read_payment_of_intent
from providers.payments.returns import (
    BALANCE,
    CHARGE,
    DISPUTE,
    PAYOUT,
    REFUND,
    dispute_in,
    fee_in,
    fees_in,
    name_in,
    payout_in,
    refund_in,
)
from providers.payments.told import payment_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import psycopg

    from command_api.money.compared import Lists
    from domain.payments.returns import ReturnSeen

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
    Thing = dict[str, Any]

_RETURNS = (
    "SELECT r.object_id, r.kind, r.phase, r.amount_minor, r.currency, r.credits_nano_usd, "
    "r.payment_id::text, p.intent_id, p.account_id FROM payment_return r "
    "JOIN payment p USING (payment_id) WHERE r.object_id = ANY (%s) "
    "OR (r.created_at >= %s AND r.created_at < %s)"
)
_COSTS = (
    "SELECT source_id, payment_id::text, amount_minor, currency FROM payment_cost "
    "WHERE kind = 'fee' AND (source_id = ANY (%s) OR (created_at >= %s AND created_at < %s))"
)
_PAYOUTS = (
    "SELECT payout_id, paid, amount_minor, currency FROM payout "
    "WHERE payout_id = ANY (%s) OR (created_at >= %s AND created_at < %s)"
)


@dataclass
class Reconciled:
    """What was compared; `lines` is empty when all is well."""

    refunds: int = 0
    disputes: int = 0
    fees: int = 0
    payouts: int = 0
    lines: list[Line] = field(default_factory=list)


class ReturnsReconciliation:
    """One for each run."""

    def __init__(self, connect: Connect, lists: Lists) -> None:
        """Reads both sides, of what came to be in a time."""
        self._connect, self._lists = connect, lists
        self.found = Reconciled()

    async def compare(self) -> Reconciled:
        """All of the time. Raises PaymentsUnavailableError, psycopg.Error."""
        refunds, disputes = await self._lists.all(REFUND), await self._lists.all(DISPUTE)
        seen = {each["id"]: refund_in(each, 0) for each in refunds}
        seen |= {each["id"]: dispute_in(each, 0, "") for each in disputes}
        known = await asyncio.to_thread(self._returns, list(seen))
        self.found.refunds, self.found.disputes = len(refunds), len(disputes)
        for name in seen.keys() - known.keys():
            self.found.lines += await asyncio.to_thread(self._untold, seen[name])
        for name, row in known.items():
            there = seen.get(name) or await self._lists.returned(row)
            self.found.lines += differs(row, there)
        self.found.lines += await asyncio.to_thread(self._not_taken, known)
        await self._fees(disputes, fees_of_disputes(disputes, known))
        await self._payouts()
        return self.found

    async def _fees(self, disputes: list[Thing], theirs: Fees) -> None:
        """Fees of our charges and disputes; those of other products are passed over."""
        transactions = {each["id"]: each for each in await self._lists.all(BALANCE)}
        for charge in await self._lists.all(CHARGE):
            ours = payment_named(charge)
            transaction = transactions.get(name_in(charge.get(BALANCE)), {})
            for cost in fee_in(transaction) if ours and charge.get("paid") else ():
                theirs[cost.source_id] = cost.amount, ours
        known = await asyncio.to_thread(self._rows, _COSTS, [*theirs, *transactions])
        disputed = {cost.source_id for each in disputes for cost in fees_in(each)}
        told: Fees = {row[0]: (Fiat(row[2], row[3]), row[1]) for row in known}
        self.found.fees = len(theirs.keys() | told.keys())
        self.found.lines += fee_lines(theirs, told, disputed | transactions.keys())

    async def _payouts(self) -> None:
        seen = [payout_in(each, 0) for each in await self._lists.all(PAYOUT)]
        theirs = {each.id: each for each in seen if each is not None}
        known = await asyncio.to_thread(self._rows, _PAYOUTS, list(theirs))
        told = {row[0]: (row[1], Fiat(row[2], row[3])) for row in known}
        self.found.payouts = len(theirs.keys() | told.keys())
        for name, there in sorted(theirs.items()):
            if name not in told and there.paid:
                said = f"the payout {name} of {shown(there.amount)} is not in the log"
                self.found.lines.append(Line("payout_not_told", "", "", said, POLL))
            elif name in told and told[name] != (there.paid, there.amount):
                said = f"the payout {name} of {shown(there.amount)} is not as the log has it"
                self.found.lines.append(Line("payout_differs", "", "", said, POLL))
        for name in sorted(told.keys() - theirs.keys()):
            said = f"the payout {name} is not among Stripe's of this time"
            self.found.lines.append(Line("payout_unknown", "", "", said, LOOK))

    def _rows(self, query: str, names: list[str]) -> list[tuple[Any, ...]]:
        of = [names, self._lists.since, self._lists.until]
        with self._connect() as connection:
            return connection.execute(query.encode(), of).fetchall()

    def _returns(self, names: list[str]) -> dict[str, Returned]:
        return {row[0]: Returned(*row) for row in self._rows(_RETURNS, names)}

    def _untold(self, seen: ReturnSeen) -> list[Line]:
        """What is at Stripe and not here: of a payment of ours, unless nothing moved by it."""
        with self._connect() as connection:
            row = read_payment_of_intent(connection, seen.intent_id)
        if row is None or row.lot_id is None or seen.phase is Phase.BACK:
            return []
        return list(untold(seen, str(row.payment_id)))

    def _not_taken(self, known: dict[str, Returned]) -> list[Line]:
        with self._connect() as connection:
            return list(not_taken(connection, known.values()))
