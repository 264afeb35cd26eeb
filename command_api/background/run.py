"""One response that runs in the background, from its row to its end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from command_api.background.feed import Feed
from command_api.background.stream import BackgroundStream
from command_api.kept_replies.responses import Stored
from command_api.limits.gate import ended
from command_api.replies.responses.assembled import error_of
from command_api.replies.responses.events import FAILED
from command_api.replies.responses.usage import told
from edge.body import decode_any, decode_members
from edge.errors import SERVER, ApiError, internal_error
from providers.inference.adapters.responses.as_response import ECHOED, Frame

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.background import BackgroundRows
    from command_api.operations.responses.request import ResponsesRequest

logger = logging.getLogger("gatewayz.background")

CANCELLED = "response.cancelled"
"""The last event of a response that was cancelled; OpenAI's document has none for it."""
PREFIX = "resp_"
SAVING_S = 60.0
"""Past its longest time a run's row is its process's for so long, seconds."""
_encode = msgspec.json.encode


def response_id_of(call_id: str) -> str:
    """The id of the response that a call makes in the background."""
    return PREFIX + call_id.replace("-", "")


def call_of(response_id: str) -> UUID | None:
    """The call that makes such a response; None for an id of another kind."""
    try:
        found = UUID(response_id.removeprefix(PREFIX))
    except ValueError:
        return None
    return found if response_id_of(str(found)) == response_id else None


def too_long(run_s: float, *, charged: bool) -> ApiError:
    """What is told of a run that was ended for its time."""
    charge = "What was made is charged." if charged else "Nothing was charged."
    message = f"The response was not done within {run_s:g} s, the most in the background. {charge}"
    return ApiError(504, "background_too_long", message, kind=SERVER)


class Run:
    """A held call that goes on without its caller."""

    def __init__(
        self,
        parts: CallParts,
        rows: BackgroundRows,
        call: Call,
        request: ResponsesRequest,
        *,
        run_s: float,
        events_bytes_max: int,
    ) -> None:
        """Nothing runs yet; `queued` is what the caller is answered."""
        self._parts, self._rows, self._run_s = parts, rows, run_s
        self.call, self.request = call, request
        self.response_id = response_id_of(call.id)
        self.queued = _queued(call, request)
        if call.guarding is not None:
            self.queued = call.guarding.echoed(self.queued)
        self.feed = Feed(
            self.queued, self._framed, bytes_max=events_bytes_max if request.streamed else None
        )
        self.stream = BackgroundStream(parts, call, self.feed.take, run_s=run_s)
        self.saved = False
        """Whether its end is in its row, or has none any more."""
        self.until = time.monotonic() + run_s + SAVING_S
        """When its row is given up, by the monotonic clock."""

    async def keep(self, most: int) -> None:
        """Keep its row, before its caller is answered; raises ApiError 400, 413, 429 or 503."""
        made, request = self._stored(self.queued), self.request
        await self._rows.begin(
            self.call.caller,
            self.call.id,
            request.previous_id,
            self.response_id,
            made,
            run_s=self._run_s + SAVING_S,
            most=most,
        )

    async def run(self) -> None:
        """To its end, whatever that is."""
        error: ApiError | None = None
        self.feed.begin()
        try:
            await self.stream.run()
        except ApiError as refusal:
            error = refusal
        except Exception:
            logger.exception("call %s met a defect in the background", self.call.id)
            if self.call.unresolved:
                await self._parts.cashier.void(self.call, "internal_error")
            error = internal_error(charged=self.call.charged is not None)
        finally:
            ended(self.call, 0)
            self.call.let_go_body()
        self._conclude(error)
        await self.save()

    def _conclude(self, error: ApiError | None) -> None:
        """Say how it ended, where its stream did not."""
        if self.feed.response is not None:
            return
        charged = self.call.charged is not None
        told_error = error or too_long(self._run_s, charged=charged)
        made = self.stream.made(told_error)
        if error is None and self.stream.cancelled:
            self.feed.end(CANCELLED, {**made, "status": "cancelled", "error": None})
        else:
            words = {"status": "failed", "error": error_of(told_error)}
            self.feed.end(FAILED, {**made, **words})

    async def save(self) -> None:
        """Write how it ended; where that cannot be now, it is not `saved` and is tried again."""
        response = self.feed.response
        assert response is not None, "only what has ended is saved"
        caller = self.call.caller
        try:
            there = await self._rows.end(
                caller, self.response_id, self._stored(response), self.feed.all()
            )
        except ApiError as error:
            if error.status != TOO_LARGE:
                logger.warning("the end of response %s is not stored yet", self.response_id)
                return
            await self._save_without_output(error)
        else:
            if not there:
                logger.info("response %s was deleted before its end", self.response_id)
        self.saved = True

    async def _save_without_output(self, error: ApiError) -> None:
        """It is longer than what is stored: that is told in its place."""
        words = {"status": "failed", "error": error_of(error), "output": []}
        made = self._stored(self._framed({**self.queued, **words}))
        try:
            await self._rows.end(self.call.caller, self.response_id, made, None)
        except ApiError:
            logger.warning("the end of response %s is not stored", self.response_id)

    def _stored(self, response: dict[str, Any]) -> Stored:
        items = _encode(self.request.own_items)
        return Stored(_encode(response), items, streamed=self.request.streamed)

    def _framed(self, response: dict[str, Any]) -> dict[str, Any]:
        """Its provider's response as the one that the caller was answered."""
        ours = ("id", "object", "created_at", "background", "store", "previous_response_id")
        made = {**self.queued, **response, **{name: self.queued[name] for name in ours}}
        if made.get("usage") is None and self.call.charged is not None:
            made["usage"] = told(*self.call.charged)
        return made


TOO_LARGE = 413


def _queued(call: Call, request: ResponsesRequest) -> dict[str, Any]:
    """What is answered before anything is made."""
    members = decode_members(request.raw)
    body = {name: decode_any(members[name]) for name in ECHOED if name in members}
    body |= {"previous_response_id": request.previous_id, "store": True}
    hex_id = call.id.replace("-", "")
    frame = Frame.of(body, hex_id, call.model.public_id, int(time.time()))
    return frame.response([], status="queued", background=True)
