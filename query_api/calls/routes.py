"""GET /v1/calls/{id}: the whole story of the caller's own call, read from the log.

GET /v1/calls?completion_id= finds a call by the `id` of its reply.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from edge.errors import ApiError
from edge.replies import json_reply
from projections.usage.activity_log import COMPLETION_ID_CHARACTERS_MAX
from query_api.calls.pages import page_of_calls
from query_api.calls.queries import call_story, story_of_completion
from query_api.parts import Parts, UsageReader  # noqa: TC001 - FastAPI reads annotations at run time.

CALLS, CALLS_MAX = 20, 100
"""Calls on a page: without a word, and at most."""
POSITION_MAX = 2**63 - 1
"""What a position of the log can be."""
router = APIRouter()


def _parse_call_id(text: str) -> UUID | None:
    """A call id from a path; None when it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


@router.get("/v1/calls")
async def find_calls(
    parts: Parts,
    caller: UsageReader,
    completion_id: Annotated[
        str | None, Query(min_length=1, max_length=COMPLETION_ID_CHARACTERS_MAX)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=CALLS_MAX)] = CALLS,
    before: Annotated[int | None, Query(ge=1, le=POSITION_MAX)] = None,
    *,
    own_key: bool | None = None,
) -> Response:
    """The caller's calls that ended, the newest first, with `own_key` those alone that went with an
    own provider key, or that did not; or, with `completion_id`, the story of the one whose reply
    had this `id`, once the reply has ended.
    """
    if completion_id is None:
        page = await parts.account.run(
            page_of_calls,
            caller.account_id,
            limit=limit,
            before=before,
            own_key=own_key,
            wait_s=parts.wait_s,
        )
        return json_reply(page)
    story = await parts.account.run(
        story_of_completion, completion_id, caller.account_id, wait_s=parts.wait_s
    )
    if story is None:
        message = f"No reply of yours that was charged has the id {completion_id!r}."
        raise ApiError(404, "call_not_found", message)
    return json_reply(story)


@router.get("/v1/calls/{call_id}")
async def get_call(call_id: str, parts: Parts, caller: UsageReader) -> Response:
    """The whole story of the caller's own call, read from the log."""
    known = _parse_call_id(call_id)
    story = None
    if known is not None:
        story = await parts.account.run(call_story, known, caller.account_id)
    if story is None:
        message = f"There is no call {call_id} of yours. Replies carry x-gatewayz-call-id."
        raise ApiError(404, "call_not_found", message)
    return json_reply(story)
