"""What the response cache is to one call: a hit, an answer of another call, or an answer to keep.

A call that nobody opted in has none of this.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from command_api.calls.beside.across import across_of
from command_api.calls.beside.meant import compared
from command_api.calls.beside.waiting import elsewhere, waited_for
from command_api.kept_replies.response_cache import CachedReply
from command_api.replies.replayed.forms import FORMS
from command_api.replies.replayed.parts import NotWholeError
from providers.inference.port import FORWARDED, Operation

if TYPE_CHECKING:
    from typing import Any

    from command_api.calls.attempts import StreamAttempt
    from command_api.calls.beside.across import Across
    from command_api.calls.beside.cached import CachedAnswer
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.guardrails.guarding import Guarding
    from command_api.kept_replies.cache_wishes import CacheWish
    from command_api.kept_replies.flights import Flight, Flights
    from command_api.kept_replies.response_cache import ResponseCache
    from command_api.kept_replies.semantic.asked import Split
    from command_api.kept_replies.semantic.meant import Meant
    from command_api.kept_replies.shared_flights import Lead
    from command_api.operations.request import InferenceRequest
    from command_api.operations.table import Route
    from command_api.shedding.queue import Turn
    from edge.asgi import Headers, Receive
    from edge.caller import Caller
    from edge.errors import ApiError

CACHED = frozenset({*FORMS, Operation.EMBEDDINGS})
"""Operations whose answers are kept; made images are links that end."""
LEADERS_MAX = 3
"""So many calls that failed a call waits for, one after the other; then it is answered as they."""
STREAM_FACTOR = 8
"""A stream has several times the bytes of its whole answer: so many are read back at most."""
BESIDE_BYTES = 256 * 1024
"""What is longer is read back in a thread."""
FAILED_STATUS = 500
NOT_WHOLE = (NotWholeError, KeyError, TypeError, ValueError, AttributeError)
"""What reading a stream back raises for what no API has."""


class Caching:
    """Of one opted-in call."""

    __slots__ = (
        *("across", "answer", "flight", "form", "generation", "lead", "made", "made_bytes"),
        *("meant", "name", "route", "split", "wish"),
    )

    def __init__(self, wish: CacheWish, name: str, form: Operation, generation: int) -> None:
        """Nothing was looked up yet. Without a name the cache has no part in the call."""
        self.wish, self.name, self.form, self.generation = wish, name, form, generation
        self.answer: CachedAnswer | None = None
        """What was found, as this call is answered with it."""
        self.flight: Flight[CachedReply] | None = None
        self.across: Across | None = None
        """What sharing with other accounts is to it, where it asked for that."""
        self.route = ""
        self.split: Split | str | None = None
        self.meant: Meant | None = None
        """What is compared where the call is opted in to that, and what came of it."""
        self.lead: Lead | None = None
        """What other gateways know of it, where they can."""
        self.made: list[bytes] | None = [] if name and wish.keeps and form in FORMS else None
        """What its caller was streamed."""
        self.made_bytes = 0

    @property
    def followed(self) -> bool:
        """Whether others wait for its answer, so that it goes on without its own caller."""
        return self.flight is not None and self.flight.waiting > 0

    def leads(self, flights: Flights[CachedReply]) -> bool:
        """Whether it is the one that others wait for from now on."""
        self.flight = flights.lead(self.name) if self.wish.keeps else None
        return self.flight is not None

    def heard(self, out: bytes, bytes_max: int) -> None:
        """Its caller was streamed so much more."""
        if self.made is not None:
            self.made_bytes += len(out)
            self.made.append(out)
            if self.made_bytes > bytes_max * STREAM_FACTOR:
                self.made = None
                self.land(None)

    def land(self, reply: CachedReply | None) -> None:
        """Those who wait have the answer; None is one that is not for them.

        Other gateways find it where it is kept.
        """
        if self.flight is not None:
            self.flight.land(reply)
        if self.lead is not None and reply is None:
            self.lead.end(alone=True)


async def caching_of(
    parts: CallParts,
    asked: Headers,
    caller: Caller,
    request: InferenceRequest,
    route: Route,
    raw: bytes,
    guarding: Guarding | None,
) -> Caching | None:
    """What the cache is to a request; None where nobody opted it in. Raises ApiError 400.

    `raw` is the body as its caller sent it: what guards made of two bodies may be the same.
    """
    cache = parts.responses
    wish = cache.wish_of(asked.cache, asked.cache_control, caller.cache)
    if wish is None:
        return None
    name, scope, operation, digest = "", "", route.operation, b""
    behind = getattr(request, "background", False) or (guarding is not None and guarding.failed)
    if (wish.reads or wish.keeps) and operation in CACHED and not behind:
        # What the caller asks of the provider by headers makes another answer.
        scope = f"POST {route.path}{FORWARDED.get().betas}"
        if guarding is not None:
            # An answer that other guards looked at, or none, is another answer.
            scope += f" {guarding.policy}"
        digest = await cache.digest_of(raw)
        name = cache.name_of(caller, digest, route=scope)
    made, guarded = Caching(wish, name, operation, cache.generation), guarding is not None
    if wish.shared and name:
        made.across = across_of(
            parts.across, caller, raw, operation, route=scope, digest=digest, guarded=guarded
        )
    if wish.semantic is not None and name:
        made.route, only = scope, wish.only
        made.split = await compared(parts.semantic, raw, operation, guarded=guarded, only=only)
    return made


async def find(
    cache: ResponseCache, call: Call, caching: Caching, receive: Receive, turn: Turn
) -> CachedReply | None:
    """A kept answer, or that of an equal call under way; None for who makes the call.

    Raises ClientGoneError, and ApiError where too many that were waited for failed.
    """
    wish, name = caching.wish, caching.name
    for failed in range(LEADERS_MAX + 1):
        if wish.reads and (kept := await cache.find(call.caller, name, wish.max_age_s)):
            return kept if _may_have(call, kept) else None
        given = await _given_across(call, caching) if not failed else None
        if given is not None or wish.only:
            return given
        if caching.leads(cache.flights):
            found = await elsewhere(cache, call, caching, receive, turn)
            return found if found is not None and _may_have(call, found) else None
        flight = cache.flights.with_room(name)
        if flight is None or not wish.reads or failed == LEADERS_MAX:
            return None
        turn.admitted()  # Who waits for another's answer is in nobody's way.
        landed = await waited_for(flight, receive, cache.wait_s)
        if landed is None or not landed.failed:
            return _given(cache, call, landed.answer if landed else None)
        if failed == LEADERS_MAX - 1 and landed.error is not None:
            raise landed.error
    return None


def _given(cache: ResponseCache, call: Call, answer: CachedReply | None) -> CachedReply | None:
    """The answer that was waited for, where this call may have it."""
    if answer is None or not _may_have(call, answer):
        return None
    cache.coalesced += 1
    return answer


async def _given_across(call: Call, caching: Caching) -> CachedReply | None:
    """Another account's answer, where the call asked for that."""
    if caching.across is None or not caching.wish.reads:
        return None
    return await caching.across.find(call, caching.wish)


def _may_have(call: Call, reply: CachedReply) -> bool:
    """Another key of the account may use providers that this one may not."""
    limits = call.caller.limits
    return not (limits and limits.providers and reply.provider not in limits.providers)


def failed_as(call: Call, error: ApiError) -> None:
    """Remember what a call was answered with that failed, for those who waited for it.

    What a caller is refused for is his own, and nothing that they need to hear.
    """
    if call.caching is not None and call.caching.flight is not None:
        call.caching.flight.error = error if error.status >= FAILED_STATUS else None


def over(call: Call) -> None:
    """The call is over: who still waits for its answer does so in vain."""
    if call.caching is not None and call.caching.flight is not None:
        call.caching.flight.fail()
        if call.caching.lead is not None:
            call.caching.lead.end()


async def keep_whole(parts: CallParts, call: Call, raw: bytes) -> None:
    """Keep a whole answer that was charged, and give it to those who wait for it."""
    caching = call.caching
    if caching is None or not (caching.name and caching.wish.keeps) or call.charged is None:
        return
    if len(raw) > parts.responses.bytes_max or (call.guarding is not None and call.guarding.failed):
        caching.land(None)
        return
    price = call.model.price
    stated = {"version": price.version, "effective_at": price.effective_at}
    reply = CachedReply(
        name=caching.name,
        call_id=call.id,
        provider=call.model.provider,
        model=call.model.public_id,
        body=raw,
        made_at=time.time(),
        usage=call.charged[0].as_dict(),
        price=stated | price.terms.as_strings(),
    )
    caching.land(reply)
    await parts.responses.keep(call.caller, reply, caching.wish.ttl_s, caching.generation)
    if caching.across is not None and caching.generation == parts.responses.generation:
        await caching.across.keep(call.caller, reply, caching.wish.ttl_s)
    if caching.meant is not None and parts.semantic is not None:
        await parts.semantic.keep(call.caller, caching.meant, reply, caching.wish.ttl_s)


async def keep_stream(parts: CallParts, call: Call, won: StreamAttempt) -> None:
    """The same for a stream that ended well; what cannot be read back whole is not kept."""
    caching = call.caching
    if caching is None or caching.made is None or not won.scanner.finished:
        return
    done = won.scanner.done  # Where no [DONE] says so, every choice must have come.
    made, caching.made = b"".join(caching.made), None
    read = FORMS[caching.form].read
    try:
        whole = await asyncio.to_thread(read, made) if len(made) > BESIDE_BYTES else read(made)
    except NOT_WHOLE:
        caching.land(None)
        return
    if not done and len(whole.get("choices", ())) < call.request.choices:
        caching.land(None)
        return
    if caching.form in (Operation.CHAT, Operation.COMPLETIONS) and not whole.get("usage"):
        whole["usage"] = _report(won)
    await keep_whole(parts, call, msgspec.json.encode(whole))


def _report(won: StreamAttempt) -> dict[str, Any]:
    """The report of usage that the caller of the stream did not ask for."""
    usage, _ = won.paid()
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": 0,
    }
