"""GET and DELETE /v1/responses/{id}, its input items, and its cancel, as in OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from domain.identity.permissions import Permission
from edge.access import Needs
from edge.caller import Caller
from edge.errors import bad_request
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.background.following import Background
    from command_api.kept_replies.responses import KeptResponses

ONE = "/v1/responses/{response_id}"
ITEMS_MAX = 100
NUMBER_MAX = 2**31
"""No stream has so many events."""

router = APIRouter()
Owner = Annotated[Caller, Depends(Needs(Permission.WRITE_CHAT).caller)]


def _kept(request: Request) -> KeptResponses:
    found: KeptResponses = request.app.state.gateway.calls.kept_responses
    return found


def _background(request: Request) -> Background:
    found: Background = request.app.state.gateway.background
    return found


@router.get(ONE)
async def response(
    response_id: str,
    request: Request,
    caller: Owner,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=NUMBER_MAX)] = None,
) -> Response:
    """A stored response, as it was answered; one in the background as it is now, or its events."""
    if stream:
        after = -1 if starting_after is None else starting_after
        pieces = await _background(request).follow(caller, response_id, after)
        headers = {"cache-control": "no-store"}
        return StreamingResponse(pieces, media_type="text/event-stream", headers=headers)
    if starting_after is not None:
        message = "starting_after names an event, and events are told with stream=true."
        raise bad_request("invalid_value", message, "starting_after")
    found = await _background(request).find(caller, response_id)
    return json_reply(found.response)


@router.delete(ONE)
async def delete(response_id: str, request: Request, caller: Owner) -> Response:
    """Forget a response; those that went on from it cannot be gone on from, either."""
    await _background(request).delete(caller, response_id)
    return json_reply({"id": response_id, "object": "response", "deleted": True})


@router.post(ONE + "/cancel")
async def cancel(response_id: str, request: Request, caller: Owner) -> Response:
    """End a response that runs in the background; what was made is charged."""
    return json_reply(await _background(request).cancel(caller, response_id))


@router.get(ONE + "/input_items")
async def input_items(
    response_id: str,
    request: Request,
    caller: Owner,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=ITEMS_MAX)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """The response's own input, the latest item first."""
    found = await _kept(request).find(caller, response_id)
    items = [_item(each, response_id, place) for place, each in enumerate(found.items)]
    if order == "desc":
        items.reverse()
    ids = [each["id"] for each in items]
    if after is not None and after not in ids:
        message = "after names no input item of this response."
        raise bad_request("invalid_value", message, "after")
    begin = 0 if after is None else ids.index(after) + 1
    page = items[begin : begin + limit]
    return json_reply(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": begin + limit < len(items),
        }
    )


def _item(item: Any, response_id: str, place: int) -> dict[str, Any]:
    """An item as OpenAI lists it: with an id and a type, its text as a part."""
    told = item if isinstance(item, dict) else {"value": item}
    made = {"type": "message", **told}
    if not isinstance(made.get("id"), str) or not made["id"]:
        made["id"] = f"in_{response_id.removeprefix('resp_')[:200]}_{place}"
    if made["type"] == "message":
        made.setdefault("status", "completed")
        if isinstance(made.get("content"), str):
            kind = "output_text" if made.get("role") == "assistant" else "input_text"
            part: dict[str, Any] = {"type": kind, "text": made["content"]}
            made["content"] = [part | ({"annotations": []} if kind == "output_text" else {})]
    return made
