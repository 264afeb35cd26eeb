"""GET /finance/trial-balance, /journal, /revenue, /margin, /deferred-revenue, /receivables, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.errors import bad_request
from edge.replies import check_page, json_reply
from projections.money.as_of import AsOfError
from query_api.finance import exports, queries
from query_api.finance.asked import (
    By,
    Since,
    Until,
    account_of,
    cursor_of,
    period_of,
    range_of,
    time_of,
    uuid_of,
)
from query_api.finance.shapes import Range
from query_api.parts import Parts, ReadParts  # noqa: TC001 - FastAPI reads annotations.

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")

PAGE, PAGE_MAX = 100, 1_000
DEBTS, DEBTS_MAX = 50, 200
FIRST = UUID(int=0)

router = APIRouter()
Finance = Annotated[Caller, Depends(Needs(Permission.ADMIN_FINANCE).caller)]


async def answered(parts: ReadParts, read: Callable[..., T], *values: Any, **named: Any) -> T:
    """What a query of the books gives; raises ApiError 400 for a time that has not come yet."""
    try:
        return await parts.account.run(read, *values, **named, wait_s=parts.wait_s)
    except AsOfError as error:
        raise bad_request("invalid_value", f"{error}.", "as_of") from None


@router.get("/finance/trial-balance")
async def trial_balance(
    parts: Parts, caller: Finance, as_of: str | None = None, by: By = "booked"
) -> Response:
    """The balance of each class of accounts as of a time; together they are zero."""
    del caller
    return json_reply(await answered(parts, queries.trial_balance, time_of(as_of, by)))


@router.get("/finance/deferred-revenue")
async def deferred_revenue(
    parts: Parts, caller: Finance, as_of: str | None = None, by: By = "booked"
) -> Response:
    """Purchased credits that are unspent as of a time."""
    del caller
    return json_reply(await answered(parts, queries.deferred_revenue, time_of(as_of, by)))


@router.get("/finance/revenue")
async def revenue(
    parts: Parts,
    caller: Finance,
    since: Since = None,
    until: Until = None,
    month: str | None = None,
    by: By = "booked",
) -> Response:
    """What was earned in a time, by lot kind."""
    del caller
    asked = Range(*range_of(since, until, month, by))
    return json_reply(await answered(parts, queries.revenue, asked))


@router.get("/finance/margin")
async def margin(
    parts: Parts,
    caller: Finance,
    since: Since = None,
    until: Until = None,
    month: str | None = None,
    by: By = "booked",
) -> Response:
    """What was earned in a time, less what it cost at the providers."""
    del caller
    asked = Range(*range_of(since, until, month, by))
    return json_reply(await answered(parts, queries.margin, asked))


@router.get("/finance/journal")
async def journal(  # noqa: PLR0913, PLR0917 - the parameters are the route's contract.
    request: Request,
    parts: Parts,
    caller: Finance,
    account: str | None = None,
    account_id: str | None = None,
    since: Since = None,
    until: Until = None,
    month: str | None = None,
    by: By = "booked",
    cursor: str | None = None,
    limit: int = PAGE,
) -> Response:
    """The lines behind a figure, in the order of the log, each with its event."""
    check_page(limit, 0, most=PAGE_MAX)
    asked, named = Range(*range_of(since, until, month, by)), account_of(account)
    customer, after = uuid_of(account_id, "account_id"), cursor_of(cursor)
    await parts.admin_reads(request, caller, None)
    page = await answered(parts, queries.journal, asked, named, customer, after=after, limit=limit)
    return json_reply(page)


@router.get("/finance/receivables")
async def receivables(
    request: Request,
    parts: Parts,
    caller: Finance,
    as_of: str | None = None,
    by: By = "booked",
    cursor: str | None = None,
    limit: int = DEBTS,
) -> Response:
    """What customers owe as of a time."""
    return await _debts(request, parts, caller, (as_of, by), (cursor, limit), ages=False)


@router.get("/finance/aging")
async def aging(
    request: Request,
    parts: Parts,
    caller: Finance,
    as_of: str | None = None,
    cursor: str | None = None,
    limit: int = DEBTS,
) -> Response:
    """What customers owe as of a time, by how long they have owed it."""
    return await _debts(request, parts, caller, (as_of, "booked"), (cursor, limit), ages=True)


async def _debts(
    request: Request,
    parts: ReadParts,
    caller: Caller,
    time: tuple[str | None, By],
    page: tuple[str | None, int],
    *,
    ages: bool,
) -> Response:
    (as_of, by), (cursor, limit) = time, page
    check_page(limit, 0, most=DEBTS_MAX)
    at, after = time_of(as_of, by), uuid_of(cursor, "cursor") or FIRST
    await parts.admin_reads(request, caller, None)
    found = await answered(parts, queries.receivables, at, after=after, limit=limit, ages=ages)
    return json_reply(found)


@router.get("/finance/export")
async def exported(
    request: Request,
    parts: Parts,
    caller: Finance,
    month: str,
    format_: Annotated[exports.Format, Query(alias="format")] = "csv",
    by: By = "booked",
) -> Response:
    """The journal of a month that is over, streamed."""
    period = period_of(month, by)
    await parts.admin_reads(request, caller, None)
    pieces = exports.export(parts.account.database, period, format_, wait_s=parts.wait_s)

    async def piece() -> bytes | None:
        return await parts.account.run(lambda _: next(pieces, None))

    async def rest(found: bytes | None) -> AsyncIterator[bytes]:
        while found is not None:
            yield found
            found = await piece()

    try:
        first = await piece()
    except AsOfError as error:
        raise bad_request("invalid_value", f"{error}.", "month") from None
    name = f'attachment; filename="journal-{month}.{format_}"'
    return StreamingResponse(
        rest(first), media_type=exports.MEDIA[format_], headers={"content-disposition": name}
    )


@router.get("/finance/periods")
async def periods(parts: Parts, caller: Finance) -> Response:
    """Which periods are closed, the last one first."""
    del caller
    return json_reply(await parts.account.run(queries.periods))
