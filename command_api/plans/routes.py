"""POST /admin/assign-plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError
from fastapi import APIRouter, Depends, Request, Response

from command_api.plans.schemas import decode_assign
from domain.errors import DomainError, UnknownUserError
from domain.events.base import By
from domain.identity.permissions import Permission
from domain.plans.catalog import UnknownPlanError
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of
from edge.errors import ApiError, bad_request, ledger_unavailable, sentence
from edge.replies import json_reply, timestamp

if TYPE_CHECKING:
    from command_api.plans.desk import PlanDesk

router = APIRouter()
Keeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_PLANS).caller)]


@router.post("/admin/assign-plan")
async def assign_plan(request: Request, caller: Keeper) -> Response:
    """Put a user on a plan, from now on, in the place of any other."""
    body = await read_json(request, decode_assign)
    desk: PlanDesk = request.app.state.plans
    by = By(caller.user_id, desk.people.vault.origin(client_of(request)), body.reason.strip())
    try:
        user_id = UUID(body.user_id)
        found = await desk.people.run(
            desk.plans.assign, user_id, body.plan_id, body.duration_months, by, caller.actor
        )
    except UnknownPlanError as error:
        raise ApiError(404, "plan_not_found", sentence(error)) from None
    except (UnknownUserError, ValueError) as error:
        if isinstance(error, DomainError) and not isinstance(error, UnknownUserError):
            raise bad_request("invalid_value", sentence(error)) from None
        message = f"There is no user {body.user_id!r}."
        raise ApiError(404, "user_not_found", message) from None
    except (PersistenceError, psycopg.OperationalError):
        raise ledger_unavailable() from None
    desk.forget(str(user_id))
    return json_reply(
        {
            "status": "success",
            "message": f"The user has the plan {found.plan}.",
            "user_id": str(user_id),
            "plan_id": found.plan,
            "duration_months": body.duration_months,
            "expires_at": found.expires_at,
            "timestamp": timestamp(),
        }
    )
