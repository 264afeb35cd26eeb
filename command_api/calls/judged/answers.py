"""What of an answer waits for guards that ask a model, and the prompt that waits before the hold.

Nothing of a stream is passed on before all of its text up to there was looked at: whole events are
held back, and are told or not.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from command_api.guardrails.port import OfCall
from command_api.guardrails.scanner import GuardedScanner
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from command_api.calls.attempts import StreamAttempt
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.guardrails.guarding import Guarding
    from command_api.kept_replies.idempotency import KnownKey


HELD_BYTES_MAX = 2**20
"""Most bytes of events that wait for more text, whatever a guard would wait for."""
HELD_S = 1.0
"""How long text waits for more of it where a stream is slow, seconds, seen when more comes."""
DRAIN_S = 5.0
"""How long the provider's usage is waited for once a guard has ended a stream, seconds."""


async def look_at_prompt(parts: CallParts, call: Call) -> KnownKey | None:
    """Let guards ask about a prompt; raises ApiError, by which nothing is held.

    The key of the call where that was answered before: then nobody is asked, and it is answered so
    again. What is answered from the cache was looked at when it was made.
    """
    guarding = call.guarding
    if guarding is None or not guarding.asked:
        return None
    known = await parts.idempotency.admitted(call.idempotency_key) if call.idempotency_key else None
    if known is not None and known.state == "settled":
        return known
    if call.caching is not None and call.caching.answer is not None:
        guarding.not_asked()
        return None
    assert parts.guardrails is not None, "there are guards"
    judge = parts.guardrails.judge
    assert judge is not None, "the process serves calls"
    # Another attempt under a key has the id of the first.
    call_id = str(known.call_id) if known is not None else call.id
    await guarding.look_at_prompt(OfCall(judge, call.caller, call_id, call.idempotency_key))
    return None


class HeldAnswer:
    """What of one stream's answer is held back."""

    def __init__(self, guarding: Guarding) -> None:
        """Nothing came yet."""
        self._guarding, self._held = guarding, list[bytes]()
        self._bytes, self._since = 0, 0.0

    async def passed(self, out: bytes, *, last: bool) -> bytes:
        """What may be told now that so much came; at the `last`, all or nothing of it.

        b"" where a guard refuses the answer, which its `refused` says then.
        """
        guarding, now = self._guarding, time.monotonic()
        if not self._bytes:
            self._since = now
        self._held.append(out)
        self._bytes += len(out)
        if guarding.refused is None:
            enough = self._bytes > HELD_BYTES_MAX or now - self._since > HELD_S
            await guarding.look_at_answer(last=last or enough)
        if guarding.refused is None and guarding.unseen:
            return b""
        told = b"".join(self._held)
        self._held, self._bytes = [], 0
        return told if guarding.refused is None else b""


def held_answer(call: Call) -> HeldAnswer | None:
    """What holds a stream's answer back; None where no guard has to ask."""
    guarding = call.guarding
    return HeldAnswer(guarding) if guarding is not None and guarding.waits else None


async def read_out(won: StreamAttempt, call: Call) -> None:
    """Read a stream on that a guard has ended, for the usage that its provider will ask money for.

    Bounded by DRAIN_S, and by what is held for; without a report what came is counted here.
    """
    scanner, reply = won.scanner, won.reply
    if reply is None or not isinstance(scanner, GuardedScanner):
        return
    try:
        async with asyncio.timeout(DRAIN_S):
            while not (won.ended or scanner.read_out) and scanner.count() <= call.bound_tokens:
                piece = await reply.piece()
                won.ended = not piece
                won.read(piece)
    except (UpstreamError, BrokenStreamError, StreamErrorChunk, TimeoutError):
        return
    except Exception as error:  # noqa: BLE001 - `known` logs what no port allows.
        won.known(error)
