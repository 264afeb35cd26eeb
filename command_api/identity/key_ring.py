"""Which key is this, and does it still open anything?

The key's HMAC looks up its inline state; answers are cached in the process, forgotten when the
log says that a key was revoked, and in any case after `key_cache_s`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from edge.caller import Caller
from edge.errors import invalid_key, ledger_unavailable
from event_store.log.inline_state import KEYS_CHANNEL

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.auth")

BEARER = b"bearer "
KEY_BYTES_MAX = 512
RECONNECT_S = 0.5
HOW_TO_MAKE_A_KEY = "Make one with `gatewayz user create --email you@example.com`."


class KeyRing:
    """Looks keys up, and caches what it found."""

    def __init__(self, database: Database, vault: Vault, *, cache_s: float, cache_max: int) -> None:
        """`cache_s` bounds how long a revoked key could live if no notice came."""
        self._database, self._vault = database, vault
        self._cache_s, self._cache_max = cache_s, cache_max
        self._cache: dict[bytes, tuple[float, Caller]] = {}
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
        row = await self._read(self._vault.key_hashes(authorization[len(BEARER) :].strip()))
        if row is None:
            message = f"This API key is not known here. {HOW_TO_MAKE_A_KEY}"
            raise invalid_key(message)
        key_id, user_id, account_id, masked, revoked = row
        if revoked:
            message = "This API key was revoked. Use another one, or make a new one."
            raise invalid_key(message)
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
        )
        if len(self._cache) >= self._cache_max:
            self._cache.clear()
        self._cache[authorization] = (time.monotonic() + self._cache_s, caller)
        return caller

    async def _read(self, key_hashes: list[str]) -> tuple[Any, ...] | None:
        async with self._lookup:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await self._database.connect_async()
                cursor = await self._connection.execute(
                    "SELECT key_id, user_id, account_id, masked, revoked FROM api_key "
                    "WHERE key_hash = ANY(%s)",
                    [key_hashes],
                )
                return await cursor.fetchone()
            except psycopg.OperationalError:
                if self._connection is not None:
                    await self._connection.close()
                self._connection = None
                raise ledger_unavailable() from None

    async def _listen(self) -> None:
        """Forget revoked keys; without a connection to hear of them, forget all."""
        while True:
            try:
                connection = await self._database.connect_async()
                async with connection:
                    await connection.execute(f"LISTEN {KEYS_CHANNEL}")
                    self._cache.clear()
                    async for notice in connection.notifies():
                        self._forget(notice.payload)
            except psycopg.OperationalError as error:
                logger.warning("cannot listen for revoked keys: %s", error)
            self._cache.clear()
            await asyncio.sleep(RECONNECT_S)

    def _forget(self, key_id: str) -> None:
        for header, (_, caller) in list(self._cache.items()):
            if caller.key_id == key_id:
                del self._cache[header]
