"""GET /trial/status and GET /admin/trial/analytics."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.replies import json_reply
from query_api.parts import (  # noqa: TC001 - FastAPI reads annotations at run time.
    Parts,
    UsageReader,
)
from query_api.trials.queries import analytics, own_trial

router = APIRouter()
KEEPERS = [Depends(Needs(Permission.ADMIN_USERS).caller)]
"""Numbers of nobody in particular: to look at them is not written down."""


@router.get("/trial/status")
async def status(parts: Parts, caller: UsageReader) -> Response:
    """What is left of the caller's trial."""
    found = await parts.account.run(own_trial, caller.account_id)
    message = found.get("error", "The trial is under way.")
    return json_reply({"success": True, "trial_status": found, "message": message})


@router.get("/admin/trial/analytics", dependencies=KEEPERS)
async def trials(parts: Parts) -> Response:
    """How all trials go."""
    found = await parts.flights.get(
        "trials", lambda: parts.account.run(analytics, wait_s=parts.wait_s)
    )
    return json_reply({"success": True, "analytics": found})
