"""GET /admin/roles/...: a user's role, a role's users, a role's permissions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from domain.errors import UnknownRoleError
from domain.identity.permissions import Permission, Role
from domain.identity.roles import role_named
from edge.access import Needs
from edge.caller import Caller
from edge.errors import ApiError
from edge.replies import check_page, json_reply
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.
from query_api.roles.queries import permissions_of, role_of_user, users_of_role

USERS_LIMIT = 100

router = APIRouter()
RoleKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_ROLES).caller)]


def _role(text: str) -> Role:
    """The role that a path names; raises ApiError 404."""
    try:
        return role_named(text)
    except UnknownRoleError as error:
        raise ApiError(404, "unknown_role", f"{error}.") from None


@router.get("/admin/roles/list/{role}")
async def list_role(
    request: Request, parts: Parts, caller: RoleKeeper, role: str, limit: int = USERS_LIMIT
) -> Response:
    """The users of a role, the oldest first."""
    named = _role(role)
    check_page(limit, 0, most=parts.page_max)
    await parts.admin_reads(request, caller, None)
    found = await parts.account.run(users_of_role, named, limit=limit)
    users = [{"user_id": user, "role": named} for user in found.users]
    return json_reply({"role": named, "users": users, "total": found.total})


@router.get("/admin/roles/permissions/{role}")
async def list_permissions(role: str, _: RoleKeeper) -> Response:
    """All permissions, and which of them a role has."""
    named = _role(role)
    found = permissions_of(named)
    return json_reply({"role": named, "permissions": found, "total": len(found)})


@router.get("/admin/roles/{user_id}")
async def get_role(request: Request, parts: Parts, caller: RoleKeeper, user_id: str) -> Response:
    """A user's role, and what it allows."""
    try:
        known = UUID(user_id)
    except ValueError:
        raise _no_user(user_id) from None
    found = await parts.account.run(role_of_user, known)
    if found is None:
        raise _no_user(user_id)
    await parts.admin_reads(request, caller, str(known))
    return json_reply({"user_id": str(known), "role": found, "permissions": permissions_of(found)})


def _no_user(text: str) -> ApiError:
    return ApiError(404, "user_not_found", f"There is no user {text[:64]!r}.")
