"""A stream that nobody reads but its run: it ends by itself, by its time, or cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from command_api.calls.stream import InferenceStream
from command_api.replies.responses.events import events_in
from command_api.replies.scanning import tells_failure
from edge.asgi import ReplyHeaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from edge.asgi import Message
    from edge.errors import ApiError

CANCELLED = "cancelled"
TOO_LONG = "background_too_long"


class BackgroundStream(InferenceStream):
    """As one whose caller hangs up when the run is cancelled."""

    def __init__(
        self, parts: CallParts, call: Call, take: Callable[[bytes], None], *, run_s: float
    ) -> None:
        """`take` gets the events of the provider; at most `run_s` seconds."""
        self._cancelled = asyncio.Event()
        self._take = take
        super().__init__(parts, call, ReplyHeaders(), self._hear, self._tell)
        self._limit_s, self._margin_s = run_s, 0.0
        self._stays = False
        self._kept.forget_key()  # It answers with the response as it was when it began.

    def cancel(self) -> None:
        """End it now; what was made is charged."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was ended so, rather than by anything else."""
        return self._gone

    def made(self, error: ApiError) -> dict[str, Any]:
        """The response as far as it came."""
        scanner = self._won.scanner if self._won is not None else None
        if tells_failure(scanner):
            for _, event in events_in(scanner.broken(error)):
                if event is not None and isinstance(event.get("response"), dict):
                    made: dict[str, Any] = event["response"]
                    return made
        return {}

    @property
    def _left(self) -> str:
        return CANCELLED if self._gone else TOO_LONG

    async def _hear(self) -> Message:
        await self._cancelled.wait()
        return {"type": "http.disconnect"}

    async def _tell(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self._take(message["body"])

    async def _hung_up(self) -> None:
        """Nobody hung up where its time is over: its provider is to hear of it, too."""
        for each in self._trying:
            each.interrupt()
        await super()._hung_up()

    async def _end(self, last: bytes, broken: str = "") -> None:
        """What has ended by itself is told so, though it was cancelled in the same moment."""
        del broken  # Who runs it keeps it, however it ends.
        if not self._ended:
            self._ended = True
            self._take(last)
