"""/v1/files, as in OpenAI's API: upload, list, retrieve, content, delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from command_api.files.ids import FILE, id_of, shown_id
from command_api.files.lists import descends, limit_of, page_of
from command_api.files.store import Owner
from command_api.files.uploads import told_file
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.asgi import ClientGoneError, header_of
from edge.caller import Caller
from edge.errors import ApiError, bad_request
from edge.replies import json_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from command_api.files.desk import FileDesk
    from command_api.files.store import StoredFile

ONE = "/v1/files/{file_id}"
LIMIT_MAX = 10_000
PARTIAL, OK = 206, 200
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

router = APIRouter()
User = Annotated[Caller, Depends(Needs(Permission.WRITE_CHAT).caller)]


def _desk(request: Request) -> FileDesk:
    found: FileDesk = request.app.state.files
    return found


def owner_of(caller: Caller) -> Owner:
    """Whose the files are that a caller makes."""
    return Owner(UUID(caller.account_id), UUID(caller.owner_id))


def file_not_found(param: str | None = None) -> ApiError:
    """A 404 that is the same for nobody's, and for another one's."""
    message = "No file of yours has this id: it was deleted, or its time is over."
    return ApiError(404, "file_not_found", message, param=param)


async def _found(request: Request, caller: Caller, text: str) -> StoredFile:
    file_id = id_of(FILE, text)
    store = _desk(request).store
    found = await store.find(UUID(caller.account_id), file_id) if file_id else None
    if found is None:
        raise file_not_found()
    return found


@router.post("/v1/files")
async def upload(request: Request, caller: User) -> Response:
    """Store a file for a batch; it waits on the disk, never in memory."""
    try:
        made = await _desk(request).uploads.take(owner_of(caller), request.scope, request.receive)
    except ClientGoneError:
        message = "The client hung up before its request was complete."
        raise bad_request("client_gone", message) from None
    return json_reply(told_file(made))


@router.get("/v1/files")
async def listed(
    request: Request,
    caller: User,
    purpose: str | None = None,
    after: str | None = None,
    limit: str | None = None,
    order: str | None = None,
) -> Response:
    """The account's files, the newest first; `limit` is 10000, which is the most."""
    wanted, newest_first = limit_of(limit, usual=LIMIT_MAX, most=LIMIT_MAX), descends(order)
    behind = id_of(FILE, after) if after is not None else None
    if after is not None and behind is None:
        raise bad_request("invalid_value", "after names no file.", "after")
    account = UUID(caller.account_id)
    store = _desk(request).store
    found = await store.listed(account, purpose, behind, wanted + 1, desc=newest_first)
    return json_reply(page_of([told_file(each) for each in found], wanted))


@router.get(ONE)
async def retrieve(file_id: str, request: Request, caller: User) -> Response:
    """A file, without what it holds."""
    return json_reply(told_file(await _found(request, caller, file_id)))


@router.get(ONE + "/content")
async def content(file_id: str, request: Request, caller: User) -> Response:
    """What a file holds, or a range of it (RFC 9110, 14), byte-true."""
    file = await _found(request, caller, file_id)
    begin, end, status = _range_of(request, file.bytes)
    headers = {
        "content-length": str(end - begin),
        "accept-ranges": "bytes",
        "cache-control": "no-store",
        "etag": f'"{file.about.sha256.hex()}"',
    }
    if status == PARTIAL:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{file.bytes}"
    pieces: AsyncIterator[bytes] = _desk(request).store.read(file, begin, end)
    return StreamingResponse(pieces, status, headers, media_type="application/octet-stream")


@router.delete(ONE)
async def delete(file_id: str, request: Request, caller: User) -> Response:
    """Forget a file and what it holds; refused while a batch reads it."""
    made = id_of(FILE, file_id)
    done = await _desk(request).store.delete(UUID(caller.account_id), made) if made else None
    if done is None:
        raise file_not_found()
    if not done:
        message = "A batch that has not ended reads this file: cancel it first, or wait."
        raise ApiError(409, "file_in_use", message)
    return json_reply(
        {"id": shown_id(FILE, made) if made else "", "object": "file", "deleted": True}
    )


def _range_of(request: Request, size: int) -> tuple[int, int, int]:
    """Begin, end and status of what is asked for; of several ranges, or a strange one, the whole.

    Raises ApiError 416 for a range behind the end.
    """
    asked = _RANGE.fullmatch(header_of(request.scope, b"range").decode("latin-1").strip())
    if asked is None or not (asked[1] or asked[2]):
        return 0, size, OK
    if not asked[1]:
        begin, end = max(size - int(asked[2]), 0), size
        begin = size if not int(asked[2]) else begin
    else:
        begin = int(asked[1])
        end = min(int(asked[2]) + 1, size) if asked[2] else size
        if asked[2] and int(asked[2]) < begin:
            return 0, size, OK
    if begin >= size:
        message = f"The file has {size} bytes."
        headers = {"content-range": f"bytes */{size}"}
        raise ApiError(416, "range_not_satisfiable", message, headers=headers)
    return begin, end, PARTIAL
