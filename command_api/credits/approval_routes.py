"""/admin/approvals: what waits for a second admin, approved or declined by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from command_api.credits.approvals import LISTED_MAX
from domain.approvals.requests import REASON_CHARACTERS_MAX
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.errors import bad_request
from edge.replies import json_reply
from event_store.ids import now_iso

if TYPE_CHECKING:
    from command_api.credits.approvals import Approvals
    from domain.approvals.requests import Approval

PATH = "/admin/approvals"
router = APIRouter()
CreditsKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_CREDITS).caller)]


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a decision; it may be empty."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)] = ""


decode_decision = msgspec.json.Decoder(Decision).decode


@router.get(PATH)
async def listed(
    request: Request,
    caller: CreditsKeeper,
    status: Literal["pending", "all"] = "pending",
    limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 100,
) -> Response:
    """Requests that can be decided now, or all; the newest first."""
    del caller
    approvals: Approvals = request.app.state.approvals
    found = await approvals.listed(open_only=status == "pending", limit=limit)
    return json_reply({"approvals": found}, headers={"cache-control": "no-store"})


@router.post(f"{PATH}/{{approval_id}}/approve")
async def approve(approval_id: str, request: Request, caller: CreditsKeeper) -> Response:
    """Approve what another admin asked for, and carry it out; again it completes it."""
    return await _decide(approval_id, request, caller, approve=True)


@router.post(f"{PATH}/{{approval_id}}/decline")
async def decline(approval_id: str, request: Request, caller: CreditsKeeper) -> Response:
    """Decline what another admin asked for."""
    return await _decide(approval_id, request, caller, approve=False)


async def _decide(approval_id: str, request: Request, caller: Caller, *, approve: bool) -> Response:
    reason = (await read_json(request, decode_decision)).reason.strip()
    if not reason.isprintable():
        message = f"reason has at most {REASON_CHARACTERS_MAX} printable characters."
        raise bad_request("invalid_value", message, "reason")
    approvals: Approvals = request.app.state.approvals
    found, moved = await approvals.decide(request, caller, approval_id, reason, approve=approve)
    return json_reply({**told(found), "carried_out_now": moved})


def told(found: Approval) -> dict[str, object]:
    """A request as its routes answer with it."""
    asked = found.requested
    return {
        "approval_id": str(asked.originator_id),
        "status": found.status(now_iso()),
        "act": asked.act,
        "account_id": asked.account_id,
        "amount_nano_usd": asked.amount_nano_usd,
        "decide_by": asked.decide_by,
        "made_id": asked.made_id,
    }
