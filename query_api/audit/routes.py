"""GET /audit, and the audits of keys and roles that older clients ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from domain.identity.permissions import Permission
from domain.organisations.roles import Act
from edge.access import Needs, admit
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.replies import check_page, instant_of, json_reply
from projections.audit.queries import Wanted
from projections.audit.told import ACTIONS
from query_api.audit.exports import export
from query_api.audit.queries import (
    KEY_ACTIONS,
    ROLE_CHANGED,
    audit_page,
    audit_with_total,
    owns_key,
    shown,
    shown_of_key,
    shown_of_role,
    user_exists,
)
from query_api.parts import OrganisationReader, Parts, ReadParts  # noqa: TC001 - FastAPI reads annotations.

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE, KEY_PAGE, ROLE_PAGE = 50, 100, 50
POSITION_MAX = 2**63 - 1
EVERYBODY = "all"
"""As `user_id`: every line there is, those that concern no user among them."""

router = APIRouter()
AuditReader = Annotated[Caller, Depends(Needs(Permission.READ_AUDIT).caller)]
RoleKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_ROLES).caller)]
Since = Annotated[str | None, Query(alias="from")]
Until = Annotated[str | None, Query(alias="to")]


def _time(wanted: Wanted, since: str | None, until: str | None, names: tuple[str, str]) -> Wanted:
    """What was booked in a time; raises ApiError 400."""
    begin, end = instant_of(names[0], since), instant_of(names[1], until)
    if begin is not None and end is not None and begin > end:
        message = f"{names[0]} is after {names[1]}: nothing can be booked in that time."
        raise bad_request("invalid_value", message, names[0])
    return wanted._replace(since=begin, until=end)


def _actions(text: str | None) -> Sequence[str] | None:
    """The actions of a filter; raises ApiError 400 for one that there is not.

    An empty answer to a mistyped name would look as if nothing had happened.
    """
    if text is None:
        return None
    if text not in ACTIONS:
        message = f"There is no action {text[:64]!r}; there are: {', '.join(ACTIONS)}."
        raise bad_request("invalid_value", message, "action")
    return (text,)


async def _of_user(parts: ReadParts, text: str) -> UUID:
    """A user that there is; raises ApiError 404."""
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or not await parts.account.run(user_exists, found):
        raise ApiError(404, "user_not_found", f"There is no user {text[:64]!r}.")
    return found


@router.get("/audit")
async def audit(  # noqa: PLR0913, PLR0917 - the parameters are the route's contract.
    request: Request,
    parts: Parts,
    caller: AuditReader,
    user_id: str | None = None,
    action: str | None = None,
    since: Since = None,
    until: Until = None,
    limit: int | None = None,
    offset: int = 0,
    cursor: Annotated[int | None, Query(ge=1, le=POSITION_MAX)] = None,
    format_: Annotated[Literal["csv", "json"] | None, Query(alias="format")] = None,
) -> Response:
    """Who did what to the caller's keys, credits and role; an admin may ask about anyone.

    Newest first. With `format` the whole is streamed, at most `limit` lines where it is given.
    """
    viewer: str | None = caller.user_id
    user: UUID | None = UUID(caller.user_id)
    if user_id not in (None, caller.user_id):
        admit(caller, Permission.ADMIN_AUDIT)
        viewer = None
    wanted = _time(Wanted(actions=_actions(action), below=cursor), since, until, ("from", "to"))
    if format_ is None:
        check_page(PAGE if limit is None else limit, offset, most=parts.page_max)
    elif offset:
        message = "An export has no pages: leave offset out, or begin at a cursor."
        raise bad_request("invalid_value", message, "offset")
    if viewer is None and user_id is not None:
        user = None if user_id == EVERYBODY else await _of_user(parts, user_id)
        await parts.admin_reads(request, caller, str(user) if user else None)
    wanted = wanted._replace(user_id=user)
    if format_ is not None:
        return await export(parts, wanted, viewer, format_, limit)
    most = PAGE if limit is None else limit
    lines = await parts.account.run(
        audit_page, wanted, limit=most, offset=offset, wait_s=parts.wait_s
    )
    return json_reply(
        {
            "logs": [shown(each, viewer) for each in lines],
            "limit": most,
            "offset": offset,
            "next_cursor": lines[-1].position if len(lines) == most else None,
        }
    )


@router.get("/organisations/{organisation_id}/audit")
async def organisation_audit(
    organisation_id: str,
    parts: Parts,
    caller: OrganisationReader,
    action: str | None = None,
    limit: int = PAGE,
    cursor: Annotated[int | None, Query(ge=1, le=POSITION_MAX)] = None,
) -> Response:
    """Who did what to an organisation, its members, projects and keys; newest first."""
    check_page(limit, 0, most=parts.page_max)
    account = await parts.organisation_account(caller, organisation_id, Act.AUDIT)
    wanted = Wanted(actions=_actions(action), below=cursor, account_id=UUID(account))
    lines = await parts.account.run(audit_page, wanted, limit=limit, offset=0, wait_s=parts.wait_s)
    return json_reply(
        {
            "logs": [shown(each, caller.user_id) for each in lines],
            "limit": limit,
            "next_cursor": lines[-1].position if len(lines) == limit else None,
        }
    )


@router.get("/user/api-keys/audit-logs")
async def key_audit(
    parts: Parts,
    caller: AuditReader,
    key_id: str | None = None,
    action: str | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
    limit: int = KEY_PAGE,
) -> Response:
    """What was done to the caller's keys, newest first; of one key, or of all."""
    check_page(limit, 0, most=parts.page_max)
    if action is not None and action not in KEY_ACTIONS:
        message = f"There is no action {action[:64]!r}; there are: {', '.join(KEY_ACTIONS)}."
        raise bad_request("invalid_value", message, "action")
    actions = [
        each for name, known in KEY_ACTIONS.items() for each in known if action in (None, name)
    ]
    wanted = Wanted(
        user_id=UUID(caller.user_id),
        key_id=await _own_key(parts, caller, key_id),
        actions=actions,
    )
    wanted = _time(wanted, start_date, end_date, ("start_date", "end_date"))
    lines, total = await parts.account.run(
        audit_with_total, wanted, limit=limit, wait_s=parts.wait_s
    )
    logs = [shown_of_key(each, caller.user_id) for each in lines]
    return json_reply({"status": "success", "total_logs": total, "logs": logs})


async def _own_key(parts: ReadParts, caller: Caller, text: str | None) -> UUID | None:
    """The caller's own key that a filter names; raises ApiError 404 for any other."""
    if text is None:
        return None
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or not await parts.account.run(owns_key, caller.user_id, found):
        raise ApiError(404, "api_key_not_found", f"You have no API key {text[:64]!r}.")
    return found


@router.get("/admin/roles/audit/log")
async def role_audit(
    request: Request,
    parts: Parts,
    caller: RoleKeeper,
    user_id: str | None = None,
    limit: int = ROLE_PAGE,
) -> Response:
    """Changes of roles, newest first; of one user, or of all."""
    check_page(limit, 0, most=parts.page_max)
    user = None if user_id is None else await _of_user(parts, user_id)
    await parts.admin_reads(request, caller, str(user) if user else None)
    wanted = Wanted(user_id=user, actions=(ROLE_CHANGED,))
    lines, total = await parts.account.run(
        audit_with_total, wanted, limit=limit, wait_s=parts.wait_s
    )
    return json_reply({"logs": [shown_of_role(each) for each in lines], "total": total})
