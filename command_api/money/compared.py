"""What reconciliations have in common: Stripe's lists, and lines that do not match.

Who compares payments and who compares invoices ask for the same lists; each is asked for once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from domain.payments.fiat import Fiat, shown
from providers.payments.port import NotThereError
from providers.payments.returns import REFUND, dispute_in, fees_in, refund_in

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from datetime import datetime

    import psycopg

    from domain.payments.returns import ReturnSeen
    from providers.payments.port import PaymentProvider

    Thing = dict[str, Any]

PAGES_MAX = 1_000
"""Most pages (of a hundred) of one kind of object: give a shorter time for more."""
POLL = "gatewayz reconcile stripe --poll brings what was missed"
LOOK = "look for it at Stripe by its id"
HANDLE = "have its event handled anew: gatewayz payments handle EVENT"
_DEBITS = "SELECT debit_id FROM debit_key WHERE debit_id = ANY (%s)"

Fees = dict[str, tuple[Fiat, str]]
"""By balance transaction: the fee, and the payment or invoice that it is of."""


class Line(NamedTuple):
    """What does not match. `payment_id` is an invoice's id where it is about a subscription."""

    why: str
    payment_id: str
    intent_id: str
    said: str
    proposal: str


class Returned(NamedTuple):
    """A refund or a dispute as the log has it, of a payment or an invoice; credits nano-USD."""

    id: str
    kind: str
    phase: str
    minor: int
    currency: str
    credits: int
    of: str
    intent_id: str
    account_id: UUID

    @property
    def debit_id(self) -> UUID:
        """The debit that takes its credits."""
        return uuid5(self.account_id, f"debit {self.kind} {self.id}")


class Lists:
    """Stripe's objects of a time, each kind asked for once; one for each run."""

    def __init__(self, provider: PaymentProvider, since: datetime, until: datetime) -> None:
        """Nothing is asked for yet."""
        self.provider, self.since, self.until = provider, since, until
        self.cut_short = False
        """Whether there was more of a kind than is asked for."""
        self._known: dict[str, list[Thing]] = {}

    async def all(self, kind: str) -> list[Thing]:
        """All of a kind, the newest first. Raises PaymentsUnavailableError."""
        if kind not in self._known:
            self._known[kind] = await self._asked(kind)
        return self._known[kind]

    async def _asked(self, kind: str) -> list[Thing]:
        rows: list[Thing] = []
        after, begins, ends = "", int(self.since.timestamp()), int(self.until.timestamp())
        for _ in range(PAGES_MAX):
            page = await self.provider.listed(kind, begins, ends, after)
            rows += page.rows
            if not (page.more and page.rows):
                return rows
            after = str(page.rows[-1]["id"])
        self.cut_short = True
        return rows

    async def found(self, kind: str, name: str) -> Thing | None:
        """One of any time; None where it is not there."""
        try:
            return await self.provider.thing(kind, name)
        except NotThereError:
            return None

    async def returned(self, row: Returned) -> ReturnSeen | None:
        """A refund or a dispute of any time; None where it is not there."""
        thing = await self.found(row.kind, row.id)
        if thing is None:
            return None
        return refund_in(thing, 0) if row.kind == REFUND else dispute_in(thing, 0, "")


def differs(row: Returned, there: ReturnSeen | None) -> Iterator[Line]:
    """How a refund or a dispute of the log is not as Stripe has it."""
    about = row.of, row.intent_id
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


def untold(seen: ReturnSeen, name: str) -> Iterator[Line]:
    """A refund or a dispute that the log does not have, of this payment or invoice of ours."""
    if seen.amount is not None:
        said = f"a {seen.kind} of {shown(seen.amount)} ({seen.id}) is not in the log"
        yield Line(f"{seen.kind}_not_told", name, seen.intent_id, said, POLL)


def not_taken(connection: psycopg.Connection[Any], rows: Iterable[Returned]) -> Iterator[Line]:
    """Those whose credits the ledger never took."""
    due = {each.debit_id: each for each in rows if each.credits > 0}
    there = {row[0] for row in connection.execute(_DEBITS, [list(due)]).fetchall()}
    for name, each in due.items():
        if name not in there:
            said = f"the {each.kind} {each.id} is in the log, and its credits were not taken"
            yield Line("debit_missing", each.of, each.intent_id, said, HANDLE)


def fee_lines(theirs: Fees, told: Fees, elsewhere: Container[str]) -> Iterator[Line]:
    """How the fees of the log are not Stripe's; `elsewhere` are transactions that are there."""
    for name in sorted(theirs.keys() - told.keys()):
        fee, of = theirs[name]
        yield Line(
            "fee_not_told", of, "", f"a fee of {shown(fee)} ({name}) is not in the log", POLL
        )
    for name, (fee, of) in sorted(told.items()):
        there = theirs.get(name, (None, ""))[0]
        if there is None and name not in elsewhere:
            said = f"a fee of {shown(fee)} ({name}) is not among Stripe's of this time"
            yield Line("fee_unknown", of, "", said, LOOK)
        elif there is not None and there != fee:
            said = f"the fee {name} is {shown(there)} at Stripe, and {shown(fee)} in the log"
            yield Line("fee_differs", of, "", said, LOOK)


def fees_of_disputes(disputes: Iterable[Thing], known: Mapping[str, Returned]) -> Fees:
    """The fees of the disputes that the log has, as Stripe says."""
    return {
        cost.source_id: (cost.amount, known[each["id"]].of)
        for each in disputes
        if each["id"] in known
        for cost in fees_in(each)
    }
