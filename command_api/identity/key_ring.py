"""Which key is this, and does it still open anything?

The key's HMAC looks up its inline state; answers are cached in the process, forgotten when the
log says that a key changed or its user's role, at its end, and in any case after `key_cache_s`. A
change is told by the database; whatever it does not tell is found by looking twice a second for
later positions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from command_api.identity.vault import open_own_keys
from domain.identity.access import access_of, scopes_in
from domain.identity.key_cache import key_cache_of
from domain.identity.key_format import Environment
from domain.identity.permissions import Role
from domain.identity.roles import role_of
from domain.organisations.roles import MemberRole
from domain.overload.priorities import priority_of
from domain.plans.catalog import PLANS
from domain.plans.limits import scopes_of_call
from edge.caller import Caller
from edge.errors import ApiError, invalid_key, ledger_unavailable
from edge.guesses import Guesses
from event_store.beside.api_keys import CHANGED, LOOKUP, NEWEST, OWN_SECRETS, StoredKey
from event_store.beside.channels import KEYS_CHANNEL
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.auth")

BEARER = b"bearer "
KEY_BYTES_MAX = 512
RECONNECT_S = 0.5
LOOKUP_TIMEOUT_S = 2.0
"""Longest wait for the lookup's turn, and again for its answer, seconds."""
POLL_S = 0.4
"""Time between looks at what changed, whose notice may have been lost, seconds."""
POLL_LOCK_MS = 200
"""How long a look waits for somebody who locks the table."""
CHANGED_MAX = 1_000
"""Most changed keys of one look; where there are more, all are forgotten."""
UNKNOWN_MAX = 10_000
"""Most refused keys that are remembered."""
UNKNOWN_S = 5.0
"""How long one is, where no notice of a new key comes, seconds."""
HOW_TO_MAKE_A_KEY = (
    "POST /auth/register gives one; whoever runs the gateway makes one with `gatewayz user create`."
)


def caller_of(key: StoredKey, vault: Vault, *, planless: bool = False) -> Caller:
    """Who calls with it; with `planless` limits bind who has no plan too."""
    limits = key.limits or {}
    live, planned = key.environment == Environment.LIVE, (key.plan_left_s or 0) > 0
    plan, role = b"", role_of(key.role)
    if planned or (planless and key.personal):
        plan = scopes_of_call(key.user_id, planned=planned, live=live)
    return Caller(
        key_id=str(key.key_id),
        user_id=str(key.user_id),
        account_id=str(key.account_id),
        account=key.account_id.bytes,
        masked=key.masked,
        envelope=(
            f'"actor":"api_key:{key.key_id}","account_id":"{key.account_id}",'
            f'"user_id":"{key.user_id}","key_id":"{key.key_id}",'
        ).encode(),
        role=role,
        scopes=scopes_in(limits),
        limits=access_of(limits),
        cache=key_cache_of(key.cache),
        key=key.key_id.bytes,
        user=key.user_id.bytes,
        project=key.project_id.bytes if key.project_id else b"",
        organisation=key.organisation_id.bytes if key.organisation_id else b"",
        project_id=str(key.project_id or ""),
        organisation_id=str(key.organisation_id or ""),
        member=None if key.project_id is None else MemberRole(key.member or ""),
        live=live,
        plan=plan,
        planned=planned,
        priority=priority_of(
            PLANS[key.plan].priority if planned and key.plan else None,
            admin=role is Role.ADMIN,
            live=live,
        ),
        own_keys=open_own_keys(vault, key.own_keys) if key.own_keys else (),
    )


class KeyRing:
    """Looks keys up, and caches what it found."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        cache_s: float,
        cache_max: int,
        wrong_per_s: int,
        planless: bool = False,
    ) -> None:
        """`cache_s` bounds how long a revoked key could live if no notice came."""
        self._planless = planless
        self._database, self._vault = database, vault
        self._cache_s, self._cache_max = cache_s, cache_max
        self._cache: dict[bytes, tuple[float, Caller]] = {}
        self._unknown: dict[bytes, tuple[float, str]] = {}
        self._guesses = Guesses(wrong_per_s)
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

    async def authenticate(self, authorization: bytes, origin: str) -> Caller:
        """The caller behind an Authorization header; raises ApiError 401, 429 or 503."""
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
        # A key that was good a moment ago waits for no guesser beside it.
        guess = None if authorization in self._cache else origin
        heard = self._heard
        row = await self._read(self._vault.key_hashes(authorization[len(BEARER) :].strip()), guess)
        if row is None:
            message = f"This API key is not known here. {HOW_TO_MAKE_A_KEY}"
            raise self._refused(authorization, message, heard)
        if row.closed:
            message = f"This API key {row.closed}. Use another one, or make a new one."
            raise self._refused(authorization, message, heard)
        caller = caller_of(row, self._vault, planless=self._planless)
        if heard == self._heard:  # Else it may have been revoked since it was read.
            if len(self._cache) >= self._cache_max:
                self._cache.clear()
            ends = (each for each in (row.left_s, row.plan_left_s) if each is not None and each > 0)
            kept_s = min([self._cache_s, *map(float, ends)])
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

    async def _read(self, key_hashes: list[str], guess: str | None) -> StoredKey | None:
        """The key's inline state; `guess` is whom it counts for if it opens nothing.

        Raises ApiError 503 when the database does not say in time, 429 where it is not asked.
        """
        if guess is not None:
            self._guesses.check(guess)
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                await self._lookup.acquire()
        except TimeoutError:
            raise ledger_unavailable() from None
        try:
            if guess is not None:  # Look-ups come one by one, so none slips by meanwhile.
                self._guesses.check(guess)
            row = await self._read_on_either(key_hashes)
            if guess is not None and (row is None or row.closed):
                self._guesses.count(guess)
        except psycopg.Error as error:
            logger.warning("a key cannot be looked up: %s", str(error).strip())
            raise ledger_unavailable() from None
        else:
            return row
        finally:
            self._lookup.release()

    async def _read_on_either(self, key_hashes: list[str]) -> StoredKey | None:
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
    ) -> StoredKey | None:
        try:
            with hanging_up(connection, LOOKUP_TIMEOUT_S):
                cursor = await connection.execute(LOOKUP, [key_hashes])
                row = await cursor.fetchone()
                key = None if row is None else StoredKey(*row)
                if key is not None and key.own_keys:
                    cursor = await connection.execute(OWN_SECRETS, [key.own_ids])
                    key = key.with_secrets(await cursor.fetchall())
                return key
        except psycopg.Error:
            await connection.close()
            raise

    async def _listen(self) -> None:
        """Forget keys that changed; without a connection to hear of them, forget all."""
        while True:
            try:
                connection = await self._database.connect_async()
                async with connection:
                    await connection.execute(f"LISTEN {KEYS_CHANNEL}")
                    await connection.execute(f"SET lock_timeout = {POLL_LOCK_MS}")
                    position = await self._newest(connection)
                    self._forget_all()
                    self._listening = True
                    while True:
                        async for notice in connection.notifies(timeout=POLL_S):
                            self.forget(notice.payload)
                        position = await self._missed(connection, position)
            except psycopg.Error as error:
                logger.warning("cannot listen for revoked keys: %s", error)
            self._listening = False
            self._forget_all()
            await asyncio.sleep(RECONNECT_S)

    async def _missed(self, connection: psycopg.AsyncConnection[Any], position: int) -> int:
        """Forget the keys that changed behind a position, told of or not; returns the newest.

        While somebody locks the table nobody else changes a key, and what is known stays known.
        """
        try:
            rows = await _asked(connection, CHANGED, {"since": position, "most": CHANGED_MAX})
        except psycopg.errors.LockNotAvailable:
            return position
        if len(rows) == CHANGED_MAX:
            position = await self._newest(connection)
            self._forget_all()
            return position
        for _, changed in rows:
            self.forget(str(changed))
        return int(rows[-1][0]) if rows else position

    @staticmethod
    async def _newest(connection: psycopg.AsyncConnection[Any]) -> int:
        ((position,),) = await _asked(connection, NEWEST)
        return int(position)

    def forget(self, changed: str) -> None:
        """A key, a user's role or membership, a project or an organisation is another now."""
        self._heard += 1
        self._unknown.clear()
        for header, (_, caller) in list(self._cache.items()):
            if changed in _concerned(caller):
                del self._cache[header]

    def _forget_all(self) -> None:
        self._heard += 1
        self._unknown.clear()
        self._cache.clear()


def _concerned(caller: Caller) -> tuple[str, ...]:
    return caller.key_id, caller.user_id, caller.project_id, caller.organisation_id


async def _asked(
    connection: psycopg.AsyncConnection[Any], query: str, values: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Rows; a connection that gives none in time is as good as none. Raises psycopg.Error."""
    with hanging_up(connection, LOOKUP_TIMEOUT_S):
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall()
