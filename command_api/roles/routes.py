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
from edge.asgi import ClientGoneError, address_of, header_of, read_body
from edge.body import decode_body
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.roles.desk import AdminDesk

BODY_BYTES_MAX = 16_384
BODY_TIMEOUT_S = 10.0

router = APIRouter()
RoleKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_ROLES).caller)]


@router.post("/admin/roles/update")
async def update_role(request: Request, caller: RoleKeeper) -> Response:
    """Give a user a role; the one that they have already is fine."""
    try:
        raw = await read_body(
            request.scope,
            header_of(request.scope, b"content-length"),
            request.receive,
            bytes_max=BODY_BYTES_MAX,
            timeout_s=BODY_TIMEOUT_S,
        )
    except ClientGoneError:
        return Response(status_code=400)  # Nobody reads it.
    wish = decode_body(decode_update, raw)
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
            address=address_of(request.scope),
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
