"""GET /user/balance and /user/credit-transactions: the caller's own account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from edge.errors import bad_request
from edge.replies import check_page, json_reply, usd
from query_api.account.queries import read_balance, read_transactions
from query_api.parts import Parts, UsageReader  # noqa: TC001 - FastAPI reads annotations at run time.

DEFAULT_PAGE = 50

router = APIRouter()


@router.get("/user/balance")
async def balance(parts: Parts, caller: UsageReader) -> Response:
    """What the caller can spend."""
    found = await parts.account.run(read_balance, caller.account_id, wait_s=parts.wait_s)
    return json_reply(
        {
            "api_key": caller.masked,
            "user_id": caller.user_id,
            "credits": usd(found["available_nano_usd"]),
            **found,
        }
    )


def _instant(name: str, text: str | None) -> datetime | None:
    """A day's begin or an instant, ISO 8601, in UTC unless it says otherwise; raises ApiError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} must be a day or an instant, such as 2026-01-31 or 2026-01-31T12:00:00Z."
        raise bad_request("invalid_value", message, name) from None


@router.get("/user/credit-transactions")
async def transactions(
    parts: Parts,
    caller: UsageReader,
    limit: int = DEFAULT_PAGE,
    offset: int = 0,
    transaction_type: str | None = None,
    since: Annotated[str | None, Query(alias="from")] = None,
    until: Annotated[str | None, Query(alias="to")] = None,
) -> Response:
    """The statement, newest first; charges are negative. Days and instants are in UTC."""
    check_page(limit, offset, most=parts.page_max)
    lines, total, sums = await parts.account.run(
        read_transactions,
        caller.account_id,
        limit=limit,
        offset=offset,
        transaction_type=transaction_type,
        since=_instant("from", since),
        until=_instant("to", until),
        wait_s=parts.wait_s,
    )
    for line in lines:
        for name in ("amount", "balance_before", "balance_after"):
            line[name] = usd(line[f"{name}_nano_usd"])
    return json_reply(
        {
            "transactions": lines,
            "summary": {
                "by_type": {name: usd(value) for name, value in sums.items()},
                "net_change": usd(sum(sums.values())),
            },
            "total": total,
            "limit": limit,
            "offset": offset,
        }
    )
