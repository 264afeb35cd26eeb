"""What a route needs of its caller, declared where the route stands.

A route takes `Annotated[Caller, Depends(Needs(...).caller)]`, or says that it is `OPEN` to anybody;
a test finds those that say neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends, Request

from domain.identity.permissions import ROLES, Permission
from edge.asgi import header_of
from edge.errors import PERMISSION, ApiError

if TYPE_CHECKING:
    from edge.caller import Authenticate, Caller


def admit(caller: Caller, permission: Permission) -> None:
    """Raise ApiError 403 unless the caller may: naming the scope that the key lacks."""
    if caller.may(permission):
        return
    if permission not in ROLES[caller.role]:
        message = f"This needs the permission {permission}, which a {caller.role} has not."
        raise ApiError(403, "forbidden", message, kind=PERMISSION)
    message = (
        f"This API key lacks the scope {permission}. Use another key, or give it the scope with "
        "PUT /user/api-keys/{id}."
    )
    extra = {"scope": str(permission)}
    raise ApiError(403, "insufficient_scope", message, kind=PERMISSION, extra=extra)


class Needs:
    """A permission that whoever calls a route must have."""

    def __init__(self, permission: Permission) -> None:
        """One of the table's."""
        self.permission = permission

    async def caller(self, request: Request) -> Caller:
        """A dependency: the caller. Raises ApiError 401, 403 or 503."""
        authenticate: Authenticate = request.app.state.authenticate
        caller = await authenticate(header_of(request.scope, b"authorization"))
        admit(caller, self.permission)
        return caller


async def _anybody() -> None:
    """Nothing is needed."""


OPEN = Depends(_anybody)
"""The dependency of a route that anybody may call, with a key or without."""
