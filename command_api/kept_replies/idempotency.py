"""Idempotency keys of calls (money rule 8, P3).

Scope: account, route and key; digest: the parsed body, so that white space does not matter.
The append decides, under its lock. Where it finds a key taken, this module asks what became of
its call. The first reply is sealed here and kept by the append, in the settlement's own
transaction, so that a key that is settled has its reply, and no other attempt's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import psycopg

from command_api.identity.vault import key_scope_hash
from command_api.kept_replies.digests import digest_of
from command_api.kept_replies.lookups import DATA_KEY
from domain.events.ledger import HoldExpired, HoldVoided
from edge.errors import RETRY_AFTER_S, ApiError, bad_request, ledger_unavailable
from event_store.append.entries import AppendCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.idempotency")

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


class Idempotency:
    """Looks keys up, and keeps and replays replies."""

    def __init__(self, lookups: Lookups, vault: Vault, *, body_bytes_max: int) -> None:
        """`body_bytes_max` bounds the replies that are kept."""
        self._lookups, self._vault = lookups, vault
        self._body_bytes_max = body_bytes_max
        self.replies_not_kept = 0

    async def key_of(self, caller: Caller, header: bytes, raw: bytes, *, route: str) -> bytes:
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
        return key_scope_hash(caller.account_id, route, key) + await digest_of(raw)

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
            "SELECT r.status, r.content_type, r.provider, r.body, o.wrapped_key "
            f"FROM idempotent_reply r JOIN ({DATA_KEY}) o ON true WHERE r.call_id = %(call)s",
            {"owner": UUID(caller.owner_id), "call": call_id},
        )
        if row is None or row[4] is None:
            message = (
                f"This key's call {call_id} was answered and charged, but its reply is no longer "
                f"kept. See GET /v1/calls/{call_id}, or use a new key for a new call."
            )
            raise ApiError(409, "idempotent_reply_gone", message, extra={"call_id": str(call_id)})
        opened = self._vault.decrypt(bytes(row[4]), bytes(row[3]))
        if row[0] is None:
            return msgspec.msgpack.decode(opened, type=StoredReply)
        return StoredReply(call_id, row[0], row[1], row[2], opened)  # Kept by an older release.

    def ask_ahead(self, caller: Caller) -> None:
        """A reply to this caller will be sealed: what that needs is asked for meanwhile."""
        self._lookups.ask_ahead(caller)

    async def sealed(self, caller: Caller, reply: StoredReply) -> bytes:
        """The reply, encrypted, to ride with its call's settlement; empty when it cannot be kept.

        Without its reply a settled key answers 409 and names the call: never a second charge.
        """
        if len(reply.body) > self._body_bytes_max:
            return self.not_kept(reply.call_id, f"it is longer than {self._body_bytes_max} bytes")
        try:
            wrapped = await self._lookups.data_key(caller)
        except psycopg.OperationalError as error:
            return self.not_kept(reply.call_id, str(error))
        if wrapped is None:
            return self.not_kept(reply.call_id, "the data key was destroyed")
        return self._vault.encrypt(wrapped, msgspec.msgpack.encode(reply))

    def not_kept(self, call_id: UUID, why: str) -> bytes:
        """Say that a reply is not there for a repeated request; returns nothing to keep."""
        self.replies_not_kept += 1
        logger.warning("the reply of call %s is not kept for its key: %s", call_id, why)
        return b""

    async def close(self) -> None:
        """Disconnect."""
        await self._lookups.close()

    async def _fetch(
        self, query: str, values: Sequence[Any] | Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        try:
            return await self._lookups.fetch(query, values)
        except psycopg.OperationalError:
            raise ledger_unavailable() from None


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
