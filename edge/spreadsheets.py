"""CSV that a spreadsheet shows as it was meant, whatever somebody wrote into it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula; a text that begins so gets an apostrophe before it."""


def cell(text: Any) -> Any:
    """A text that is no formula, and does not end its line; what is no text stays."""
    if not isinstance(text, str):
        return text
    if text.lstrip(" \n").startswith(FORMULA):
        text = "'" + text
    # The writer leaves a return unquoted, and readers take it for the end of the line.
    return text.replace("\r", " ")


def csv_of(rows: Iterable[Sequence[Any]]) -> str:
    """Lines of CSV (RFC 4180, but for the ends of lines)."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([cell(each) for each in row] for row in rows)
    return written.getvalue()
