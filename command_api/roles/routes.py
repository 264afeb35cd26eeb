"""POST /admin/roles/update: an admin gives a user a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.roles.schemas import decode_update
from domain.errors import (
    InvalidCommandError,
    LastAdminError,
    OwnRoleError,
    UnknownRoleError,
    UnknownUserError,
)
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of
from edge.errors import ApiError, bad_request
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.roles.desk import AdminDesk

BODY_BYTES_MAX = 16_384

router = APIRouter()
RoleKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_ROLES).caller)]


@router.post("/admin/roles/update")
async def update_role(request: Request, caller: RoleKeeper) -> Response:
    """Give a user a role; the one that they have already is fine."""
    wish = await read_json(request, decode_update, bytes_max=BODY_BYTES_MAX)
    desk: AdminDesk = request.app.state.admin_desk
    try:
        user_id = UUID(wish.user_id)
    except ValueError:
        raise _no_user(wish.user_id) from None
    try:
        changed = await desk.give_role(
            caller,
            user_id,
            wish.new_role,
            reason=wish.reason or "",
            address=client_of(request),
        )
    except UnknownUserError:
        raise _no_user(wish.user_id) from None
    except UnknownRoleError as error:
        raise bad_request("unknown_role", f"{error}.", "new_role") from None
    except OwnRoleError as error:
        raise bad_request("own_role", f"{error}.") from None
    except LastAdminError as error:
        raise bad_request("last_admin", f"{error}.") from None
    except InvalidCommandError as error:
        raise bad_request("role_refused", f"{error}.") from None
    said = "had this role already" if changed is None else f"was {changed.from_role}"
    message = f"User {user_id} is {wish.new_role}, and {said}."
    return json_reply({"success": True, "message": message})


def _no_user(text: str) -> ApiError:
    return ApiError(404, "user_not_found", f"There is no user {text[:64]!r}.")
