"""`/api/stripe/…`: subscribing, what an account is subscribed to, its invoices, the portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.subscriptions.schemas import (
    decode_cancel,
    decode_change,
    decode_portal,
    decode_subscription,
)
from domain.identity.permissions import Permission
from edge.access import OPEN, Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.replies import check_page, json_reply

if TYPE_CHECKING:
    from command_api.subscriptions.commands import Subscriptions

PATH = "/api/stripe"
ONE = f"{PATH}/subscriptions/{{subscription_id}}"
LISTED, LISTED_MAX = 20, 100
NAME_CHARACTERS_MAX = 255
NO_STORE = {"cache-control": "no-store"}

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_PAYMENTS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_PAYMENTS).caller)]


def _desk_of(request: Request) -> Subscriptions:
    found: Subscriptions = request.app.state.subscriptions
    return found


@router.get(f"{PATH}/subscription-tiers", dependencies=[OPEN])
async def tiers(request: Request) -> Response:
    """What can be subscribed to here, and what a period of each gives."""
    return json_reply(_desk_of(request).tiers())


@router.post(f"{PATH}/subscription-checkout")
async def checkout(request: Request, caller: Writer) -> Response:
    """A page of Stripe's to subscribe on, or to save a card; once for an Idempotency-Key."""
    asked = await read_json(request, decode_subscription)
    key = idempotency_key_of(request.scope)
    return json_reply(await _desk_of(request).checkout(caller, asked, key), headers=NO_STORE)


@router.get(f"{PATH}/subscriptions")
async def subscriptions(request: Request, caller: Reader) -> Response:
    """The tier of the caller's account, and its subscriptions."""
    return json_reply(await _desk_of(request).shown(caller), headers=NO_STORE)


@router.post(f"{ONE}/change")
async def change(subscription_id: str, request: Request, caller: Writer) -> Response:
    """Another price: what is dearer is paid at once for the rest of the period."""
    asked = await read_json(request, decode_change)
    changed = await _desk_of(request).change(
        caller, subscription_id[:NAME_CHARACTERS_MAX], asked.price_id, asked.product_id
    )
    return json_reply(changed, headers=NO_STORE)


@router.post(f"{ONE}/cancel")
async def cancel(subscription_id: str, request: Request, caller: Writer) -> Response:
    """It ends with its period; at once where the body says so."""
    asked = await read_json(request, decode_cancel)
    ended = await _desk_of(request).cancel(
        caller, subscription_id[:NAME_CHARACTERS_MAX], at_end=asked.at_period_end
    )
    return json_reply(ended, headers=NO_STORE)


@router.post(f"{ONE}/resume")
async def resume(subscription_id: str, request: Request, caller: Writer) -> Response:
    """It does not end with its period after all."""
    resumed = await _desk_of(request).resume(caller, subscription_id[:NAME_CHARACTERS_MAX])
    return json_reply(resumed, headers=NO_STORE)


@router.post(f"{PATH}/customer-portal")
async def portal(request: Request, caller: Writer) -> Response:
    """A page of Stripe's for cards, invoices and subscriptions of the caller's account."""
    asked = await read_json(request, decode_portal)
    return json_reply(await _desk_of(request).portal(caller, asked.return_url), headers=NO_STORE)


@router.get(f"{PATH}/invoices")
async def invoices(
    request: Request, caller: Reader, limit: int = LISTED, starting_after: str = ""
) -> Response:
    """The account's invoices as Stripe has them, the newest first, with their pages and taxes."""
    check_page(limit, 0, most=LISTED_MAX)
    found = await _desk_of(request).invoices(caller, limit, starting_after[:NAME_CHARACTERS_MAX])
    return json_reply(found, headers=NO_STORE)
