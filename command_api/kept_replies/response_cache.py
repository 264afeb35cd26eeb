"""Answers of JSON calls, kept for the same account's same request; off unless it is set.

A hit makes no provider call, so it costs nothing and is no event: the reply names the call that
was charged. Replies are encrypted with the user's own data key (P5).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import psycopg

from command_api.kept_replies.digests import digest_of

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from edge.caller import Caller
    from providers.redis.cache import Cache

NAMED = "response:"
"""How the names of all kept replies begin."""
BYPASS = (b"no-cache", b"no-store")


class CachedReply(msgspec.Struct, frozen=True):
    """A whole reply, and the call that was charged for it."""

    call_id: str
    provider: str
    body: bytes


class ResponseCache:
    """Looks up and keeps replies; one for each process."""

    def __init__(
        self, cache: Cache, lookups: Lookups, vault: Vault, *, ttl_s: float, bytes_max: int
    ) -> None:
        """`ttl_s` 0 turns it off."""
        self._cache, self._lookups, self._vault = cache, lookups, vault
        self._ttl_s, self._bytes_max = ttl_s, bytes_max
        self.hits = self.misses = self.kept = 0
        """Of this process, since it began."""

    @property
    def enabled(self) -> bool:
        """Whether replies are kept at all."""
        return self._ttl_s > 0

    async def name_of(self, caller: Caller, raw: bytes, cache_control: bytes, *, route: str) -> str:
        """The name of a request's reply; empty when the caller wants no cached one."""
        if any(each in cache_control.lower() for each in BYPASS):
            return ""
        digest = await digest_of(raw)
        scope = hashlib.sha256(caller.account_id.encode() + route.encode() + digest)
        return f"{NAMED}{scope.hexdigest()}"

    async def find(self, caller: Caller, name: str) -> CachedReply | None:
        """A kept reply that can still be read."""
        sealed = await self._cache.get(name)
        wrapped = await self._data_key(caller) if sealed is not None else None
        if sealed is None or wrapped is None:
            self.misses += 1
            return None
        self.hits += 1
        return msgspec.msgpack.decode(self._vault.decrypt(wrapped, sealed), type=CachedReply)

    async def keep(self, caller: Caller, name: str, reply: CachedReply) -> None:
        """Keep a reply that is not too large."""
        if len(reply.body) > self._bytes_max:
            return
        wrapped = await self._data_key(caller)
        if wrapped is not None:
            sealed = self._vault.encrypt(wrapped, msgspec.msgpack.encode(reply))
            await self._cache.put(name, sealed, ttl_s=self._ttl_s)
            self.kept += 1

    async def clear(self) -> int:
        """Forget all kept replies; how many they were."""
        return await self._cache.forget(NAMED)

    async def _data_key(self, caller: Caller) -> bytes | None:
        """The user's wrapped data key; None when it was destroyed, or the database is away."""
        try:
            return await self._lookups.data_key(caller)
        except psycopg.OperationalError:
            return None
