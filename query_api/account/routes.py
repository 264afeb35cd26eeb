"""Balance and statement of the caller's own account, and of an organisation's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from domain.organisations.roles import Act
from edge.replies import check_page, instant_of, json_reply, timestamp, usd
from event_store.ids import to_iso
from query_api.account.queries import read_balance, read_monitor, read_transactions
from query_api.parts import (  # noqa: TC001 - FastAPI reads annotations at run time.
    OrganisationReader,
    Parts,
    ReadParts,
    UsageReader,
)

DEFAULT_PAGE = 50
Since = Annotated[str | None, Query(alias="from")]
Until = Annotated[str | None, Query(alias="to")]

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


@router.get("/organisations/{organisation_id}/balance")
async def organisation_balance(
    organisation_id: str, parts: Parts, caller: OrganisationReader
) -> Response:
    """What the keys of an organisation's projects can spend."""
    account = await parts.organisation_account(caller, organisation_id, Act.MONEY)
    found = await parts.account.run(read_balance, account, wait_s=parts.wait_s)
    return json_reply(
        {
            "organisation_id": organisation_id,
            "credits": usd(found["available_nano_usd"]),
            **found,
        }
    )


@router.get("/user/monitor")
async def monitor(parts: Parts, caller: UsageReader) -> Response:
    """What the caller has and used: charged calls in all, this month and today (UTC)."""
    found = await parts.account.run(
        read_monitor, caller.account_id, caller.key_id, caller.user_id, wait_s=parts.wait_s
    )
    use = {"total": found.all, "today": found.use.day, "this_month": found.use.month}
    return json_reply(
        {
            "status": "success",
            "timestamp": timestamp(),
            "user_id": caller.user_id,
            "api_key": caller.masked,
            "current_credits": usd(found.available),
            "usage_metrics": {
                **{_metric("requests", name): each.requests for name, each in use.items()},
                **{_metric("tokens", name): each.tokens for name, each in use.items()},
                **{_metric("cost", name): usd(each.charged) for name, each in use.items()},
                "average_tokens_per_request": found.all.tokens // max(found.all.requests, 1),
                "most_used_model": found.use.model,
                "last_request_time": found.last and to_iso(found.last),
            },
            "rate_limits": found.limits._asdict(),
        }
    )


def _metric(what: str, when: str) -> str:
    return f"total_{what}" if when == "total" else f"{what}_{when}"


@router.get("/user/credit-transactions")
async def transactions(
    parts: Parts,
    caller: UsageReader,
    limit: int = DEFAULT_PAGE,
    offset: int = 0,
    transaction_type: str | None = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The statement, newest first; charges are negative. Days and instants are in UTC."""
    return await _statement(
        parts, caller.account_id, (limit, offset), transaction_type, (since, until)
    )


@router.get("/organisations/{organisation_id}/credit-transactions")
async def organisation_transactions(
    organisation_id: str,
    parts: Parts,
    caller: OrganisationReader,
    limit: int = DEFAULT_PAGE,
    offset: int = 0,
    transaction_type: str | None = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The statement of an organisation, as that of a user."""
    account = await parts.organisation_account(caller, organisation_id, Act.MONEY)
    return await _statement(parts, account, (limit, offset), transaction_type, (since, until))


async def _statement(
    parts: ReadParts,
    account_id: str,
    page: tuple[int, int],
    transaction_type: str | None,
    time: tuple[str | None, str | None],
) -> Response:
    (limit, offset), (since, until) = page, time
    check_page(limit, offset, most=parts.page_max)
    lines, total, sums = await parts.account.run(
        read_transactions,
        account_id,
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
