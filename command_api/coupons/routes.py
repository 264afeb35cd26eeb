"""POST /coupons/redeem; and below /admin/coupons what makes, changes and ends a coupon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.coupons.schemas import (
    BODY_BYTES_MAX,
    decode_change,
    decode_create,
    decode_redeem,
)
from domain.coupons.coupon import Changes
from domain.identity.permissions import Permission
from domain.pricing.money import format_usd
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.replies import json_reply, usd
from query_api.coupons.queries import told_coupon

if TYPE_CHECKING:
    from command_api.coupons.commands import Coupons

PATH = "/admin/coupons"
ONE = f"{PATH}/{{coupon_id}}"

router = APIRouter()
Redeemer = Annotated[Caller, Depends(Needs(Permission.WRITE_COUPONS).caller)]
Keeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_COUPONS).caller)]


def _coupons(request: Request) -> Coupons:
    found: Coupons = request.app.state.coupons
    return found


@router.post("/coupons/redeem")
async def redeem(request: Request, caller: Redeemer) -> Response:
    """Use a coupon: its worth is granted to the caller's own account, once."""
    body = await read_json(request, decode_redeem, bytes_max=BODY_BYTES_MAX)
    use, available = await _coupons(request).redeem(body.code, caller, request)
    before = None if available is None else max(available - use.value, 0)
    return json_reply(
        {
            "success": True,
            "message": f"{format_usd(use.value)} USD were added.",
            "coupon_code": use.code,
            "coupon_value": usd(use.value),
            "previous_balance": None if before is None else usd(before),
            "new_balance": None if available is None else usd(available),
            "error_code": None,
        }
    )


@router.post(PATH)
async def create(request: Request, caller: Keeper) -> Response:
    """Make a coupon."""
    body = await read_json(request, decode_create, bytes_max=BODY_BYTES_MAX)
    return json_reply(told_coupon(await _coupons(request).create(body.wanted, caller, request)))


@router.patch(ONE)
async def change(coupon_id: str, request: Request, caller: Keeper) -> Response:
    """Change its end, its uses, its description, or whether it is active."""
    body = await read_json(request, decode_change, bytes_max=BODY_BYTES_MAX)
    found = await _coupons(request).change(coupon_id, body.wanted, caller, request)
    return json_reply(told_coupon(found))


@router.delete(ONE)
async def deactivate(coupon_id: str, request: Request, caller: Keeper) -> Response:
    """Let nobody redeem it any more; what was redeemed stays."""
    ended = Changes(is_active=False)
    found = await _coupons(request).change(coupon_id, ended, caller, request)
    message = f"The coupon {found.state.code} is not active any more."
    return json_reply({"success": True, "message": message})
