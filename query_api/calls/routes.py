"""GET /v1/calls/{id}: the whole story of the caller's own call, read from the log."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from edge.errors import ApiError
from edge.replies import json_reply
from query_api.calls.queries import call_story
from query_api.parts import Calling, Parts  # noqa: TC001 - FastAPI reads annotations at run time.

router = APIRouter()


def _parse_call_id(text: str) -> UUID | None:
    """A call id from a path; None when it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


@router.get("/v1/calls/{call_id}")
async def get_call(call_id: str, parts: Parts, caller: Calling) -> Response:
    """The whole story of the caller's own call, read from the log."""
    known = _parse_call_id(call_id)
    story = None
    if known is not None:
        story = await parts.account.run(call_story, known, caller.account_id)
    if story is None:
        message = f"There is no call {call_id} of yours. Replies carry x-gatewayz-call-id."
        raise ApiError(404, "call_not_found", message)
    return json_reply(story)
