"""GET /user/balance and /user/credit-transactions: the caller's own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from edge.replies import check_page, instant_of, json_reply, usd
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
        since=instant_of("from", since),
        until=instant_of("to", until),
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
