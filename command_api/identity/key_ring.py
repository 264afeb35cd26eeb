"""Which key is this, and does it still open anything?

The key's HMAC looks up its inline state; answers are cached in the process, forgotten when the
log says that a key was rotated or revoked, at its end, and in any case after `key_cache_s`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from edge.caller import Caller
from edge.errors import ApiError, invalid_key, ledger_unavailable
from event_store.log.inline_state import KEYS_CHANNEL
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.auth")

BEARER = b"bearer "
KEY_BYTES_MAX = 512
RECONNECT_S = 0.5
LOOKUP_TIMEOUT_S = 2.0
"""Longest wait for the lookup's turn, and again for its answer, seconds."""
UNKNOWN_MAX = 10_000
"""Most refused keys that are remembered."""
UNKNOWN_S = 5.0
"""How long one is, where no notice of a new key comes, seconds."""
HOW_TO_MAKE_A_KEY = "Make one with `gatewayz user create --email you@example.com`."


class KeyRing:
    """Looks keys up, and caches what it found."""

    def __init__(self, database: Database, vault: Vault, *, cache_s: float, cache_max: int) -> None:
        """`cache_s` bounds how long a revoked key could live if no notice came."""
        self._database, self._vault = database, vault
        self._cache_s, self._cache_max = cache_s, cache_max
        self._cache: dict[bytes, tuple[float, Caller]] = {}
        self._unknown: dict[bytes, tuple[float, str]] = {}
        self._heard, self._listening = 0, False
        self._lookup = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen for revoked keys."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening and disconnect."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close()

    def cached(self, authorization: bytes) -> Caller | None:
        """The caller, when the process knows the key already."""
        found = self._cache.get(authorization)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    async def authenticate(self, authorization: bytes) -> Caller:
        """The caller behind an Authorization header; raises ApiError 401 or 503."""
        caller = self.cached(authorization)
        if caller is not None:
            return caller
        if not authorization:
            message = f"Send your API key as `Authorization: Bearer KEY`. {HOW_TO_MAKE_A_KEY}"
            raise invalid_key(message)
        if authorization[: len(BEARER)].lower() != BEARER or len(authorization) > KEY_BYTES_MAX:
            message = "The Authorization header must read `Bearer KEY`."
            raise invalid_key(message)
        self._refuse_known(authorization)
        heard = self._heard
        row = await self._read(self._vault.key_hashes(authorization[len(BEARER) :].strip()))
        if row is None:
            message = f"This API key is not known here. {HOW_TO_MAKE_A_KEY}"
            raise self._refused(authorization, message, heard)
        key_id, user_id, account_id, masked, revoked, left_s = row
        if revoked or (left_s is not None and left_s <= 0):
            became = "was revoked" if revoked else "is past its end, or was replaced"
            message = f"This API key {became}. Use another one, or make a new one."
            raise self._refused(authorization, message, heard)
        caller = Caller(
            key_id=str(key_id),
            user_id=str(user_id),
            account_id=str(account_id),
            account=account_id.bytes,
            masked=masked,
            envelope=(
                f'"actor":"api_key:{key_id}","account_id":"{account_id}",'
                f'"user_id":"{user_id}","key_id":"{key_id}",'
            ).encode(),
            key=key_id.bytes,
            user=user_id.bytes,
        )
        if heard == self._heard:  # Else it may have been revoked since it was read.
            if len(self._cache) >= self._cache_max:
                self._cache.clear()
            kept_s = self._cache_s if left_s is None else min(self._cache_s, float(left_s))
            self._cache[authorization] = (time.monotonic() + kept_s, caller)
        return caller

    def _refuse_known(self, authorization: bytes) -> None:
        """Raises ApiError 401 for a header that was refused a moment ago."""
        known = self._unknown.get(authorization)
        if known is not None and known[0] > time.monotonic():
            raise invalid_key(known[1])

    def _refused(self, authorization: bytes, message: str, heard: int) -> ApiError:
        """A 401, remembered for a moment while we would hear of a key that is made."""
        if heard == self._heard and self._listening:
            if len(self._unknown) >= UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[authorization] = (time.monotonic() + UNKNOWN_S, message)
        return invalid_key(message)

    async def _read(self, key_hashes: list[str]) -> tuple[Any, ...] | None:
        """The key's inline state; raises ApiError 503 when the database does not say in time."""
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                await self._lookup.acquire()
        except TimeoutError:
            raise ledger_unavailable() from None
        try:
            return await self._read_on_either(key_hashes)
        except psycopg.Error as error:
            logger.warning("a key cannot be looked up: %s", str(error).strip())
            raise ledger_unavailable() from None
        finally:
            self._lookup.release()

    async def _read_on_either(self, key_hashes: list[str]) -> tuple[Any, ...] | None:
        """On the connection that stands, else on a new one: a restart ends what was idle."""
        if self._connection is not None and not self._connection.closed:
            began = time.monotonic()
            try:
                return await self._read_on(self._connection, key_hashes)
            except psycopg.Error:
                if time.monotonic() - began > LOOKUP_TIMEOUT_S / 2:
                    raise
        self._connection = await self._database.connect_async(int(LOOKUP_TIMEOUT_S))
        return await self._read_on(self._connection, key_hashes)

    @staticmethod
    async def _read_on(
        connection: psycopg.AsyncConnection[Any], key_hashes: list[str]
    ) -> tuple[Any, ...] | None:
        try:
            with hanging_up(connection, LOOKUP_TIMEOUT_S):
                cursor = await connection.execute(
                    "SELECT key_id, user_id, account_id, masked, revoked, "
                    "extract(epoch FROM expires_at - clock_timestamp()) FROM api_key "
                    "WHERE key_hash = ANY(%s)",
                    [key_hashes],
                )
                return await cursor.fetchone()
        except psycopg.Error:
            await connection.close()
            raise

    async def _listen(self) -> None:
        """Forget revoked keys; without a connection to hear of them, forget all."""
        while True:
            try:
                connection = await self._database.connect_async()
                async with connection:
                    await connection.execute(f"LISTEN {KEYS_CHANNEL}")
                    self._cache.clear()
                    self._listening = True
                    async for notice in connection.notifies():
                        self._forget(notice.payload)
            except psycopg.Error as error:
                logger.warning("cannot listen for revoked keys: %s", error)
            self._listening = False
            self._unknown.clear()
            self._cache.clear()
            await asyncio.sleep(RECONNECT_S)

    def _forget(self, key_id: str) -> None:
        """A key was made, rotated or revoked."""
        self._heard += 1
        self._unknown.clear()
        for header, (_, caller) in list(self._cache.items()):
            if caller.key_id == key_id:
                del self._cache[header]
