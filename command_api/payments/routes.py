"""`/api/stripe/…`: buying credits, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.payments.schemas import decode_checkout, decode_intent
from domain.identity.permissions import Permission
from domain.payments.packages import PACKAGES
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.errors import ApiError
from edge.replies import check_page, json_reply

if TYPE_CHECKING:
    from command_api.payments.commands import Buying

PATH = "/api/stripe"
SESSIONS, INTENTS = f"{PATH}/checkout-session", f"{PATH}/payment-intent"
PAYMENTS = f"{PATH}/payments"
LISTED, LISTED_MAX = 50, 100
NAME_CHARACTERS_MAX = 255
NO_STORE = {"cache-control": "no-store"}

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_PAYMENTS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_PAYMENTS).caller)]


def _buying_of(request: Request) -> Buying:
    found: Buying = request.app.state.buying
    return found


@router.get(f"{PATH}/credit-packages", dependencies=[OPEN])
async def credit_packages() -> Response:
    """What packages of credits cost, in cents."""
    packages = [
        {
            "id": each.id,
            "name": each.name,
            "credits": each.credits,
            "amount": each.cents,
            "currency": each.price.currency,
            "description": each.description,
            "features": each.features,
            "popular": each.popular,
            "discount_percentage": each.discount_percentage,
        }
        for each in PACKAGES
    ]
    return json_reply({"packages": packages})


@router.post(SESSIONS)
async def create_session(request: Request, caller: Writer) -> Response:
    """A page of Stripe's on which the caller can pay; once for an Idempotency-Key."""
    asked = await read_json(request, decode_checkout)
    buying = _buying_of(request)
    made = await buying.checkout(caller, asked, idempotency_key_of(request.scope))
    return json_reply(made, headers=NO_STORE)


@router.get(f"{SESSIONS}/{{session_id}}")
async def session(session_id: str, request: Request, caller: Reader) -> Response:
    """A session of the caller's as Stripe has it now."""
    buying = _buying_of(request)
    found = await buying.session(caller, session_id[:NAME_CHARACTERS_MAX])
    return json_reply(found, headers=NO_STORE)


@router.post(INTENTS)
async def create_intent(request: Request, caller: Writer) -> Response:
    """An intent that a page of the caller's own completes; once for an Idempotency-Key."""
    asked = await read_json(request, decode_intent)
    buying = _buying_of(request)
    made = await buying.intent(caller, asked, idempotency_key_of(request.scope))
    return json_reply(made, headers=NO_STORE)


@router.get(f"{INTENTS}/{{intent_id}}")
async def intent(intent_id: str, request: Request, caller: Reader) -> Response:
    """An intent of the caller's as Stripe has it now."""
    buying = _buying_of(request)
    found = await buying.intent_now(caller, intent_id[:NAME_CHARACTERS_MAX])
    return json_reply(found, headers=NO_STORE)


@router.get(PAYMENTS)
async def payments(
    request: Request, caller: Reader, limit: int = LISTED, offset: int = 0
) -> Response:
    """The payments of the caller's account, the newest first."""
    check_page(limit, offset, most=LISTED_MAX)
    buying = _buying_of(request)
    return json_reply(await buying.listed(caller, limit, offset), headers=NO_STORE)


@router.get(f"{PAYMENTS}/{{payment_id}}")
async def payment(payment_id: str, request: Request, caller: Reader) -> Response:
    """One of them."""
    try:
        name = UUID(payment_id)
    except ValueError:
        message = "There is no payment with this id."
        raise ApiError(404, "payment_not_found", message) from None
    buying = _buying_of(request)
    return json_reply(await buying.one(caller, name), headers=NO_STORE)
