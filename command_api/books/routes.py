"""POST /finance/periods: a month of the books is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.books.schemas import BODY_BYTES_MAX, decode_close
from domain.errors import InvalidCommandError
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import client_of
from edge.errors import bad_request
from edge.replies import json_reply

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
