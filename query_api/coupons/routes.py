"""GET /coupons/available and /coupons/history, and the reads below /admin/coupons."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.errors import ApiError
from edge.replies import check_page, json_reply
from query_api.coupons.queries import (
    analytics,
    available,
    history,
    one_coupon,
    overview,
    page_of_coupons,
)
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.

USES, USES_MAX = 50, 1_000
COUPONS, COUPONS_MAX = 100, 1_000

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_COUPONS).caller)]
KEEPERS = [Depends(Needs(Permission.ADMIN_COUPONS).caller)]
"""Coupons are no user's: to look at them is not written down."""


def _none(coupon_id: str) -> ApiError:
    return ApiError(404, "coupon_not_found", f"There is no coupon {coupon_id[:64]!r}.")


def _id_of(coupon_id: str) -> UUID:
    try:
        return UUID(coupon_id)
    except ValueError:
        raise _none(coupon_id) from None


@router.get("/coupons/available")
async def available_coupons(parts: Parts, caller: Reader) -> Response:
    """What the caller could redeem now, what ends first first."""
    return json_reply(await parts.account.run(available, UUID(caller.user_id)))


@router.get("/coupons/history")
async def redeemed(parts: Parts, caller: Reader, limit: int = USES) -> Response:
    """What the caller has redeemed, newest first."""
    check_page(limit, 0, most=USES_MAX)
    user_id = UUID(caller.user_id)
    found = await parts.account.run(history, user_id, limit, wait_s=parts.wait_s)
    return json_reply(found, headers={"cache-control": "no-store"})


@router.get("/admin/coupons", dependencies=KEEPERS)
async def coupons(
    parts: Parts,
    scope: Literal["user_specific", "global"] | None = None,
    coupon_type: Literal["promotional", "referral", "compensation", "partnership"] | None = None,
    is_active: bool | None = None,  # noqa: FBT001 - the parameters are the route's contract.
    limit: int = COUPONS,
    offset: int = 0,
) -> Response:
    """Coupons, newest first."""
    check_page(limit, offset, most=COUPONS_MAX)
    found = await parts.account.run(page_of_coupons, scope, coupon_type, is_active, limit, offset)
    return json_reply(found)


@router.get("/admin/coupons/stats/overview", dependencies=KEEPERS)
async def counted(parts: Parts) -> Response:
    """All coupons counted."""
    return json_reply(await parts.flights.get("coupons", lambda: parts.account.run(overview)))


@router.get("/admin/coupons/{coupon_id}", dependencies=KEEPERS)
async def coupon(parts: Parts, coupon_id: str) -> Response:
    """One coupon."""
    found = await parts.account.run(one_coupon, _id_of(coupon_id))
    if found is None:
        raise _none(coupon_id)
    return json_reply(found)


@router.get("/admin/coupons/{coupon_id}/analytics", dependencies=KEEPERS)
async def used(parts: Parts, coupon_id: str) -> Response:
    """How it is used."""
    found = await parts.account.run(analytics, _id_of(coupon_id))
    if found is None:
        raise _none(coupon_id)
    return json_reply(found)
