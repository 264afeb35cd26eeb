"""Idempotency keys of calls (money rule 8, P3).

Scope: account, route and key; digest: the parsed body, so that white space does not matter.
The append decides, under its lock; this module asks beforehand which call the key belongs to,
keeps the first reply encrypted, and replays it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import psycopg

from command_api.identity.vault import key_scope_hash
from domain.events.ledger import HoldExpired, HoldVoided
from edge.errors import RETRY_AFTER_S, ApiError, bad_request, ledger_unavailable
from event_store.append.entries import AppendCode

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from edge.caller import Caller
    from event_store.postgres.database import Database

KEY_CHARACTERS_MAX = 255


FIND_KEY = """
SELECT digest, call_id, state, needed, available,
  CASE WHEN state IN ('voided', 'expired') THEN (
    SELECT convert_from(substr(e.state, 8, 36), 'UTF8') FROM events e
    WHERE e.originator_id = k.call_id AND e.topic IN (%s, %s)
    ORDER BY e.originator_version DESC LIMIT 1
  ) END
FROM idempotency_key k WHERE key_hash = %s
"""
"""An event's id stands first in its state."""


class StoredReply(msgspec.Struct, frozen=True):
    """A first reply, as it was sent."""

    call_id: UUID
    status: int
    content_type: str
    provider: str
    body: bytes


class KnownKey(msgspec.Struct, frozen=True):
    """What the ledger knows of a key; `ended_by` is the void or expiry of its call's last hold."""

    digest: bytes
    call_id: UUID
    state: str
    needed: int
    available: int
    ended_by: str | None


def canonical_digest(raw: bytes) -> bytes:
    """SHA-256 of the body's JSON with sorted members."""
    parsed = msgspec.json.decode(raw)
    return hashlib.sha256(msgspec.json.encode(parsed, order="sorted")).digest()


class Idempotency:
    """Looks keys up, and keeps and replays replies."""

    def __init__(self, database: Database, vault: Vault, *, body_bytes_max: int) -> None:
        """`body_bytes_max` bounds the replies that are kept."""
        self._database, self._vault = database, vault
        self._body_bytes_max = body_bytes_max

    def key_of(self, caller: Caller, header: bytes, raw: bytes, *, route: str) -> bytes:
        """Scope hash and digest, 32 bytes each; raises ApiError 400 for an unusable key."""
        try:
            key = header.decode("ascii")
        except UnicodeDecodeError:
            key = ""
        if not key.isprintable() or not 0 < len(key) <= KEY_CHARACTERS_MAX:
            message = (
                f"Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} printable ASCII characters."
            )
            raise bad_request("invalid_idempotency_key", message)
        return key_scope_hash(caller.account_id, route, key) + canonical_digest(raw)

    async def find(self, key: bytes) -> KnownKey | None:
        """What the ledger knows of the key; raises ApiError 503."""
        row = await self._fetch(FIND_KEY, [HoldVoided.TOPIC, HoldExpired.TOPIC, key[:32]])
        return KnownKey(bytes(row[0]), *row[1:]) if row else None

    async def admitted(self, key: bytes) -> KnownKey | None:
        """The same, where the request may be answered or tried; raises ApiError 409, 422, 503."""
        known = await self.find(key)
        if known is not None and known.digest != key[32:]:
            raise reused()
        if known is not None and known.state == "held":
            raise in_progress(known.call_id)
        return known

    async def replay(self, call_id: UUID, caller: Caller) -> StoredReply:
        """The first reply; raises ApiError 409 naming the call when it is no longer kept."""
        row = await self._fetch(
            "SELECT r.status, r.content_type, r.provider, r.body, u.wrapped_key "
            "FROM idempotent_reply r JOIN user_secret u ON u.user_id = %s WHERE r.call_id = %s",
            [UUID(caller.user_id), call_id],
        )
        if row is None or row[4] is None:
            message = (
                f"This key's call {call_id} was answered and charged, but its reply is no longer "
                f"kept. See GET /v1/calls/{call_id}, or use a new key for a new call."
            )
            raise ApiError(409, "idempotent_reply_gone", message, extra={"call_id": str(call_id)})
        body = self._vault.decrypt(bytes(row[4]), bytes(row[3]))
        return StoredReply(call_id, row[0], row[1], row[2], body)

    async def keep(self, caller: Caller, reply: StoredReply) -> None:
        """Keep a reply, before its call is settled; too large ones and lost databases are not.

        Without its reply a settled key answers 409 and names the call: never a second charge.
        """
        if len(reply.body) > self._body_bytes_max:
            return
        try:
            connection = await self._database.connect_async()
            async with connection:
                wrapped = await wrapped_key_of(connection, caller)
                if wrapped is None:
                    return
                await connection.execute(
                    "INSERT INTO idempotent_reply (call_id, status, content_type, provider, body) "
                    "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (call_id) DO UPDATE SET "
                    "status = excluded.status, content_type = excluded.content_type, "
                    "provider = excluded.provider, body = excluded.body, "
                    "stored_at = excluded.stored_at",
                    [
                        reply.call_id,
                        reply.status,
                        reply.content_type,
                        reply.provider,
                        self._vault.encrypt(wrapped, reply.body),
                    ],
                )
        except psycopg.OperationalError:
            return

    async def _fetch(self, query: str, values: list[Any]) -> tuple[Any, ...] | None:
        try:
            connection = await self._database.connect_async()
            async with connection:
                cursor = await connection.execute(query, values)
                return await cursor.fetchone()
        except psycopg.OperationalError:
            raise ledger_unavailable() from None


async def wrapped_key_of(connection: psycopg.AsyncConnection[Any], caller: Caller) -> bytes | None:
    """The caller's wrapped data key; None when it was destroyed (P5)."""
    cursor = await connection.execute(
        "SELECT wrapped_key FROM user_secret WHERE user_id = %s", [UUID(caller.user_id)]
    )
    row = await cursor.fetchone()
    return bytes(row[0]) if row and row[0] is not None else None


def reused() -> ApiError:
    """A 422: the key came with another body before."""
    message = "This Idempotency-Key was used with another body. Use a new key for a new request."
    return ApiError(422, "idempotency_key_reused", message)


def in_progress(call_id: UUID | str) -> ApiError:
    """A 409: the first request with this key is still running."""
    message = f"The first request with this Idempotency-Key (call {call_id}) is still running."
    return ApiError(
        409,
        "idempotency_in_progress",
        message,
        headers={"retry-after": str(RETRY_AFTER_S)},
        extra={"call_id": str(call_id)},
    )


KEY_TAKEN = frozenset(
    {
        AppendCode.IDEMPOTENCY_KEY_REUSED,
        AppendCode.IDEMPOTENCY_IN_PROGRESS,
        AppendCode.IDEMPOTENCY_SETTLED,
        AppendCode.IDEMPOTENCY_REFUSED,
        AppendCode.CALL_EXISTS,
    }
)
"""Answers of the append that say that somebody else's request has the key."""


def key_taken(code: int, call_id: UUID | str) -> ApiError:
    """The refusal for such an answer; a retry finds out how the other request ended."""
    if code == AppendCode.IDEMPOTENCY_KEY_REUSED:
        return reused()
    return in_progress(call_id)
