"""How a call waits for the answer of an equal one: of its own gateway, or of another."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from command_api.kept_replies.shared_flights import POLL_S
from edge.asgi import ClientGoneError

if TYPE_CHECKING:
    from command_api.calls.beside.caching import Caching
    from command_api.calls.call import Call
    from command_api.kept_replies.flights import Flight, Landed
    from command_api.kept_replies.response_cache import CachedReply, ResponseCache
    from command_api.shedding.queue import Turn
    from edge.asgi import Receive


async def elsewhere(
    cache: ResponseCache, call: Call, caching: Caching, receive: Receive, turn: Turn
) -> CachedReply | None:
    """The answer of an equal call of another gateway; None for who makes the call for all.

    Or for who waited for too long. Raises ClientGoneError.
    """
    shared = cache.shared
    if shared is None:
        return None
    kept = await _look(cache, call, caching)
    if kept is not None or caching.lead is not None or not caching.wish.reads:
        return kept
    turn.admitted()  # Who waits for another's answer is in nobody's way.
    until, gone = time.monotonic() + cache.wait_s, asyncio.ensure_future(_left(receive))
    try:
        while time.monotonic() < until and not await shared.alone(caching.name):
            await asyncio.wait({gone}, timeout=POLL_S)
            if gone.done():
                raise ClientGoneError
            kept = await _look(cache, call, caching)
            if kept is not None or caching.lead is not None:
                cache.coalesced += kept is not None
                return kept
        return None
    finally:
        await _end(gone)


async def _look(cache: ResponseCache, call: Call, caching: Caching) -> CachedReply | None:
    """What was kept meanwhile; the lead is the call's where nobody else has it."""
    assert cache.shared is not None, "it is asked where there are others"
    caching.lead = await cache.shared.lead(caching.name)
    if not caching.wish.reads:
        return None
    # Another one may have kept its answer between our last look and our lead.
    kept = await cache.find(call.caller, caching.name, caching.wish.max_age_s)
    if kept is not None:
        caching.land(kept)
    return kept


async def waited_for(
    flight: Flight[CachedReply], receive: Receive, wait_s: float
) -> Landed[CachedReply] | None:
    """How the flight ended; None when it took too long. Raises ClientGoneError for a hang-up."""
    gone = asyncio.ensure_future(_left(receive))
    try:
        landed = await flight.wait(wait_s, gone)
        if landed is None and gone.done():
            raise ClientGoneError
        return landed
    finally:
        await _end(gone)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(gone: asyncio.Future[None]) -> None:
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
