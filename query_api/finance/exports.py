"""The journal of a period as CSV, Parquet, or text of beancount or ledger, written part by part.

Memory does not grow with the period: lines are read in parts, and accounts in pages.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from domain.books.periods import counted_at
from domain.pricing.money import format_usd
from event_store.ids import to_iso
from event_store.log.reading import read_entries_at
from projections.all import projection_named
from projections.engine.projection import select_on
from projections.money.as_of import Time, find_times
from projections.money.books import LinesAsked, read_journal
from query_api.finance.plain_text import BEANCOUNT, LEDGER, Dialect, Posted, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from event_store.postgres.database import Connects
    from projections.money.books import AsOf, JournalLine

Format = Literal["csv", "parquet", "beancount", "ledger"]
MEDIA: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "beancount": "text/plain; charset=utf-8",
    "ledger": "text/plain; charset=utf-8",
}
DIALECTS: dict[str, Dialect] = {"beancount": BEANCOUNT, "ledger": LEDGER}
PART_LINES = 2_000
COLUMNS = (
    *("position", "line", "event_id", "event_type", "account", "account_id"),
    *("amount_nano_usd", "amount_usd", "booked_at", "dated_at"),
)
JOURNAL = projection_named("journal")


class Period(NamedTuple):
    """What is exported: between two times, and the days (ISO 8601) on which it begins and ends."""

    since: Time
    until: Time
    begins: str
    ends: str


def export(
    database: Connects, period: Period, format_: Format, *, wait_s: float
) -> Iterator[bytes]:
    """The document in pieces, the first when its times are found.

    Raises AsOfError and ProjectionLaggingError before the first piece.
    """
    with database.connect() as connection:
        since, until = find_times(connection, JOURNAL, (period.since, period.until), wait_s=wait_s)
    if format_ in DIALECTS:
        lines = _events_of(database, since, until)
        days = (period.begins, period.ends)
        yield from text_of(DIALECTS[format_], database, (since, until), days, lines)
    elif format_ == "csv":
        yield from _csv(_parts(database, since, until))
    else:
        yield from _parquet(_parts(database, since, until))


def _parts(database: Connects, since: AsOf, until: AsOf) -> Iterator[list[Posted]]:
    """The lines, part by part, each with its event."""
    after, asked = (0, -1), LinesAsked(until, since)
    while True:
        with database.connect() as connection:
            lines = read_journal(select_on(connection), asked, after=after, limit=PART_LINES)
            events = {
                entry.position: (entry.event.id, entry.event.TOPIC)
                for entry in read_entries_at(connection, {each.position for each in lines})
            }
        if lines:
            yield [Posted(each, *events[each.position], _day(each, until)) for each in lines]
        if len(lines) < PART_LINES:
            return
        after = (lines[-1].position, lines[-1].line)


def _events_of(database: Connects, since: AsOf, until: AsOf) -> Iterator[list[Posted]]:
    """The lines of one event after the other."""
    left: list[Posted] = []
    for part in _parts(database, since, until):
        for each in part:
            if left and left[-1].line.position != each.line.position:
                yield left
                left = []
            left.append(each)
    if left:
        yield left


def _day(line: JournalLine, until: AsOf) -> str:
    """The day of a line in the books, in UTC."""
    if until.instant is None:
        return to_iso(line.booked_at)[:10]
    return counted_at(to_iso(line.dated_at), line.position, until.closes)[:10]


def _row(each: Posted) -> Sequence[Any]:
    line = each.line
    return (
        *(line.position, line.line, each.event_id, each.event_type, line.ledger_account),
        *(str(line.account_id), line.amount, format_usd(line.amount)),
        *(to_iso(line.booked_at), to_iso(line.dated_at)),
    )


def _csv(parts: Iterator[list[Posted]]) -> Iterator[bytes]:
    # Nothing here is written by a customer, and amounts below nought are to stay numbers.
    yield _lines([COLUMNS])
    for part in parts:
        yield _lines(_row(each) for each in part)


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


def _parquet(parts: Iterator[list[Posted]]) -> Iterator[bytes]:
    """Amounts are decimals without a scale: integers of any size."""
    # It takes a hundred megabytes, which no other request needs.
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("position", pa.int64()),
            ("line", pa.int16()),
            ("event_id", pa.string()),
            ("event_type", pa.string()),
            ("account", pa.string()),
            ("account_id", pa.string()),
            ("amount_nano_usd", pa.decimal128(38, 0)),
            ("booked_at", pa.timestamp("us", tz="UTC")),
            ("dated_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    out = _Drain()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for part in parts:
            lines = [each.line for each in part]
            columns = [
                [line.position for line in lines],
                [line.line for line in lines],
                [each.event_id for each in part],
                [each.event_type for each in part],
                [line.ledger_account for line in lines],
                [str(line.account_id) for line in lines],
                pa.array([line.amount for line in lines]).cast(pa.decimal128(38, 0)),
                [line.booked_at for line in lines],
                [line.dated_at for line in lines],
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            yield out.taken()
    yield out.taken()


class _Drain(io.RawIOBase):
    """Takes what is written, to be taken away after each part."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found
