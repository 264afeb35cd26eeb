"""Provider cost on record beside an invoice, by day and model: what does not match, and why.

On record is what the attempts of calls cost by the prices of their offers, as the books have it
(`provider_cost:NAME`): those that failed and those that came too late among them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import (
    HoldExpired,
    HoldResolved,
    HoldSettled,
    HoldVoided,
    HouseLossBooked,
)
from domain.pricing.money import EXACT, NANO_PER_USD
from event_store.log.reading import position_before, read_topics_after
from providers.invoices.formats import key_of
from providers.invoices.reading import GROUPS_MAX, InvoiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from event_store.postgres.database import Database
    from providers.invoices.reading import Invoice

    Report = Callable[[int, int], None]

PAGE_EVENTS = 1_000
BOOKED_WITHIN = timedelta(days=1)
"""A call that began on a day is looked for so long after its end: a spool may have kept it."""
TOPICS = tuple(each.TOPIC for each in (HoldSettled, HoldVoided, HoldExpired, HouseLossBooked))
ALL_MODELS = "all models"
NO_MODEL = "none named"


class Line(NamedTuple):
    """What does not match, in USD; `line` is that of the file, 0 for a day and a model."""

    why: str
    day: str
    model: str
    invoiced_usd: str
    on_record_usd: str
    difference_usd: str
    line: int
    said: str
    proposal: str


@dataclass(slots=True)
class Compared:
    """Both sides; `lines` is empty when all is well."""

    days: tuple[date, date]
    matched: int = 0
    invoiced: Decimal = field(default_factory=Decimal)
    on_record: Decimal = field(default_factory=Decimal)
    lines: list[Line] = field(default_factory=list)

    @property
    def why(self) -> dict[str, int]:
        """How many lines of each kind."""
        return dict(sorted(Counter(each.why for each in self.lines).items()))


def compare(
    database: Database, provider: str, invoice: Invoice, tolerance_nano_usd: int, report: Report
) -> Compared:
    """Compare the days of an invoice; raises InvoiceError for more models than can be compared."""
    first, last = invoice.days
    recorded = _recorded(database, provider, first, last, report)
    if not invoice.by_model:
        days: dict[tuple[date, str], int] = {}
        for (day, _), cost in recorded.items():
            days[day, ""] = days.get((day, ""), 0) + cost
        recorded = days
    found, tolerance = Compared((first, last)), Decimal(tolerance_nano_usd)
    for fault in invoice.faults:
        found.lines.append(
            Line(fault.why, "", "", "", "", "", fault.line, fault.said, "look at the row itself")
        )
    for day, model in sorted(invoice.billed.keys() | recorded.keys()):
        billed = EXACT.multiply(invoice.billed.get((day, model), Decimal(0)), NANO_PER_USD)
        known = Decimal(recorded.get((day, model), 0))
        found.invoiced = EXACT.add(found.invoiced, billed)
        found.on_record = EXACT.add(found.on_record, known)
        if abs(EXACT.subtract(billed, known)) <= tolerance:
            found.matched += 1
        else:
            found.lines.append(_line(provider, day, model or _unnamed(invoice), billed, known))
    return found


def _line(provider: str, day: date, model: str, billed: Decimal, cost: Decimal) -> Line:
    difference = EXACT.subtract(billed, cost)
    if model == NO_MODEL:
        why, said = "no_model", "the row names no model, as others of the file do"
        proposal = "export it by model, or compare it by hand"
    elif not cost:
        why, said = "not_on_record", f"{provider} billed what no call of that day cost"
        proposal = "look for who else has the key; the invoice's model may have another name here"
    elif not billed:
        why, said = "not_invoiced", "calls cost it by the price on record, and it was not billed"
        proposal = "look whether the export has all keys, and whether the price is right"
    else:
        more = "more" if difference > 0 else "less"
        why, said = "amount_differs", f"{provider} billed {more} than the price on record"
        proposal = (
            "compare the price with the provider's list: gatewayz rerate shows what another costs"
        )
    return Line(
        why, day.isoformat(), model, usd(billed), usd(cost), usd(difference), 0, said, proposal
    )


def _unnamed(invoice: Invoice) -> str:
    return NO_MODEL if invoice.by_model else ALL_MODELS


def usd(nano_usd: Decimal) -> str:
    """Nano-USD as USD, exactly."""
    return format(EXACT.divide(nano_usd, NANO_PER_USD).normalize(EXACT), "f")


def _recorded(
    database: Database, provider: str, first: date, last: date, report: Report
) -> dict[tuple[date, str], int]:
    """What a provider's attempts cost, nano-USD, by the day (UTC) of their beginning and model."""
    found: dict[tuple[date, str], int] = {}
    with database.connect() as connection:
        begins = datetime.combine(first, time(tzinfo=UTC))
        ends = datetime.combine(last, time(tzinfo=UTC)) + timedelta(days=1) + BOOKED_WITHIN
        after, to = position_before(connection, begins), position_before(connection, ends)
        position = after
        while entries := read_topics_after(
            connection, position, PAGE_EVENTS, to_position=to, topics=TOPICS
        ):
            position = entries[-1].position
            for entry in entries:
                if isinstance(entry.event, HoldResolved | HouseLossBooked):
                    for day, model, cost in _attempts(entry.event, provider):
                        if first <= day <= last:
                            found[day, model] = found.get((day, model), 0) + cost
            if len(found) > GROUPS_MAX:
                message = f"more than {GROUPS_MAX} days and models are on record: shorten the time"
                raise InvoiceError(message)
            report(position - after, to - after)
    return found


def _attempts(
    event: HoldResolved | HouseLossBooked, provider: str
) -> Iterator[tuple[date, str, int]]:
    """Day, model and cost of each attempt that has one, by the rule of the books."""
    for attempt in event.attempts:
        cost = attempt.get("cost_nano_usd")
        if attempt.get("provider") == provider and isinstance(cost, int) and cost > 0:
            began = attempt.get("started_at") or event.effective_at
            day = datetime.fromisoformat(began).astimezone(UTC).date()
            yield day, key_of(str(attempt.get("model", ""))), cost
