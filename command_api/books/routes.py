"""POST /finance/periods: a month is closed; POST /finance/statements: a statement is issued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.books.schemas import BODY_BYTES_MAX, decode_close, decode_issue
from domain.errors import InvalidCommandError, UnknownAccountError
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of
from edge.errors import ApiError, bad_request
from edge.replies import json_reply
from event_store.beside.statements import Wanted
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.
from query_api.statements.documents import shown

if TYPE_CHECKING:
    from command_api.books.commands import BooksDesk

router = APIRouter()
Finance = Annotated[Caller, Depends(Needs(Permission.ADMIN_FINANCE).caller)]


@router.post("/finance/periods")
async def close_period(request: Request, caller: Finance) -> Response:
    """Close a month in UTC, and all before it, for ever."""
    wish = await read_json(request, decode_close, bytes_max=BODY_BYTES_MAX)
    if not wish.reason.strip():
        raise bad_request("invalid_value", "reason must say why.", "reason")
    desk: BooksDesk = request.app.state.books
    try:
        closed = await desk.close(
            caller, wish.month, reason=wish.reason.strip(), address=client_of(request)
        )
    except InvalidCommandError as error:
        raise bad_request("invalid_value", f"{error}.", "month") from None
    return json_reply({"closed_until": closed.until, "changed": closed.changed})


@router.post("/finance/statements")
async def issue_statement(request: Request, parts: Parts, caller: Finance) -> Response:
    """Issue an account's statement for a month that is over; again it is the same one."""
    wish = await read_json(request, decode_issue, bytes_max=BODY_BYTES_MAX)
    desk: BooksDesk = request.app.state.books
    try:
        account = UUID(wish.account_id)
    except ValueError:
        raise _no_account(wish.account_id) from None
    try:
        wanted = Wanted(parts.issuer, account, wish.month, wish.zone, caller.actor)
        issued, new = await desk.issue(wanted)
    except UnknownAccountError:
        raise _no_account(wish.account_id) from None
    except InvalidCommandError as error:
        raise bad_request("invalid_value", f"{error}.") from None
    return json_reply({**shown(issued), "new": new})


def _no_account(text: str) -> ApiError:
    return ApiError(404, "account_not_found", f"There is no account {text[:64]!r}.")
