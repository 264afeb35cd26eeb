"""A line of a batch goes the way of any call: the same route, asked from within the process.

What differs: the caller is the batch's key as it is at that moment, in the lowest class; the events
name the batch as what they belong to; the price is the batch's share of it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import psycopg

from command_api.batches.lines import ENDPOINTS
from command_api.calls.route import OK, InferenceRoute
from command_api.identity.key_ring import caller_of
from domain.overload.priorities import Priority
from domain.pricing.shares import ONE, shared
from edge.asgi import WHOLE_BODY
from edge.errors import invalid_key, ledger_unavailable
from event_store.beside.api_keys import LOOKUP, StoredKey

if TYPE_CHECKING:
    from decimal import Decimal

    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.identity.key_ring import KeyRing
    from command_api.kept_replies.lookups import Lookups
    from command_api.operations.request import InferenceRequest
    from command_api.operations.table import Route
    from edge.asgi import Headers, Message, ReplyHeaders, Scope, Send
    from edge.caller import Caller
    from providers.inference.registry.offers import Model

KEY_CACHE_S = 1.0
"""How long a key is taken for what it was: a revoked one opens nothing afterwards, seconds."""
CACHED_MAX = 1_000
OFFERS_MAX = 20_000
SHARE = "gatewayz.batch_share"
"""Where the scope of a line has the batch's share of the price."""
LABEL = "batch price share"
_HASHES = "SELECT array_agg(key_hash) FROM api_key WHERE key_id = %s AND NOT replaced"


class Answer(NamedTuple):
    """What a line was answered; `retry_after_s` where it was told when to try again."""

    status: int
    call_id: str
    body: bytes
    code: str = ""
    retry_after_s: float | None = None


class LineKeys:
    """Looks up the key of a batch by its id, where a request has a key's text."""

    def __init__(self, lookups: Lookups, *, planless: bool) -> None:
        """`planless` as for any call."""
        self._lookups, self._planless = lookups, planless
        self._cache: dict[bytes, tuple[float, Caller]] = {}

    def cached(self, authorization: bytes) -> Caller | None:
        """The caller, as it was a moment ago."""
        found = self._cache.get(authorization)
        return found[1] if found is not None and found[0] > time.monotonic() else None

    async def authenticate(self, authorization: bytes, origin: str) -> Caller:
        """The caller behind a key's id; raises ApiError 401 or 503.

        Where it may be used from was asked when the batch was made.
        """
        del origin
        try:
            row = await self._lookups.fetch(_HASHES, [authorization.decode()])
            hashes = row[0] if row is not None else None
            found = await self._lookups.fetch(LOOKUP, [hashes]) if hashes else None
        except psycopg.Error:
            raise ledger_unavailable() from None
        if found is None:
            message = "The API key of this batch is not known here any more."
            raise invalid_key(message)
        key = StoredKey(*found)
        if key.closed:
            message = f"The API key of this batch {key.closed}."
            raise invalid_key(message)
        caller = caller_of(key, planless=self._planless)
        limits = caller.limits and replace(caller.limits, networks=(), hosts=())
        caller = msgspec.structs.replace(caller, limits=limits, priority=Priority.BACKGROUND)
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        self._cache[authorization] = (time.monotonic() + KEY_CACHE_S, caller)
        return caller


class SharedOffers:
    """Offers at a share of their price; one is made once."""

    def __init__(self) -> None:
        """Empty; filled as offers are used."""
        self._made: dict[tuple[int, Decimal], tuple[Model, Model]] = {}

    def of(self, offer: Model, share: Decimal) -> Model:
        """The offer as it is sold for that share."""
        if share == ONE:
            return offer
        known = self._made.get((id(offer), share))
        if known is None or known[0] is not offer:
            price = shared(offer.price, share, provider=offer.provider, model=offer.id, label=LABEL)
            if len(self._made) >= OFFERS_MAX:
                self._made.clear()
            known = self._made[id(offer), share] = (offer, replace(offer, price=price))
        return known[1]


class LineRoute(InferenceRoute):
    """As the route of the same path, for lines of batches."""

    def __init__(
        self, parts: CallParts, route: Route, keys: LineKeys, offers: SharedOffers
    ) -> None:
        """Of one process. Idempotency keys of lines are none of the callers' own."""
        super().__init__(parts, route)
        self._keys = cast("KeyRing", keys)  # Of it the route asks for callers, and nothing else.
        self._offers, self._scope_name = offers, f"BATCH {route.path}"

    async def _call(
        self,
        scope: Scope,
        asked: Headers,
        caller: Caller,
        request: InferenceRequest,
        head: ReplyHeaders,
        send: Send,
    ) -> Call | None:
        """The call to make, at the batch's prices."""
        call = await super()._call(scope, asked, caller, request, head, send)
        share = scope[SHARE]
        if call is not None and share != ONE:
            offers = tuple(self._offers.of(each, share) for each in call.plan.offers)
            call.take_plan(call.plan._replace(offers=offers))
        return call

    def _correlation_of(self, caller: Caller, asked: Headers, head: ReplyHeaders) -> str:
        """The batch's id, which is our own."""
        del caller, head
        return asked.request_id.decode()


class Lines:
    """Calls lines, each by itself; one for each process."""

    def __init__(self, parts: CallParts, lookups: Lookups) -> None:
        """With the parts of any call."""
        keys = LineKeys(lookups, planless=parts.settings.plans.planless_limits)
        offers = SharedOffers()
        self._routes = {
            path: LineRoute(parts, route, keys, offers) for path, route in ENDPOINTS.items()
        }
        self.queue = parts.queue

    async def call(
        self, endpoint: str, body: bytes, *, key_id: str, batch_id: str, line: int, share: Decimal
    ) -> Answer:
        """What the line is answered. It does not raise for any refusal."""
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": endpoint,
            "query_string": b"",
            "client": None,
            "headers": [
                (b"authorization", key_id.encode()),
                (b"idempotency-key", f"{batch_id}:{line}".encode()),
                (b"x-request-id", batch_id.encode()),
            ],
            WHOLE_BODY: body,
            SHARE: share,
        }
        del body
        heard = _Heard()
        await self._routes[endpoint](scope, heard.receive, heard.send)
        return heard.answer()


class _Heard:
    """What a route sends."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._status, self._parts = 0, list[bytes]()
        self._headers: dict[bytes, bytes] = {}

    async def receive(self) -> Message:
        """The body stands in the scope, and nobody hangs up."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep it."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], dict(message["headers"])
        else:
            self._parts.append(bytes(message.get("body", b"")))

    def answer(self) -> Answer:
        """All of it."""
        body, after = b"".join(self._parts), self._headers.get(b"retry-after", b"")
        call_id = self._headers.get(b"x-gatewayz-call-id", b"").decode()
        code = ""
        if self._status != OK:
            with suppress(msgspec.MsgspecError, AttributeError):
                code = str(msgspec.json.decode(body)["error"].get("code"))
        wait_s = float(after) if after.isdigit() else None
        return Answer(self._status, call_id, body, code, wait_s)
