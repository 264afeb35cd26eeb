"""The kept answers by scope, and the nearest of them: rows that only their owner's key opens.

A scope is a digest of the account, of the key where it is a key's own, and of all that must be
equal. It stands sealed in the entry too, so that a row that was moved opens nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from command_api.kept_replies.response_cache import UNREADABLE, CachedReply
from command_api.kept_replies.semantic.vectors import similarity
from domain.identity.key_cache import Scope

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from command_api.settings.stores import KeptReplySettings
    from domain.identity.key_cache import Semantic
    from edge.caller import Caller

ACCOUNT_ENTRIES_MAX = 10_000
"""Most entries of an account, of all its scopes."""
_NEWEST = """
SELECT entry_id, sealed_vector FROM semantic_entry
WHERE account_id = %(account)s AND scope = %(scope)s AND expires_at > clock_timestamp()
  AND (%(age)s::float8 IS NULL OR made_at >= clock_timestamp() - make_interval(secs => %(age)s))
ORDER BY entry_id DESC LIMIT %(most)s
"""
_REPLY = """
SELECT sealed_reply FROM semantic_entry
WHERE account_id = %(account)s AND scope = %(scope)s AND entry_id = %(id)s
"""
_KEEP = """
WITH old AS (
  DELETE FROM semantic_entry WHERE account_id = %(account)s AND (
    (scope = %(scope)s AND entry_id <= (
      SELECT entry_id FROM semantic_entry WHERE account_id = %(account)s AND scope = %(scope)s
      ORDER BY entry_id DESC OFFSET %(others)s LIMIT 1))
    OR entry_id <= (SELECT entry_id FROM semantic_entry WHERE account_id = %(account)s
      ORDER BY entry_id DESC OFFSET %(all)s LIMIT 1))
)
INSERT INTO semantic_entry (account_id, scope, expires_at, sealed_vector, sealed_reply)
VALUES (%(account)s, %(scope)s, clock_timestamp() + make_interval(secs => %(ttl)s),
  %(vector)s, %(reply)s)
RETURNING entry_id
"""
_CLEAR = "WITH gone AS (DELETE FROM semantic_entry RETURNING 1) SELECT count(*) FROM gone"
_encode = msgspec.msgpack.encode


class Near(NamedTuple):
    """An answer to a text that is near enough; its similarity in ten-thousandths."""

    reply: CachedReply
    similarity: int


class Entries:
    """Those of one installation, as one process reaches them."""

    def __init__(self, lookups: Lookups, vault: Vault, settings: KeptReplySettings) -> None:
        """Nothing is asked yet."""
        self._lookups, self._vault = lookups, vault
        self._most = settings.semantic_cache_entries_max
        self.damaged = 0
        """Entries that could not be opened, of this process."""

    @staticmethod
    def scope_of(caller: Caller, semantic: Semantic, *beside: bytes) -> bytes:
        """The scope of a request: nobody else's account has it, whatever is sent."""
        owner = [caller.account, caller.owner_id.encode()]
        if semantic.scope is Scope.KEY:
            owner.append(caller.key_id.encode())
        parts = [*owner, *beside]
        sized = b"".join(b"%d:%b" % (len(each), each) for each in parts)
        return hashlib.sha256(b"%d;" % len(parts) + sized).digest()

    async def nearest(
        self, caller: Caller, scope: bytes, vector: bytes, least: int, max_age_s: int | None
    ) -> Near | None:
        """The nearest of the newest answers that is near enough, and of those the newest.

        Raises psycopg.Error.
        """
        wrapped = await self._lookups.data_key(caller)
        if wrapped is None:
            return None
        named = {"account": UUID(caller.account_id), "scope": scope}
        age = None if max_age_s is None else float(min(max_age_s, 10**9))
        rows = await self._lookups.fetch_all(_NEWEST, {**named, "age": age, "most": self._most})
        best = await asyncio.to_thread(self._best, wrapped, scope, vector, rows) if rows else None
        if best is None or best[0] < least:
            return None
        found = await self._lookups.fetch(_REPLY, {**named, "id": best[1]})
        opened = self._opened(wrapped, scope, found[0]) if found else None
        if opened is None:
            return None
        try:
            return Near(msgspec.msgpack.decode(opened, type=CachedReply), best[0])
        except msgspec.MsgspecError:
            self.damaged += 1
            return None

    async def keep(
        self, caller: Caller, scope: bytes, vector: bytes, reply: CachedReply, ttl_s: float
    ) -> bool:
        """Keep an answer; the oldest beyond the maxima go. Raises psycopg.Error."""
        wrapped = await self._lookups.data_key(caller)
        if wrapped is None:
            return False
        values = {
            "account": UUID(caller.account_id),
            "scope": scope,
            "others": self._most - 1,
            "all": ACCOUNT_ENTRIES_MAX - 1,
            "ttl": ttl_s,
            "vector": self._vault.encrypt(wrapped, scope + vector),
            "reply": self._vault.encrypt(wrapped, scope + _encode(reply)),
        }
        return await self._lookups.fetch(_KEEP, values) is not None

    async def clear(self) -> int:
        """Forget all; how many they were, 0 where the database does not say."""
        try:
            row = await self._lookups.fetch(_CLEAR, {})
        except psycopg.Error:
            return 0
        return int(row[0]) if row is not None else 0

    def _best(
        self, wrapped: bytes, scope: bytes, vector: bytes, rows: list[tuple[Any, ...]]
    ) -> tuple[int, int] | None:
        """Similarity and id of the nearest, the newest first of those that are equally near."""
        best: tuple[int, int] | None = None
        for entry_id, sealed in rows:
            opened = self._opened(wrapped, scope, sealed)
            near = similarity(vector, opened) if opened is not None else None
            if near is not None and (best is None or near > best[0]):
                best = near, entry_id
        return best

    def _opened(self, wrapped: bytes, scope: bytes, sealed: Any) -> bytes | None:
        try:
            opened = self._vault.decrypt(wrapped, bytes(sealed))
        except UNREADABLE:
            opened = b""
        if not opened.startswith(scope):
            self.damaged += 1
            return None
        return opened[len(scope) :]
