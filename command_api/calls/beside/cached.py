"""A call that is answered from the cache: two events, at the share of the price that is set.

Its hold states an offer of its own: the provider `cache`, and the price that the answer was made
for at the operator's percent. So it is checked, told and corrected as any call, and no provider's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from command_api.calls.beside.caching import NOT_WHOLE, find
from command_api.calls.beside.meant import find_meant, tell_similarity
from command_api.calls.call import Attempt
from command_api.kept_replies.cache_wishes import not_cached
from command_api.kept_replies.idempotency import StoredReply
from command_api.replies.replayed.forms import FORMS
from command_api.routing.router import Plan
from domain.ledger.holds import CallBound
from domain.pricing.charges import usage_of, version_of
from domain.pricing.money import usd_number
from domain.pricing.prices import PriceVersion
from domain.pricing.shares import WHOLE, share_of
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from edge.asgi import EVENT_STREAM, JSON, send_whole
from edge.body import RAW_NULL, decode_members
from edge.errors import gateway_stopping
from providers.inference.registry.offers import Model

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.response_cache import CachedReply
    from command_api.shedding.queue import Turn
    from edge.asgi import Receive, ReplyHeaders, Send

CACHE = "cache"
"""What stands in the provider's place of calls that no provider was asked for."""
OK = 200
NOTHING = Usage(0, 0)
"""What a free answer uses: no quota of tokens counts what no model made."""
ABOUT = frozenset({"version", "effective_at"})


class CachedAnswer:
    """How a call is answered from the cache."""

    __slots__ = ("body", "kind", "offer", "reply", "usage")

    def __init__(self, call: Call, reply: CachedReply, percent: int) -> None:
        """Raises one of NOT_WHOLE for an answer that cannot be told as this call wants it."""
        usage = usage_of(reply.usage) if percent else NOTHING
        if isinstance(usage, str):
            raise TypeError(usage)
        self.reply, self.usage, self.offer = reply, usage, _offer(reply, percent)
        body = _with_cost(reply.body, self.offer.price.cost(usage).nano_usd)
        self.kind = EVENT_STREAM if call.request.stream else JSON
        if call.request.stream:
            assert call.caching is not None, "it was found for the call"
            told = FORMS[call.caching.form].told
            whole: dict[str, Any] = msgspec.json.decode(body)
            body = b"".join(told(whole, usage=call.request.include_usage))
        self.body = body


class _NoAttempt(Attempt):
    """In the place of an attempt where nobody was asked: nothing is noted of it."""

    __slots__ = ()

    def charged(self, usage: Usage) -> Usage:
        """All of it."""
        return usage

    def costs(self, made: Usage, at_price: int) -> int:
        """Nothing at any provider."""
        del made, at_price
        return 0


def _offer(reply: CachedReply, percent: int) -> Model:
    """What the cache asks for an answer."""
    first = {name: text for name, text in reply.price.items() if name not in ABOUT}
    terms = share_of(first, percent)
    # Of an answer that another account gave nothing says whose call it was.
    which = "response cache" if reply.call_id else "shared response cache"
    source = f"{which}: {percent} of {WHOLE} of {reply.price['version']}"
    price = PriceVersion(
        version=version_of(CACHE, reply.model, source, terms),
        source=source,
        effective_at=reply.price["effective_at"],
        terms=PriceTerms.parse(terms),
    )
    return Model(id=reply.model, provider=CACHE, price=price)


def _with_cost(raw: bytes, nano_usd: int) -> bytes:
    """The answer, and in it what it costs this time, where it says what it cost."""
    members = decode_members(raw)
    report = bytes(members.get("usage", RAW_NULL))
    if not report.startswith(b"{"):
        return raw
    usage = decode_members(report)
    if "cost" not in usage:
        return raw
    usage["cost"] = msgspec.Raw(usd_number(nano_usd).encode())
    members["usage"] = msgspec.Raw(msgspec.json.encode(usage))
    return msgspec.json.encode(members)


def take(call: Call, reply: CachedReply, percent: int) -> CachedAnswer | None:
    """The call's answer, for which it holds exactly what it costs; None where it is none."""
    try:
        answer = CachedAnswer(call, reply, percent)
    except NOT_WHOLE:
        return None
    usage, offer = answer.usage, answer.offer
    call.plan, call.model = Plan((offer,)), offer
    call.bound = CallBound(usage.input_tokens, usage.output_tokens)
    call.bound_tokens, call.tokens = usage.output_tokens, usage.input_tokens + usage.output_tokens
    call.held = call.estimated_cost = offer.price.cost(usage).nano_usd
    return answer


async def look_up(
    parts: CallParts, call: Call, head: ReplyHeaders, receive: Receive, turn: Turn
) -> None:
    """Find the call's answer, or wait for that of an equal call; else it is to be made.

    Raises ApiError 504 for `only-if-cached`, or as the calls failed that it waited for, and
    ClientGoneError.
    """
    cache, caching = parts.responses, call.caching
    assert caching is not None, "it is opted in"
    told = b"bypass"
    if caching.name:
        reply = await find(cache, call, caching, receive, turn)
        if reply is None and caching.wish.semantic is not None:
            turn.admitted()  # Its vector is a call with a turn of its own.
            reply = await find_meant(parts, call, caching, head)
        caching.answer = take(call, reply, cache.percent) if reply is not None else None
        if caching.answer is None:
            told = b"miss"
            cache.misses += 1
            if caching.across is not None:
                caching.across.tell(head, answered=False)
        else:
            cache.hits += 1
            return  # It may still be refused, and is told as a hit once it is answered.
    else:
        cache.bypassed += 1
    head.more.append((b"x-gatewayz-cache", told))
    if caching.answer is None and caching.wish.only:
        raise not_cached()


async def answer_cached(
    parts: CallParts, call: Call, answer: CachedAnswer, head: ReplyHeaders, send: Send
) -> None:
    """Settle, durably, and answer. The hold stands; raises ApiError 503 where the process stops."""
    call.let_go_body()
    try:
        if call.idempotency_key:
            provider, kind = answer.reply.provider, answer.kind.decode()
            stored = StoredReply(UUID(call.id), OK, kind, provider, answer.body)
            call.kept_reply = await parts.idempotency.sealed(call.caller, stored)
        attempt = _NoAttempt(call, answer.offer, call.started_at)
        await parts.cashier.settle(call, attempt, answer.usage, request_id=None)
    except asyncio.CancelledError:
        if call.unresolved:
            await parts.cashier.abandon(call, "the gateway stopped before the answer")
        raise gateway_stopping(charged=call.charged is not None) from None
    assert call.caching is not None, "its answer was found"
    tell_similarity(call.caching, head)
    if call.caching.across is not None and not answer.reply.call_id:
        call.caching.across.tell(head, answered=True)
    head.more += ((b"age", b"%d" % answer.reply.age_s), (b"x-gatewayz-cache", b"hit"))
    head.provider = answer.reply.provider
    await send_whole(send, OK, answer.body, head.listed(), answer.kind)
