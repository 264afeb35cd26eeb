"""GET /finance/statements and /user/statements, with the documents below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.replies import check_page, json_reply
from event_store.beside.statements import read_issued
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from query_api.parts import Parts, ReadParts, UsageReader  # noqa: TC001 - FastAPI reads annotations.
from query_api.statements import documents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from event_store.beside.statements import Issued
    from event_store.postgres.database import Connects

PAGE, PAGE_MAX = 100, 1_000
NUMBER_CHARACTERS_MAX = 18
STATEMENT = projection_named("credit_statement")

router = APIRouter()
Finance = Annotated[Caller, Depends(Needs(Permission.ADMIN_FINANCE).caller)]
Format = Literal["json", "csv", "pdf"]
Shape = Annotated[Format, Query(alias="format")]


@router.get("/finance/statements")
async def statements(
    request: Request,
    parts: Parts,
    caller: Finance,
    account_id: str | None = None,
    after: str = "0",
    limit: int = PAGE,
) -> Response:
    """The statements that were issued, in the order of their numbers."""
    try:
        account = UUID(account_id) if account_id is not None else None
    except ValueError:
        raise bad_request("invalid_value", "account_id must be an id.", "account_id") from None
    await parts.admin_reads(request, caller, None)
    return await _listed(parts, account, after, limit)


@router.get("/user/statements")
async def own_statements(
    parts: Parts, caller: UsageReader, after: str = "0", limit: int = PAGE
) -> Response:
    """The caller's own."""
    return await _listed(parts, UUID(caller.account_id), after, limit)


@router.get("/finance/statements/{number}")
async def statement(
    request: Request, parts: Parts, caller: Finance, number: str, format_: Shape = "json"
) -> Response:
    """One of them, with every line: as JSON, CSV or PDF."""
    await parts.admin_reads(request, caller, None)
    return await _document(parts, None, number, format_)


@router.get("/user/statements/{number}")
async def own_statement(
    parts: Parts, caller: UsageReader, number: str, format_: Shape = "json"
) -> Response:
    """One of the caller's own."""
    return await _document(parts, UUID(caller.account_id), number, format_)


def _number(text: str) -> int | None:
    """A number of a statement; None for what cannot be one."""
    plain = text.isascii() and text.isdigit() and len(text) <= NUMBER_CHARACTERS_MAX
    return int(text) if plain else None


def _issued(
    database: Connects,
    issuer: str,
    account_id: UUID | None,
    number: int | None,
    after: int,
    limit: int,
) -> list[Issued]:
    with database.connect() as connection:
        return read_issued(
            connection, issuer, account_id=account_id, number=number, after=after, limit=limit
        )


async def _listed(parts: ReadParts, account: UUID | None, after: str, limit: int) -> Response:
    check_page(limit, 0, most=PAGE_MAX)
    if (behind := _number(after)) is None:
        message = "after is the next_after of the page before."
        raise bad_request("invalid_value", message, "after")
    found = await parts.account.run(_issued, parts.issuer, account, None, behind, limit)
    return json_reply(
        {
            "statements": [documents.shown(each) for each in found],
            "limit": limit,
            "next_after": found[-1].number if len(found) == limit else None,
        }
    )


async def _document(
    parts: ReadParts, account: UUID | None, number: str, format_: Format
) -> Response:
    known = _number(number)
    found = await parts.account.run(_issued, parts.issuer, account, known, 0, 1) if known else []
    if not found:
        raise ApiError(404, "statement_not_found", f"There is no statement {number[:32]!r}.")
    (issued,) = found
    await parts.account.run(_await_statement, wait_s=parts.wait_s)
    ends = await parts.account.run(documents.ends_of, issued)
    name = f'attachment; filename="statement-{issued.number}.{format_}"'
    headers = {"content-disposition": name}
    if format_ == "pdf":
        if ends.lines > documents.PDF_LINES_MAX:
            message = (
                f"A PDF has at most {documents.PDF_LINES_MAX} lines, and this statement has "
                f"{ends.lines}: ask for format=csv or format=json."
            )
            raise bad_request("statement_too_long", message, "format")
        body = await parts.account.run(
            lambda database: documents.pdf_of(issued, ends, documents.parts_of(database, issued))
        )
        return Response(body, media_type="application/pdf", headers=headers)
    if format_ == "csv":
        text = _csv(parts, issued)
        return StreamingResponse(text, media_type="text/csv; charset=utf-8", headers=headers)
    return StreamingResponse(_json(parts, issued), media_type="application/json", headers=headers)


def _await_statement(database: Connects, *, wait_s: float) -> None:
    with database.connect() as connection:
        await_own_writes(connection, STATEMENT, wait_s)


async def _csv(parts: ReadParts, issued: Issued) -> AsyncIterator[str]:
    ends = await parts.account.run(documents.ends_of, issued)
    yield documents.csv_head(issued, ends)
    after = 0
    while lines := await parts.account.run(documents.part_of, issued, after):
        yield documents.csv_part(lines)
        after = lines[-1].position or 0
    yield documents.csv_tail(issued, ends)


async def _json(parts: ReadParts, issued: Issued) -> AsyncIterator[bytes]:
    yield documents.json_head(issued, await parts.account.run(documents.ends_of, issued))
    after = 0
    while lines := await parts.account.run(documents.part_of, issued, after):
        yield documents.json_part(lines, first=after == 0)
        after = lines[-1].position or 0
    yield documents.JSON_TAIL
