"""What a route needs of its caller, declared where the route stands.

A route takes `Annotated[Caller, Depends(Needs(...).caller)]`, or says that it is `OPEN` to anybody;
a test finds those that say neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends, Request

from domain.identity.permissions import ROLES, Permission
from domain.organisations.roles import KEY_PERMISSIONS, ActForbiddenError, NotAMemberError
from edge.asgi import header_of
from edge.clients import referrers_of
from edge.errors import PERMISSION, ApiError, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.errors import DomainError
    from domain.identity.access import Access
    from edge.asgi import Scope
    from edge.caller import Authenticate, Caller
    from edge.clients import Proxies

MODELS_SHOWN_MAX = 20
"""So many of the allowed models are named to who asked for another."""


def admit(caller: Caller, permission: Permission) -> None:
    """Raise ApiError 403 unless the caller may: naming the scope that the key lacks."""
    if caller.may(permission):
        return
    if permission not in ROLES[caller.role]:
        message = f"This needs the permission {permission}, which a {caller.role} has not."
        raise ApiError(403, "forbidden", message, kind=PERMISSION)
    if caller.member is not None and permission not in KEY_PERMISSIONS[caller.member]:
        message = (
            f"This needs the permission {permission}, which the key of a project has not where "
            f"its maker is {caller.member}. Use a key of your own, or sign in."
        )
        raise ApiError(403, "forbidden", message, kind=PERMISSION)
    message = (
        f"This API key lacks the scope {permission}. Use another key, or give it the scope with "
        "PUT /user/api-keys/{id}."
    )
    extra = {"scope": str(permission)}
    raise ApiError(403, "insufficient_scope", message, kind=PERMISSION, extra=extra)


def admit_request(caller: Caller, permission: Permission, scope: Scope, proxies: Proxies) -> None:
    """Raise ApiError 403 unless the caller may, and may from here: every route asks this."""
    admit(caller, permission)
    if caller.limits is not None:
        _check_whence(caller.limits, scope, proxies)


def _check_whence(limits: Access, scope: Scope, proxies: Proxies) -> None:
    address = proxies.client_of(scope)
    if not limits.admits_address(address):
        message = (
            f"This API key may not be used from {address or 'a client without an address'}: its "
            "ip_allowlist does not hold it."
        )
        raise ApiError(403, "ip_not_allowed", message, kind=PERMISSION)
    if not limits.admits_referrers(referrers_of(scope)):
        message = (
            "This API key may be used by pages of its domain_referrers alone, and neither Origin "
            f"nor Referer names one: {', '.join(limits.hosts)}."
        )
        raise ApiError(403, "referrer_not_allowed", message, kind=PERMISSION)


def admit_models(limits: Access, models: Iterable[str]) -> None:
    """Raise ApiError 403 unless a key with these limits may call all of the models."""
    for model in models:
        if limits.admits_model(model):
            continue
        allowed = limits.allowed_models
        more = "" if len(allowed) <= MODELS_SHOWN_MAX else " and more"
        message = (
            f"This API key may not call {model!r}. It may call "
            f"{', '.join(allowed[:MODELS_SHOWN_MAX])}{more}."
        )
        extra = {"allowed_models": allowed[:MODELS_SHOWN_MAX]}
        raise ApiError(
            403, "model_not_allowed", message, kind=PERMISSION, param="model", extra=extra
        )


def refused_act(error: DomainError) -> ApiError | None:
    """The refusal of what somebody may not do in an organisation; None for any other error.

    Whoever is no member is told no more than that there is nothing.
    """
    if isinstance(error, NotAMemberError):
        message = "There is no organisation of yours with this id: GET /organisations lists them."
        return ApiError(404, "organisation_not_found", message)
    if isinstance(error, ActForbiddenError):
        return ApiError(403, "member_role_too_small", sentence(error), kind=PERMISSION)
    return None


class Needs:
    """A permission that whoever calls a route must have."""

    def __init__(self, permission: Permission) -> None:
        """One of the table's."""
        self.permission = permission

    async def caller(self, request: Request) -> Caller:
        """A dependency: the caller. Raises ApiError 401, 403, 429 or 503."""
        authenticate: Authenticate = request.app.state.authenticate
        proxies: Proxies = request.app.state.proxies
        authorization = header_of(request.scope, b"authorization")
        caller = await authenticate(authorization, proxies.origin_of(request.scope))
        admit_request(caller, self.permission, request.scope, proxies)
        return caller


async def _anybody() -> None:
    """Nothing is needed."""


OPEN = Depends(_anybody)
"""The dependency of a route that anybody may call, with a key or without."""
