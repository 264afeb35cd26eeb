"""Reading an export row by row, however large or odd it is."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

from domain.pricing.money import EXACT
from providers.invoices.formats import FORMATS, USD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Protocol, TextIO

    from providers.invoices.formats import Format

    class CsvRows(Protocol):
        """What `csv.reader` makes."""

        @property
        def line_num(self) -> int:
            """Lines that were read so far."""
            ...

        def __iter__(self) -> Iterator[list[str]]:
            """The rows."""
            ...

        def __next__(self) -> list[str]:
            """The next row."""
            ...


FILE_BYTES_MAX = 512 * 1024 * 1024
ROWS_MAX = 1_000_000
LINE_CHARACTERS_MAX = 65_536
GROUPS_MAX = 50_000
"""Days times models: more is no invoice of a month or a year."""
DAYS_MAX = 400
FAULTS_MAX = 1_000
"""Rows that are named because they cannot be read; beyond, they are only counted."""
MODEL_CHARACTERS_MAX = 256
AMOUNT_CHARACTERS_MAX = 64
AMOUNT_USD_MAX = Decimal(1_000_000_000)
AMOUNT_DECIMALS_MAX = 40
DIGEST_BYTES = 16
SHOWN_CHARACTERS = 60
COLUMNS_SHOWN = 12


class InvoiceError(ValueError):
    """The file is no export that is known; the message says what it is."""


class Fault(NamedTuple):
    """A row that counts for nothing, by its line in the file, and why."""

    line: int
    why: str
    said: str


@dataclass(slots=True)
class Invoice:
    """What a file bills: exact USD by day and model."""

    format: str
    rows: int = 0
    blank: int = 0
    """Rows that say that nothing was billed."""
    faulty: int = 0
    by_model: bool = False
    """Whether any row names a model; else there are only days."""
    billed: dict[tuple[date, str], Decimal] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day; raises InvoiceError for a file without any."""
        days = [day for day, _ in self.billed]
        if not days:
            message = "the file bills nothing: none of its rows has a day and an amount"
            raise InvoiceError(message)
        return min(days), max(days)


class _RowError(ValueError):
    def __init__(self, why: str, said: str) -> None:
        super().__init__(said)
        self.why = why


def read_invoice(path: Path) -> Invoice:
    """Read an export; raises InvoiceError, and OSError where the file cannot be read."""
    if path.stat().st_size > FILE_BYTES_MAX:
        message = f"{path} has more than {FILE_BYTES_MAX} bytes: export a shorter time"
        raise InvoiceError(message)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(csv.reader(_lines(file), strict=True), path)
    except UnicodeDecodeError:
        message = f"{path} is no text in UTF-8: export it as CSV, and do not open it in between"
        raise InvoiceError(message) from None
    except csv.Error as error:
        message = f"{path} is no CSV: {error}"
        raise InvoiceError(message) from None


def _lines(file: TextIO) -> Iterator[str]:
    """The lines, none of them longer than its maximum."""
    while line := file.readline(LINE_CHARACTERS_MAX + 1):
        if len(line) > LINE_CHARACTERS_MAX:
            message = f"it has a line of more than {LINE_CHARACTERS_MAX} characters"
            raise csv.Error(message)
        if "\0" in line:
            message = "it has bytes that no text has"
            raise csv.Error(message)
        yield line


def _read(rows: CsvRows, path: Path) -> Invoice:
    form, places = _format_of(next(rows, []), path)
    invoice, seen = Invoice(form.name), set[bytes]()
    for row in rows:
        if not any(row):
            continue
        invoice.rows += 1
        if invoice.rows > ROWS_MAX:
            message = f"{path} has more than {ROWS_MAX} rows: export a shorter time"
            raise InvoiceError(message)
        try:
            _take(invoice, form, places, row, seen)
        except _RowError as fault:
            invoice.faulty += 1
            if len(invoice.faults) < FAULTS_MAX:
                invoice.faults.append(Fault(rows.line_num, fault.why, str(fault)))
    first, last = invoice.days
    if (last - first).days >= DAYS_MAX:
        message = f"{path} is of {first} to {last}: at most {DAYS_MAX} days are compared at once"
        raise InvoiceError(message)
    return invoice


def _format_of(header: list[str], path: Path) -> tuple[Format, dict[str, int]]:
    places = {name.strip().lower(): place for place, name in enumerate(header)}
    for form in FORMATS:
        if all(column in places for column in form.columns):
            return form, places
    found = ", ".join(shown(each) for each in header[:COLUMNS_SHOWN]) or "none"
    wanted = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in FORMATS)
    message = f"{path} has not the columns of any known export ({wanted}), but {found}"
    raise InvoiceError(message)


def _take(
    invoice: Invoice, form: Format, places: dict[str, int], row: list[str], seen: set[bytes]
) -> None:
    """Add a row to what is billed; raises _RowError."""

    def cell(column: str | None) -> str:
        place = places[column] if column else len(row)
        return row[place].strip() if place < len(row) else ""

    if len(row) < len(places):
        message = f"the row has {len(row)} cells, and the header {len(places)}"
        raise _RowError("cells_missing", message)
    if not cell(form.amount) and form.blank:
        invoice.blank += 1
        return
    day, amount = _day(cell(form.day)), _amount(cell(form.amount))
    if form.currency and cell(form.currency).lower() != USD:
        message = f"the amount is in {shown(cell(form.currency)) or 'no currency'}, not in USD"
        raise _RowError("other_currency", message)
    if len(cell(form.model)) > MODEL_CHARACTERS_MAX:
        message = f"its model has more than {MODEL_CHARACTERS_MAX} characters"
        raise _RowError("model_unreadable", message)
    named = cell(form.row_id) if form.row_id else "\x1f".join(row)
    digest = hashlib.blake2b(named.encode(), digest_size=DIGEST_BYTES).digest()
    if digest in seen:
        message = f"the same row stands there before: {shown(named)}"
        raise _RowError("row_repeated", message)
    seen.add(digest)
    key = (day, form.model_key(cell(form.model)))
    if key not in invoice.billed and len(invoice.billed) >= GROUPS_MAX:
        message = f"it has more than {GROUPS_MAX} models and days: export a shorter time"
        raise InvoiceError(message)
    invoice.billed[key] = EXACT.add(invoice.billed.get(key, Decimal(0)), amount)
    invoice.by_model |= bool(key[1])


def _day(text: str) -> date:
    """The day in UTC of an instant; one without a zone is in UTC."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is None else found.astimezone(UTC)).date()
    except (ValueError, OverflowError):
        message = f"{shown(text) or 'nothing'} is no day"
        raise _RowError("no_day", message) from None


def _amount(text: str) -> Decimal:
    """An amount as it stands: no sign, no formula, nothing that is not a number."""
    said = shown(text) or "nothing"
    try:
        if len(text) > AMOUNT_CHARACTERS_MAX:
            raise InvalidOperation
        found = Decimal(text)
        if not found.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        message = f"{said} is no amount"
        raise _RowError("no_amount", message) from None
    if found < 0:
        message = f"{said} is below zero: a credit is compared by hand"
        raise _RowError("below_zero", message)
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int)
    if found > AMOUNT_USD_MAX or -exponent > AMOUNT_DECIMALS_MAX:
        message = f"{said} is no amount that anybody bills"
        raise _RowError("no_amount", message)
    return found


def shown(text: str) -> str:
    """A cell as it can be printed anywhere."""
    cut = text[:SHOWN_CHARACTERS]
    return "".join(each if each.isprintable() else "?" for each in cut)
