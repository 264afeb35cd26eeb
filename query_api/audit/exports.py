"""The whole audit as one document, read and sent part by part: memory does not grow with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from fastapi.responses import StreamingResponse

from edge.errors import bad_request
from edge.spreadsheets import csv_of
from query_api.audit.queries import COLUMNS, audit_part, count_up_to, csv_row, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import Response

    from projections.audit.audit_log import Line
    from projections.audit.queries import Wanted
    from query_api.parts import ReadParts

EXPORT_LINES_MAX = 1_000_000
"""Lines of one export; more are asked for in parts."""
PART_LINES = 1_000


async def export(
    parts: ReadParts, wanted: Wanted, viewer: str | None, format_: str, limit: int | None
) -> Response:
    """The lines that are wanted, as CSV or as a JSON array; raises ApiError before the first one.

    One that breaks off ends without its last chunk, so that no client takes a part for the whole.
    """
    most = EXPORT_LINES_MAX if limit is None else limit
    if not 1 <= most <= EXPORT_LINES_MAX:
        message = f"limit must be between 1 and {EXPORT_LINES_MAX} for an export."
        raise bad_request("invalid_value", message, "limit")
    if limit is None:
        found = await parts.account.run(
            count_up_to, wanted, EXPORT_LINES_MAX + 1, wait_s=parts.wait_s
        )
        if found > EXPORT_LINES_MAX:
            message = f"There are more than {EXPORT_LINES_MAX} lines: ask for a shorter time."
            raise bad_request("period_too_long", message)
    else:
        await parts.account.run(count_up_to, wanted, 1, wait_s=parts.wait_s)
    first = await parts.account.run(audit_part, wanted, min(PART_LINES, most))
    lines = _parts(parts, wanted, first, most)
    text, kind = (
        (_csv(lines, viewer), "text/csv; charset=utf-8")
        if format_ == "csv"
        else (_json(lines, viewer), "application/json")
    )
    name = f'attachment; filename="audit.{format_}"'
    return StreamingResponse(text, media_type=kind, headers={"content-disposition": name})


async def _parts(
    parts: ReadParts, wanted: Wanted, first: Sequence[Line], most: int
) -> AsyncIterator[Sequence[Line]]:
    """The lines from the newest on; each part goes on below the last line of the one before."""
    part = first
    while part:
        yield part
        most -= len(part)
        if most <= 0 or len(part) < PART_LINES:
            return
        below = wanted._replace(below=part[-1].position)
        part = await parts.account.run(audit_part, below, min(PART_LINES, most))


async def _csv(lines: AsyncIterator[Sequence[Line]], viewer: str | None) -> AsyncIterator[str]:
    yield csv_of([COLUMNS])
    async for part in lines:
        yield csv_of(csv_row(each, viewer) for each in part)


async def _json(lines: AsyncIterator[Sequence[Line]], viewer: str | None) -> AsyncIterator[bytes]:
    between = b"["
    async for part in lines:
        for_part = [msgspec.json.encode(shown(each, viewer)) for each in part]
        yield between + b",\n".join(for_part)
        between = b",\n"
    yield b"]\n" if between != b"[" else b"[]\n"
