"""What of a call is kept beside the log, and what it goes on from."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from command_api.calls.beside.caching import keep_stream, keep_whole
from command_api.kept_replies.idempotency import StoredReply
from command_api.operations.responses.request import Chain, ResponsesRequest, parse_responses
from command_api.replies.scanning import makes_response
from command_api.uploads.reading import ONE_FILE, UploadLimits, read_form
from edge.asgi import LET_GO, is_json, read_body
from edge.errors import ApiError

if TYPE_CHECKING:
    from command_api.calls.attempts import StreamAttempt
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.operations.request import InferenceRequest
    from command_api.operations.table import Route, TakesForm
    from edge.asgi import Receive, Scope
    from edge.caller import Caller

OK = 200


def stored_reply(call: Call, body: bytes, kind: str = "application/json") -> StoredReply:
    """What a call's idempotency key is answered with from now on."""
    return StoredReply(UUID(call.id), OK, kind, call.model.provider, body)


class KeptStream:
    """What is kept of a stream: for its idempotency key, where it has one, and for the cache."""

    def __init__(self, parts: CallParts, call: Call) -> None:
        """Nothing was streamed yet."""
        self._parts, self._call = parts, call
        self._made: list[bytes] | None = [] if call.idempotency_key else None
        self._size = 0

    def add(self, out: bytes) -> None:
        """Its caller was streamed so much more; each keeps up to the largest reply that it may."""
        if self._call.caching is not None:
            self._call.caching.heard(out, self._parts.responses.bytes_max)
        if self._made is None:
            return
        self._made.append(out)
        self._size += len(out)
        if self._size > self._parts.settings.kept_replies.idempotency_body_bytes_max:
            self.drop("the stream is too long")

    def forget_key(self) -> None:
        """Its key is answered with something else."""
        self._made = None

    def drop(self, why: str) -> None:
        """Keep nothing of it: a repeated request is told so."""
        if self._made is not None:
            self._made = None
            self._parts.idempotency.not_kept(UUID(self._call.id), why)

    async def seal(self, kind: bytes) -> None:
        """Give it to the call, which is charged and keeps its reply in one append."""
        if self._made is not None:
            call = self._call
            reply = stored_reply(call, b"".join(self._made), kind.decode())
            call.kept_reply = await self._parts.idempotency.sealed(call.caller, reply)


async def read_request(
    parts: CallParts,
    route: Route,
    scope: Scope,
    declared: bytes,
    receive: Receive,
    caller: Caller,
) -> InferenceRequest:
    """A checked body, with all that a previous response stands for.

    Raises ApiError, ClientGoneError.
    """
    limits = parts.settings.requests
    if route.form is not None and not (route.takes_json and is_json(scope)):
        return await _read_form(parts, route, route.form, scope, declared, receive)
    raw = await read_body(
        scope,
        declared,
        receive,
        bytes_max=limits.body_bytes_max,
        timeout_s=limits.body_timeout_s,
    )
    request = route.parse(raw, limits)
    if not isinstance(request, ResponsesRequest) or request.previous_id is None:
        return request
    previous = request.previous_id
    items = await parts.kept_responses.chain(caller, previous, limits.body_bytes_max)
    return parse_responses(raw, limits, Chain(previous, items))


async def _read_form(
    parts: CallParts,
    route: Route,
    take: TakesForm,
    scope: Scope,
    declared: bytes,
    receive: Receive,
) -> InferenceRequest:
    """A checked form; its files are closed with the call, or here where there is none."""
    limits = parts.settings.requests
    audio = route.files is ONE_FILE
    most = limits.audio_file_bytes_max if audio else limits.image_file_bytes_max
    may = UploadLimits(most, limits.upload_timeout_s, limits.upload_dir, route.files)
    form = await read_form(scope, declared, receive, parts.uploads, may)
    scope[LET_GO] = form.file.close
    try:
        return take(form, limits)
    except ApiError:
        form.file.close()
        raise


async def keep_answer(parts: CallParts, call: Call, raw: bytes) -> None:
    """Keep a whole answer that was charged, where it is asked for again."""
    await keep_whole(parts, call, raw)
    request = call.request
    if isinstance(request, ResponsesRequest) and request.store:
        response = msgspec.json.decode(raw, type=dict)
        await parts.kept_responses.keep(call.caller, call.id, request, response)


async def keep_streamed(
    parts: CallParts, call: Call, won: StreamAttempt | None, reason: str
) -> None:
    """The same for a stream that has ended; for the cache only one that ended well."""
    if won is not None and reason == "completed":
        await keep_stream(parts, call, won)
    request = call.request
    if won is None or not isinstance(request, ResponsesRequest) or request.background:
        return  # What runs in the background is kept by who runs it, however it ends.
    scanner = won.scanner
    if makes_response(scanner):
        await parts.kept_responses.keep(call.caller, call.id, request, scanner.response)
