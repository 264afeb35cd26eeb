"""A line of a batch goes the way of any call: the same route, asked from within the process.

What differs: the caller is the batch's key as it is at that moment, in the lowest class; the events
name the batch as what they belong to; the price is the batch's share of it,
and the provider is one that has room to spare.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import psycopg

from command_api.batches.lines import ENDPOINTS
from command_api.batches.running.shared_offers import SharedOffers
from command_api.batches.running.spare import Spare
from command_api.calls.route import OK, InferenceRoute
from command_api.identity.key_ring import caller_of
from command_api.replies.failures import failure_of_full_providers
from domain.overload.priorities import Priority
from domain.pricing.shares import WHOLE
from edge.asgi import WHOLE_BODY
from edge.errors import ApiError, invalid_key, ledger_unavailable
from event_store.beside.api_keys import LOOKUP, OWN_SECRETS, StoredKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.identity.key_ring import KeyRing
    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from command_api.operations.request import InferenceRequest
    from command_api.operations.table import Route
    from edge.asgi import Headers, Message, ReplyHeaders, Send
    from edge.caller import Caller

KEY_CACHE_S = 1.0
"""How long a key is taken for what it was: a revoked one opens nothing afterwards, seconds."""
CACHED_MAX = 1_000
FUNDS = frozenset({402, 403})
"""Statuses of a hold that is refused for funds, or because all there was is a trial that ended."""
QUOTA_EXCEEDED = "quota_exceeded"
_HASHES = "SELECT array_agg(key_hash) FROM api_key WHERE key_id = %s AND NOT replaced"


class Answer(NamedTuple):
    """What a line was answered; `retry_after_s` where it was told when to try again."""

    status: int
    call_id: str
    body: bytes
    code: str = ""
    retry_after_s: float | None = None
    lacks: int | None = None
    """What its account had too little of: credits in nano-USD, or 0 for room in a quota."""
    without_room: bool = False
    """Whether no provider of it had room to spare."""


class LinesOf(NamedTuple):
    """What the lines of a batch have in common; `percent` of its price is what each pays."""

    endpoint: str
    key_id: str
    batch_id: str
    percent: int


class LineKeys:
    """Looks up the key of a batch by its id, where a request has a key's text."""

    def __init__(self, lookups: Lookups, vault: Vault, *, planless: bool) -> None:
        """`planless` as for any call."""
        self._lookups, self._vault, self._planless = lookups, vault, planless
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
            key = StoredKey(*found) if found else None
            if key is not None and key.own_keys:
                rows = await self._lookups.fetch_all(OWN_SECRETS, [key.own_ids])
                key = key.with_secrets(rows)
        except psycopg.Error:
            raise ledger_unavailable() from None
        if key is None:
            message = "The API key of this batch is not known here any more."
            raise invalid_key(message)
        if key.closed:
            message = f"The API key of this batch {key.closed}."
            raise invalid_key(message)
        caller = caller_of(key, self._vault, planless=self._planless)
        limits = caller.limits and replace(caller.limits, networks=(), hosts=())
        caller = msgspec.structs.replace(caller, limits=limits, priority=Priority.BACKGROUND)
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        self._cache[authorization] = (time.monotonic() + KEY_CACHE_S, caller)
        return caller


class LineRoute(InferenceRoute):
    """As the route of the same path, for one line of a batch."""

    def __init__(
        self,
        parts: CallParts,
        route: Route,
        given: LineParts,
        percent: int,
        *,
        last: bool,
        placed: Callable[[], None],
    ) -> None:
        """Idempotency keys of lines are none of the callers' own, and only the last ask for one
        leaves it refused; `placed` is told that its hold stands.
        """
        super().__init__(parts, route)
        self._keys = cast("KeyRing", given.keys)  # Of it the route asks for callers, nothing else.
        self._given, self._percent = given, percent
        self._scope_name = f"BATCH {route.path}"
        self._place: str | None = None
        self._last, self._told_placed = last, placed
        self.lacks: int | None = None
        self.without_room = False

    async def _call(
        self,
        asked: Headers,
        caller: Caller,
        request: InferenceRequest,
        head: ReplyHeaders,
        send: Send,
    ) -> Call | None:
        """The call to make, at the batch's prices, where a provider has room to spare for it."""
        call = await super()._call(asked, caller, request, head, send)
        if call is None:
            return None
        offers = call.plan.offers
        self._place = self._given.spare.take(each.provider for each in offers)
        if self._place is None:
            # Nothing is held yet, so that a line may ask often without a trace in the log.
            self.without_room = True
            raise failure_of_full_providers(dict.fromkeys(e.provider for e in offers)).error
        # The one that has room is asked first; the sort keeps the order of the others.
        offers = tuple(sorted(offers, key=lambda each: each.provider != self._place))
        if self._percent != WHOLE:
            # An answer that is kept says what it cost, which is not what others would pay.
            call.caching = None
            offers = tuple(self._given.offers.of(each, self._percent) for each in offers)
        elif call.caching is not None:
            call.caching.across = None  # Whoever sends a file says nothing of each line in it.
        if offers != call.plan.offers:
            call.take_plan(call.plan._replace(offers=offers))
        call.asks_again = not self._last
        return call

    async def _placed(self, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """As of any call; what its account lacks is noted."""
        try:
            placed = await super()._placed(call, head, send)
        except ApiError as error:
            if error.status in FUNDS:
                self.lacks = call.held
            elif error.code == QUOTA_EXCEEDED:
                self.lacks = 0
            raise
        if placed:
            self._told_placed()
        return placed

    def leave(self) -> None:
        """The line was answered: another may have its place."""
        if self._place is not None:
            self._given.spare.leave(self._place)

    def _correlation_of(self, caller: Caller, asked: Headers, head: ReplyHeaders) -> str:
        """The batch's id, which is our own."""
        del caller, head
        return asked.request_id.decode()


class LineParts(NamedTuple):
    """What the routes of all lines of a process share."""

    keys: LineKeys
    offers: SharedOffers
    spare: Spare


class Lines:
    """Calls lines, each by itself; one for each process."""

    def __init__(self, parts: CallParts, lookups: Lookups, vault: Vault) -> None:
        """With the parts of any call."""
        keys = LineKeys(lookups, vault, planless=parts.settings.plans.planless_limits)
        self._parts = parts
        self._given = LineParts(keys, SharedOffers(), Spare(parts.router.rooms))
        self.queue = parts.queue

    async def call(
        self,
        given: LinesOf,
        number: int,
        body: bytes,
        *,
        last: bool,
        placed: Callable[[], None],
    ) -> Answer:
        """What the line is answered. It does not raise for any refusal."""
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": given.endpoint,
            "query_string": b"",
            "client": None,
            "headers": [
                (b"authorization", given.key_id.encode()),
                (b"idempotency-key", f"{given.batch_id}:{number}".encode()),
                (b"x-request-id", given.batch_id.encode()),
            ],
            WHOLE_BODY: body,
        }
        del body
        heard = _Heard()
        route = LineRoute(
            self._parts,
            ENDPOINTS[given.endpoint],
            self._given,
            given.percent,
            last=last,
            placed=placed,
        )
        try:
            await route(scope, heard.receive, heard.send)
        finally:
            route.leave()
        return heard.answer()._replace(lacks=route.lacks, without_room=route.without_room)


class _Heard:
    """What a route sends."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._status, self._parts = 0, list[bytes]()
        self._headers: dict[bytes, bytes] = {}

    async def receive(self) -> Message:
        """Wait for ever: the body stands in the scope, and nobody hangs up."""
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

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
