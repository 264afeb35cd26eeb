"""Many statements as documents, by few questions: the same bytes as one after the other.

The lines of accounts that have few are read together, so many at once as are kept in memory; an
account with more is read part by part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.engine.projection import select_on
from projections.money.monthly import Span, read_ends_of, read_lines_of, read_written_of
from query_api.statements import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from event_store.beside.statements import Issued
    from event_store.postgres.database import Connects
    from projections.money.monthly import Ends

    EndsOf = dict[UUID, Ends]

AT_ONCE = 500
"""Statements whose ends are asked for together."""
LINES_AT_ONCE = 20_000
"""Most lines that are read together, of several accounts."""


def csv_of_all(
    database: Connects, statements: Sequence[Issued]
) -> Iterator[tuple[Issued, Iterator[str]]]:
    """Each statement and its pieces, in their order; read those before you go on."""
    for ends, group in _groups(database, statements):
        if _is_long(ends, group):
            yield group[0], _long_csv(database, group[0], ends)
            continue
        with database.connect() as connection:
            found = read_written_of(select_on(connection), _spans(group))
        for each in group:
            of_it = ends[each.account_id]
            body = documents.csv_written(found.get(each.account_id, []))
            head, tail = documents.csv_head(each, of_it), documents.csv_tail(each, of_it)
            yield each, iter((head, body, tail))


def json_of_all(
    database: Connects, statements: Sequence[Issued]
) -> Iterator[tuple[Issued, Iterator[bytes]]]:
    """As `csv_of_all`."""
    for ends, group in _groups(database, statements):
        if _is_long(ends, group):
            yield group[0], _long_json(database, group[0], ends)
            continue
        with database.connect() as connection:
            found = read_lines_of(select_on(connection), _spans(group))
        for each in group:
            head = documents.json_head(each, ends[each.account_id])
            body = documents.json_part(found.get(each.account_id, []), first=True)
            yield each, iter((head, body, documents.JSON_TAIL))


def _long_csv(database: Connects, issued: Issued, ends: EndsOf) -> Iterator[str]:
    yield documents.csv_head(issued, ends[issued.account_id])
    yield from map(documents.csv_part, documents.parts_of(database, issued))
    yield documents.csv_tail(issued, ends[issued.account_id])


def _long_json(database: Connects, issued: Issued, ends: EndsOf) -> Iterator[bytes]:
    yield documents.json_head(issued, ends[issued.account_id])
    for place, part in enumerate(documents.parts_of(database, issued)):
        yield documents.json_part(part, first=place == 0)
    yield documents.JSON_TAIL


def _groups(
    database: Connects, statements: Sequence[Issued]
) -> Iterator[tuple[EndsOf, list[Issued]]]:
    """Neighbours that together have so many lines as are read at once, or one that has more.

    All are of one month, so that an account is named once.
    """
    for begin in range(0, len(statements), AT_ONCE):
        some = statements[begin : begin + AT_ONCE]
        with database.connect() as connection:
            ends = read_ends_of(select_on(connection), _spans(some))
        group: list[Issued] = []
        lines = 0
        for each in some:
            has = ends[each.account_id].lines
            if group and lines + has > LINES_AT_ONCE:
                yield ends, group
                group, lines = [], 0
            group.append(each)
            lines += has
        yield ends, group


def _is_long(ends: EndsOf, group: Sequence[Issued]) -> bool:
    return ends[group[0].account_id].lines > LINES_AT_ONCE


def _spans(some: Sequence[Issued]) -> list[Span]:
    return [Span(each.account_id, each.begins, each.ends) for each in some]
