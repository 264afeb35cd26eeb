"""GET /admin/balance, /monitor, /users, /users/{id} and /credit-transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from domain.errors import InvalidAmountError
from domain.identity.permissions import Permission
from domain.pricing.money import parse_usd
from domain.subscriptions.tiers import Tier
from edge.access import Needs
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.replies import check_page, instant_of, json_reply, timestamp, usd
from projections.money.all_statements import LinesWanted
from query_api.admin.queries import (
    counts_of_users,
    monitored,
    one_user,
    page_of_users,
    tiers_of_users,
)
from query_api.admin.transactions import Asked, account_of, read_transactions
from query_api.parts import Parts, ReadParts  # noqa: TC001 - FastAPI reads annotations.

if TYPE_CHECKING:
    from typing import Any

    from event_store.beside.users import UserCounts

USERS, USERS_MAX = 100, 1_000
LINES, LINES_MAX = 50, 1_000
AMOUNT_CHARACTERS_MAX = 40

router = APIRouter()
UserKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_USERS).caller)]
CreditsKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_CREDITS).caller)]


async def _counts(parts: ReadParts) -> UserCounts:
    """Counted once for all who ask at the same time."""
    return await parts.flights.get("users", lambda: parts.account.run(counts_of_users))


def _no_user(text: str) -> ApiError:
    return ApiError(404, "user_not_found", f"There is no user {text[:64]!r}.")


async def _page(parts: ReadParts, limit: int, after: str | None) -> dict[str, Any]:
    """A page of users, and the cursor of the next."""
    check_page(limit, 0, most=USERS_MAX)
    try:
        behind = UUID(after) if after else None
    except ValueError:
        message = "after is the next_after of the page before."
        raise bad_request("invalid_value", message, "after") from None
    users = await parts.account.run(page_of_users, behind, limit)
    return {
        "users": users,
        "limit": limit,
        "next_after": users[-1]["user_id"] if len(users) == limit else None,
    }


@router.get("/admin/balance")
async def balances(
    request: Request,
    parts: Parts,
    caller: UserKeeper,
    limit: int = USERS,
    after: str | None = None,
) -> Response:
    """What users can spend, in the order of their registration."""
    await parts.admin_reads(request, caller, None)
    page = await _page(parts, limit, after)
    counts = await _counts(parts)
    return json_reply({"status": "success", "total_users": counts.total, **page})


@router.get("/admin/users")
async def users(
    request: Request,
    parts: Parts,
    caller: UserKeeper,
    limit: int = USERS,
    after: str | None = None,
) -> Response:
    """Users in the order of their registration, and how many there are of each kind."""
    await parts.admin_reads(request, caller, None)
    page = await _page(parts, limit, after)
    counts = await _counts(parts)
    tiers = await parts.flights.get("tiers", lambda: parts.account.run(tiers_of_users))
    staying = counts.total - counts.left
    paid = [count for tier, count in tiers.items() if tier is not Tier.BASIC]
    return json_reply(
        {
            "status": "success",
            "total_users": counts.total,
            "statistics": {
                "active_users": staying,
                "inactive_users": counts.left,
                "admin_users": counts.admins,
                "developer_users": counts.developers,
                "regular_users": counts.total - counts.admins - counts.developers,
                "total_credits": usd(counts.available),
                "average_credits": usd(counts.available // max(counts.total, 1)),
                "subscription_breakdown": {**tiers, Tier.BASIC: staying - sum(paid)},
            },
            **page,
            "timestamp": timestamp(),
        }
    )


@router.get("/admin/users/{user_id}")
async def user(request: Request, parts: Parts, caller: UserKeeper, user_id: str) -> Response:
    """A user, the keys, and what happened lately."""
    try:
        known = UUID(user_id)
    except ValueError:
        raise _no_user(user_id) from None
    found = await parts.account.run(one_user, known, wait_s=parts.wait_s)
    if found is None:
        raise _no_user(user_id)
    await parts.admin_reads(request, caller, str(known))
    return json_reply({"status": "success", **found, "timestamp": timestamp()})


@router.get("/admin/monitor")
async def monitor(request: Request, parts: Parts, caller: UserKeeper) -> Response:
    """What everybody used today (UTC); read models may trail."""
    await parts.admin_reads(request, caller, None)
    counts = await _counts(parts)
    found = await parts.flights.get("monitor", lambda: parts.account.run(monitored))
    data = {"total_users": counts.total, **found}
    return json_reply({"status": "success", "timestamp": timestamp(), "data": data})


@router.get("/admin/credit-transactions")
async def transactions(  # noqa: PLR0913, PLR0917 - the parameters are the route's contract.
    request: Request,
    parts: Parts,
    caller: CreditsKeeper,
    limit: int = LINES,
    offset: int = 0,
    user_id: str | None = None,
    transaction_type: str | None = None,
    from_date: str | None = None,
    to_date: str | None = None,
    min_amount: str | None = None,
    max_amount: str | None = None,
    direction: Literal["credit", "charge"] | None = None,
    payment_id: str | None = None,
    sort_by: Literal["created_at", "amount", "transaction_type"] = "created_at",
    sort_order: Literal["asc", "desc"] = "desc",
    include_summary: bool = True,  # noqa: FBT001, FBT002 - the same.
) -> Response:
    """The lines of all statements, of a user, a type, a time, an amount or a payment."""
    check_page(limit, offset, most=LINES_MAX)
    user, account = None, None
    if user_id is not None:
        user, account = await _account(parts, user_id)
    wanted = LinesWanted(
        account_id=account,
        transaction_type=transaction_type,
        since=instant_of("from_date", from_date),
        until=instant_of("to_date", to_date),
        least=_nano("min_amount", min_amount),
        most=_nano("max_amount", max_amount),
        credit=None if direction is None else direction == "credit",
        payment_id=payment_id,
    )
    await parts.admin_reads(request, caller, user)
    asked = Asked(sort_by, sort_order == "desc", limit, offset, include_summary)
    found = await parts.account.run(read_transactions, wanted, asked, wait_s=parts.wait_s)
    summary = {"summary": found.summary} if found.summary is not None else {}
    return json_reply(
        {
            "transactions": found.lines,
            "pagination": {
                "total": found.total,
                "total_is_exact": found.exact,
                "limit": limit,
                "offset": offset,
                "has_more": offset + len(found.lines) < found.total or not found.exact,
            },
            "filters_applied": {
                "user_id": user,
                "transaction_type": transaction_type,
                "from_date": from_date,
                "to_date": to_date,
                "min_amount": min_amount,
                "max_amount": max_amount,
                "direction": direction,
                "payment_id": payment_id,
                "sort_by": sort_by,
                "sort_order": sort_order,
            },
            **summary,
        }
    )


async def _account(parts: ReadParts, text: str) -> tuple[str, UUID]:
    """A user's id in its one writing, and the account; raises ApiError 404."""
    try:
        user = UUID(text)
    except ValueError:
        raise _no_user(text) from None
    account = await parts.account.run(account_of, user)
    if account is None:
        raise _no_user(text)
    return str(user), account


def _nano(name: str, text: str | None) -> int | None:
    """An amount in USD, perhaps negative, as nano-USD; raises ApiError 400."""
    if text is None:
        return None
    try:
        if len(text) > AMOUNT_CHARACTERS_MAX:
            message = f"an amount has at most {AMOUNT_CHARACTERS_MAX} characters"
            raise InvalidAmountError(message)
        found = parse_usd(text.strip().removeprefix("-"))
    except InvalidAmountError as error:
        message = f"{name}: {error}."
        raise bad_request("invalid_value", message, name) from None
    return -found if text.strip().startswith("-") else found
