"""What went back, what it cost and what was paid out: at Stripe, beside the log.

Each line names one thing that does not match, and why. It proposes, and makes no entry.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from domain.payments.fiat import Fiat, shown
from domain.payments.returned import Phase
from event_store.beside.payments import read_payment_of_intent
from providers.payments.port import NotThereError
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
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    import psycopg

    from domain.payments.returns import ReturnSeen
    from providers.payments.port import PaymentProvider

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
    Thing = dict[str, Any]

PAGES_MAX = 1_000
"""Most pages (of a hundred) of one kind of object: give a shorter time for more."""
POLL = "gatewayz reconcile stripe --poll brings what was missed"
LOOK = "look for it at Stripe by its id"
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
_DEBITS = "SELECT debit_id FROM debit_key WHERE debit_id = ANY (%s)"


class Line(NamedTuple):
    """What does not match."""

    why: str
    payment_id: str
    intent_id: str
    said: str
    proposal: str


class _Return(NamedTuple):
    """A refund or a dispute as the log has it."""

    id: str
    kind: str
    phase: str
    minor: int
    currency: str
    credits: int
    payment_id: str
    intent_id: str
    account_id: UUID

    @property
    def debit_id(self) -> UUID:
        """The debit that takes its credits."""
        return uuid5(self.account_id, f"debit {self.kind} {self.id}")


@dataclass
class Reconciled:
    """What was compared; `lines` is empty when all is well."""

    refunds: int = 0
    disputes: int = 0
    fees: int = 0
    payouts: int = 0
    cut_short: bool = False
    lines: list[Line] = field(default_factory=list)


class ReturnsReconciliation:
    """One for each run."""

    def __init__(
        self, connect: Connect, provider: PaymentProvider, since: datetime, until: datetime
    ) -> None:
        """Reads both sides, of what came to be in a time."""
        self._connect, self._provider = connect, provider
        self._since, self._until = since, until
        self.found = Reconciled()

    async def compare(self) -> Reconciled:
        """All of the time. Raises PaymentsUnavailableError, psycopg.Error."""
        refunds, disputes = await self._all(REFUND), await self._all(DISPUTE)
        seen = {each["id"]: refund_in(each, 0) for each in refunds}
        seen |= {each["id"]: dispute_in(each, 0, "") for each in disputes}
        known = await asyncio.to_thread(self._returns, list(seen))
        self.found.refunds, self.found.disputes = len(refunds), len(disputes)
        for name in seen.keys() - known.keys():
            self.found.lines += await asyncio.to_thread(self._untold, seen[name])
        for name, row in known.items():
            there = seen.get(name) or await self._looked_up(row)
            self.found.lines += _differs(row, there)
        self.found.lines += await asyncio.to_thread(self._not_taken, known)
        await self._fees(disputes)
        await self._payouts()
        return self.found

    async def _all(self, kind: str) -> list[Thing]:
        """Stripe's objects of a kind, of the time."""
        rows: list[Thing] = []
        after, begins, ends = "", int(self._since.timestamp()), int(self._until.timestamp())
        for _ in range(PAGES_MAX):
            page = await self._provider.listed(kind, begins, ends, after)
            rows += page.rows
            if not (page.more and page.rows):
                return rows
            after = str(page.rows[-1]["id"])
        self.found.cut_short = True
        return rows

    async def _looked_up(self, row: _Return) -> ReturnSeen | None:
        """One of another time at Stripe; None where it is not there."""
        try:
            thing = await self._provider.thing(row.kind, row.id)
        except NotThereError:
            return None
        return refund_in(thing, 0) if row.kind == REFUND else dispute_in(thing, 0, "")

    async def _fees(self, disputes: list[Thing]) -> None:
        """Fees of our charges and disputes; those of other products are passed over."""
        transactions = {each["id"]: each for each in await self._all(BALANCE)}
        theirs: dict[str, tuple[Fiat, str]] = {}
        for charge in await self._all(CHARGE):
            ours = payment_named(charge)
            transaction = transactions.get(name_in(charge.get(BALANCE)), {})
            for cost in fee_in(transaction) if ours and charge.get("paid") else ():
                theirs[cost.source_id] = cost.amount, ours
        known = await asyncio.to_thread(self._rows, _COSTS, [*theirs, *transactions])
        disputed = {cost.source_id for each in disputes for cost in fees_in(each)}
        told = {row[0]: (Fiat(row[2], row[3]), row[1]) for row in known}
        self.found.fees = len(theirs.keys() | told.keys())
        for name in sorted(theirs.keys() - told.keys()):
            fee, payment = theirs[name]
            said = f"a fee of {shown(fee)} ({name}) is not in the log"
            self.found.lines.append(Line("fee_not_told", payment, "", said, POLL))
        for name, (fee, payment) in sorted(told.items()):
            there = theirs.get(name, (None, ""))[0]
            if there is None and name not in disputed and name not in transactions:
                said = f"a fee of {shown(fee)} ({name}) is not among Stripe's of this time"
                self.found.lines.append(Line("fee_unknown", payment, "", said, LOOK))
            elif there is not None and there != fee:
                said = f"the fee {name} is {shown(there)} at Stripe, and {shown(fee)} in the log"
                self.found.lines.append(Line("fee_differs", payment, "", said, LOOK))

    async def _payouts(self) -> None:
        seen = [payout_in(each, 0) for each in await self._all(PAYOUT)]
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
        with self._connect() as connection:
            return connection.execute(query.encode(), [names, self._since, self._until]).fetchall()

    def _returns(self, names: list[str]) -> dict[str, _Return]:
        return {row[0]: _Return(*row) for row in self._rows(_RETURNS, names)}

    def _untold(self, seen: ReturnSeen) -> Iterator[Line]:
        """What is at Stripe and not here: of a payment of ours, unless nothing moved by it."""
        with self._connect() as connection:
            row = read_payment_of_intent(connection, seen.intent_id)
        if row is None or row.lot_id is None or seen.amount is None or seen.phase is Phase.BACK:
            return
        said = f"a {seen.kind} of {shown(seen.amount)} ({seen.id}) is not in the log"
        yield Line(f"{seen.kind}_not_told", str(row.payment_id), seen.intent_id, said, POLL)

    def _not_taken(self, known: Mapping[str, _Return]) -> list[Line]:
        """Those whose credits the ledger never took."""
        due = {each.debit_id: each for each in known.values() if each.credits > 0}
        with self._connect() as connection:
            there = {row[0] for row in connection.execute(_DEBITS, [list(due)]).fetchall()}
        return [
            Line(
                "debit_missing",
                each.payment_id,
                each.intent_id,
                f"the {each.kind} {each.id} is in the log, and its credits were not taken",
                "have its event handled anew: gatewayz payments handle EVENT",
            )
            for name, each in due.items()
            if name not in there
        ]


def _differs(row: _Return, there: ReturnSeen | None) -> Iterator[Line]:
    about = row.payment_id, row.intent_id
    here = Fiat(row.minor, row.currency)
    if there is None:
        said = f"the {row.kind} {row.id} of {shown(here)} is not at Stripe"
        yield Line(f"{row.kind}_unknown", *about, said, LOOK)
        return
    if there.amount != here:
        theirs = "nothing" if there.amount is None else shown(there.amount)
        said = f"the {row.kind} {row.id} is {theirs} at Stripe, and {shown(here)} in the log"
        yield Line(f"{row.kind}_differs", *about, said, "look at both; Stripe's may have changed")
    if there.phase != row.phase:
        said = f"the {row.kind} {row.id} is {there.phase} at Stripe, and {row.phase} in the log"
        yield Line(f"{row.kind}_differs", *about, said, POLL)
