"""A statement as a document: JSON and CSV part by part, and PDF as a whole."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from domain.pricing.money import format_usd
from edge.spreadsheets import csv_of
from event_store.ids import to_iso
from projections.engine.projection import select_on
from projections.money.monthly import read_ends, read_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fpdf import FPDF

    from event_store.beside.statements import Issued
    from event_store.postgres.database import Connects
    from projections.money.credit_statement import Line
    from projections.money.monthly import Ends, Written

PART_LINES = 1_000
PDF_LINES_MAX = 2_000
"""Lines of a PDF; more are for CSV or JSON, as nobody reads them on paper."""
COLUMNS = (
    *("booked_at", "effective_at", "transaction_type", "description", "amount_usd"),
    *("balance_after_usd", "amount_nano_usd", "balance_after_nano_usd"),
    *("call_id", "payment_id", "event_id", "position"),
)
CELLS_KEPT = 1_024
"""Texts of lines that are remembered as CSV writes them: most lines have the text of another."""
WIDTHS = (38, 28, 76, 24, 24)
"""Of the columns of a page, in millimetres."""
ROW_MM = 5
DESCRIPTION_CHARACTERS_MAX = 48


def shown(issued: Issued) -> dict[str, Any]:
    """A statement without its lines."""
    return {
        "issuer": issued.issuer,
        "number": issued.number,
        "account_id": str(issued.account_id),
        "month": issued.month,
        "zone": issued.zone,
        "begins": to_iso(issued.begins),
        "ends": to_iso(issued.ends),
        "issued_at": to_iso(issued.issued_at),
    }


def line_shown(line: Line) -> dict[str, Any]:
    """One line; an amount is negative where credits were taken."""
    return {
        "booked_at": line.booked_at and to_iso(line.booked_at),
        "effective_at": to_iso(line.effective_at),
        "transaction_type": line.transaction_type,
        "description": line.description,
        "amount_usd": format_usd(line.amount),
        "balance_after_usd": format_usd(line.balance_after),
        "amount_nano_usd": line.amount,
        "balance_after_nano_usd": line.balance_after,
        "call_id": line.call_id and str(line.call_id),
        "payment_id": line.payment_id,
        "event_id": str(line.event_id),
        "position": line.position,
    }


def ends_of(database: Connects, issued: Issued) -> Ends:
    """Opening, closing, and how many lines."""
    with database.connect() as connection:
        return read_ends(select_on(connection), issued.account_id, issued.begins, issued.ends)


def part_of(database: Connects, issued: Issued, after: int) -> list[Line]:
    """The next lines, from behind a position on."""
    with database.connect() as connection:
        return read_part(
            select_on(connection),
            issued.account_id,
            issued.begins,
            issued.ends,
            after=after,
            limit=PART_LINES,
        )


def parts_of(database: Connects, issued: Issued) -> Iterator[Sequence[Line]]:
    """All lines, part by part."""
    after = 0
    while part := part_of(database, issued, after):
        yield part
        if len(part) < PART_LINES:
            break
        after = part[-1].position or 0


def json_head(issued: Issued, ends: Ends) -> bytes:
    """A statement as JSON up to its lines."""
    head = {
        **shown(issued),
        "opening_nano_usd": ends.opening,
        "opening_usd": format_usd(ends.opening),
        "closing_nano_usd": ends.closing,
        "closing_usd": format_usd(ends.closing),
        "count": ends.lines,
    }
    return msgspec.json.encode(head)[:-1] + b',"lines":['


def json_part(lines: Sequence[Line], *, first: bool) -> bytes:
    """Some of the lines."""
    between = b"" if first else b","
    return between + b",".join(msgspec.json.encode(line_shown(each)) for each in lines)


JSON_TAIL = b"]}\n"


def csv_head(issued: Issued, ends: Ends) -> str:
    """The header, and the opening balance as a line of its own."""
    return csv_of([COLUMNS, _end_row("opening", to_iso(issued.begins), ends.opening)])


def csv_part(lines: Sequence[Line]) -> str:
    """Some of the lines."""
    rows = (line_shown(each) for each in lines)
    return csv_of([row[name] for name in COLUMNS] for row in rows)


def csv_written(lines: Sequence[Written]) -> str:
    """The same of lines that the database wrote, for which there is less to do."""
    return "".join(
        f"{each.times},{_cell(each.transaction_type)},{_cell(each.description)},{each.amounts},"
        f"{_cell(each.payment_id)},{each.ids}\n"
        for each in lines
    )


@lru_cache(CELLS_KEPT)
def _cell(text: str | None) -> str:
    """A text as CSV writes it between two others."""
    return csv_of([("", text)])[1:-1]


def csv_tail(issued: Issued, ends: Ends) -> str:
    """The closing balance as a line of its own."""
    return csv_of([_end_row("closing", to_iso(issued.ends), ends.closing)])


def pdf_of(issued: Issued, ends: Ends, parts: Iterable[Sequence[Line]]) -> bytes:
    """A statement as PDF: the same bytes whenever it is asked for.

    What the built-in fonts cannot show of a description is shown as a question mark.
    """
    # It brings a whole library of fonts and pictures, which no other request needs.
    from fpdf import FPDF

    pdf = FPDF()
    pdf.set_creation_date(issued.issued_at)
    pdf.set_title(f"Statement {issued.number}")
    pdf.set_producer("Gatewayz")
    pdf.set_auto_page_break(auto=True, margin=15)
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 14)
    pdf.cell(0, 10, _plain(f"{issued.issuer}: statement {issued.number}"))
    pdf.ln(12)
    pdf.set_font("Helvetica", size=9)
    for said in (
        f"Account {issued.account_id}",
        f"{issued.month}, {issued.zone}: {to_iso(issued.begins)} to {to_iso(issued.ends)}",
        f"Issued {to_iso(issued.issued_at)}. Amounts in USD; instants in UTC.",
        f"Opening {format_usd(ends.opening)}   Closing {format_usd(ends.closing)}",
    ):
        pdf.cell(0, ROW_MM, _plain(said))
        pdf.ln(ROW_MM)
    pdf.ln(ROW_MM)
    pdf.set_font("Helvetica", size=7)
    _row(pdf, ("Booked", "Type", "Description", "Amount", "Balance"))
    for part in parts:
        for line in part:
            _row(
                pdf,
                (
                    to_iso(line.booked_at) if line.booked_at else "",
                    line.transaction_type,
                    line.description[:DESCRIPTION_CHARACTERS_MAX],
                    format_usd(line.amount),
                    format_usd(line.balance_after),
                ),
            )
    return bytes(pdf.output())


def _row(pdf: FPDF, cells: Sequence[str]) -> None:
    for place, (width, text) in enumerate(zip(WIDTHS, cells, strict=True)):
        pdf.cell(width, ROW_MM, _plain(text), align="R" if place > len(WIDTHS) - 3 else "L")
    pdf.ln(ROW_MM)


def _plain(text: str) -> str:
    line = "".join(each if each.isprintable() else " " for each in text)
    return line.encode("latin-1", "replace").decode("latin-1")


def _end_row(name: str, at: str, balance: int) -> list[Any]:
    row = {"booked_at": at, "transaction_type": name, "balance_after_usd": format_usd(balance)}
    row["balance_after_nano_usd"] = str(balance)
    return [row.get(name, "") for name in COLUMNS]
