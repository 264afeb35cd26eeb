"""Answers kept for the same account's same request, whole; told whole or as a stream.

A hit makes no provider call. Answers are encrypted with the user's own data key (P5), and are for
the account alone that paid for them; those that are given to others are kept by `across`.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag

from command_api.kept_replies.cache_wishes import CacheWish, read_wish
from command_api.kept_replies.digests import digest_of
from command_api.kept_replies.flights import Flights
from edge.body import decode_members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from command_api.kept_replies.shared_flights import SharedFlights
    from command_api.settings.stores import KeptReplySettings
    from domain.identity.key_cache import KeyCache
    from edge.caller import Caller
    from providers.redis.cache import Cache

NAMED = "response:"
"""How the names of all kept replies begin."""
ONLY_THE_FORM = ("stream", "stream_options")
"""Members of a body that change how an answer is told, and not the answer."""
UNREADABLE = (InvalidTag, ValueError, msgspec.DecodeError)
"""What opening an entry raises that was damaged, or that another release wrote."""
_encode = msgspec.msgpack.encode


class CachedReply(msgspec.Struct, frozen=True):
    """A whole answer, the call that was charged for it, and what that was charged by.

    `made_at` is Unix time in seconds; `price` are the version, its date and its terms.
    """

    name: str
    call_id: str
    provider: str
    model: str
    body: bytes
    made_at: float
    usage: dict[str, Any]
    price: dict[str, str]

    @property
    def age_s(self) -> int:
        """How old it is, whole seconds."""
        return max(0, int(time.time() - self.made_at))


class Clears(Protocol):
    """What is kept beside, by other names."""

    async def clear(self) -> int:
        """Forget all; how many they were."""
        ...


class ResponseCache:
    """Looks up and keeps answers; one for each process."""

    def __init__(
        self,
        cache: Cache,
        lookups: Lookups,
        vault: Vault,
        settings: KeptReplySettings,
        shared: SharedFlights | None = None,
        beside: Iterable[Clears] = (),
    ) -> None:
        """Nothing is kept yet; `shared` is what other gateways know, where there is Redis.

        What is `beside` is cleared with it.
        """
        self._beside = tuple(beside)
        self.shared = shared if settings.response_cache_waiters_max else None
        self._cache, self._lookups, self._vault = cache, lookups, vault
        self._ttl_s = settings.response_cache_s
        self._ttl_max_s = settings.response_cache_ttl_max_s
        self.bytes_max = settings.response_cache_bytes_max
        self.percent = settings.response_cache_price_percent
        self.wait_s = settings.response_cache_wait_s
        self.flights = Flights[CachedReply](settings.response_cache_waiters_max)
        self.generation = 0
        """How often everything was forgotten: what was asked before is not kept after."""
        self.hits = self.misses = self.kept = self.coalesced = self.bypassed = self.damaged = 0
        """Of this process, since it began."""

    @property
    def always(self) -> bool:
        """Whether calls that did not ask for it are opted in."""
        return self._ttl_s > 0

    @property
    def enabled(self) -> bool:
        """Whether answers are kept at all, for those who ask or for all."""
        return self.always or self._ttl_max_s > 0

    def wish_of(self, asked: bytes, control: bytes, key: KeyCache | None) -> CacheWish | None:
        """What a request and its key ask of it; None for one that nobody opted in.

        Raises ApiError 400.
        """
        default_s, ttl_max_s = self._ttl_s, self._ttl_max_s
        return read_wish(asked, control, default_s=default_s, ttl_max_s=ttl_max_s, key=key)

    @staticmethod
    async def digest_of(raw: bytes) -> bytes:
        """Of all of a body but its form."""
        if any(b'"%b"' % each.encode() in raw for each in ONLY_THE_FORM):
            members = decode_members(raw)
            for each in ONLY_THE_FORM:
                members.pop(each, None)
            raw = msgspec.json.encode(members)
        return await digest_of(raw)

    @staticmethod
    def name_of(caller: Caller, digest: bytes, *, route: str) -> str:
        """The name of a request's answer: account, route, and the digest of the body."""
        scope = hashlib.sha256(f"{caller.account_id}\n{route}\n".encode() + digest)
        return f"{NAMED}{scope.hexdigest()}"

    async def find(self, caller: Caller, name: str, max_age_s: int | None) -> CachedReply | None:
        """A kept answer that can still be read and is not too old; a damaged one is none."""
        sealed = await self._cache.get(name)
        wrapped = await self._data_key(caller) if sealed is not None else None
        if sealed is None or wrapped is None:
            return None
        try:
            opened = self._vault.decrypt(wrapped, sealed)
            found = msgspec.msgpack.decode(opened, type=CachedReply)
        except UNREADABLE:
            self.damaged += 1
            return None
        if found.name != name or (max_age_s is not None and found.age_s > max_age_s):
            return None
        return found

    async def keep(self, caller: Caller, reply: CachedReply, ttl_s: float, generation: int) -> None:
        """Keep an answer that is not too large, unless all was forgotten since it was asked for."""
        if len(reply.body) > self.bytes_max or generation != self.generation:
            return
        wrapped = await self._data_key(caller)
        if wrapped is None or generation != self.generation:
            return
        sealed = self._vault.encrypt(wrapped, _encode(reply))
        await self._cache.put(reply.name, sealed, ttl_s=ttl_s)
        self.kept += 1

    async def clear(self) -> int:
        """Forget all kept answers; how many they were. Calls under way fill it no more."""
        self.generation += 1
        self.flights.clear()
        beside = sum([await each.clear() for each in self._beside])
        return await self._cache.forget(NAMED) + beside

    async def _data_key(self, caller: Caller) -> bytes | None:
        """The user's wrapped data key; None when it was destroyed, or the database is away."""
        try:
            return await self._lookups.data_key(caller)
        except psycopg.OperationalError:
            return None
