"""The shared answers of an installation: in PostgreSQL, so that erasing somebody takes them along.

A row is named by a keyed digest of its request, which tells a reader of the database nothing, and
sealed with the data key of whose it is: it opens as long as that stands, for whoever asks the same.
One that stands is not replaced while it lives, so that nobody picks what others are told.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from command_api.kept_replies.response_cache import UNREADABLE, CachedReply
from edge.body import decode_members

if TYPE_CHECKING:
    from collections.abc import Container

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from command_api.settings.stores import KeptReplySettings
    from edge.caller import Caller

ACCOUNT_ENTRIES_MAX = 1_000
"""Most answers of an account that live at a time; what comes beyond is not shared."""
OF = "shared answer"
_FIND = """
SELECT a.sealed_reply, k.wrapped_key FROM shared_answer a
JOIN user_secret u ON u.user_id = a.user_id AND u.wrapped_key IS NOT NULL
JOIN LATERAL (
  SELECT wrapped_key FROM user_secret WHERE user_id = a.owner_id
  UNION ALL SELECT wrapped_key FROM organisation WHERE organisation_id = a.owner_id
) k ON k.wrapped_key IS NOT NULL
WHERE a.name = %s AND a.expires_at > clock_timestamp()
"""
"""Who left while a call of theirs was under way is read nowhere either."""
_KEEP = """
INSERT INTO shared_answer AS old (name, account_id, user_id, owner_id, expires_at, sealed_reply)
SELECT %(name)s, %(account)s, %(user)s, %(owner)s,
  clock_timestamp() + make_interval(secs => %(ttl)s), %(reply)s
WHERE (SELECT count(*) FROM shared_answer
  WHERE account_id = %(account)s AND expires_at > clock_timestamp()) < %(most)s
ON CONFLICT (name) DO UPDATE SET account_id = excluded.account_id, user_id = excluded.user_id,
  owner_id = excluded.owner_id, expires_at = excluded.expires_at,
  sealed_reply = excluded.sealed_reply
WHERE old.expires_at <= clock_timestamp()
RETURNING true
"""
_CLEAR = "WITH gone AS (DELETE FROM shared_answer RETURNING 1) SELECT count(*) FROM gone"
_ID = re.compile(r"[A-Za-z]{1,16}[-_]")
_encode = msgspec.json.encode


class Found(NamedTuple):
    """An answer of somebody's; else what the caller is told of it."""

    reply: CachedReply | None
    told: str


class SharedAnswers:
    """Those of one installation, as one process reaches them."""

    def __init__(self, lookups: Lookups, vault: Vault, settings: KeptReplySettings) -> None:
        """Nothing is asked yet."""
        self._lookups, self._vault = lookups, vault
        self._bytes_max = settings.response_cache_bytes_max
        self.enabled = settings.response_cache_across_accounts
        self.results: Counter[str] = Counter()
        self.kept = self.damaged = 0
        """Of this process, since it began."""

    def name_of(self, route: str, digest: bytes) -> str:
        """The name of a request's answer, whoever asks; `digest` is of its body but its form."""
        return self._vault.pseudonym(OF, route, digest.hex())

    async def find(
        self,
        name: str,
        call_id: str,
        max_age_s: int | None,
        offers: Container[tuple[str, str]],
    ) -> Found:
        """An answer that one of these offers (provider, model) made, as a call is told it.

        It names neither the call that it comes from nor its provider's.
        """
        try:
            row = await self._lookups.fetch(_FIND, [name])
        except psycopg.Error:
            return Found(None, "unavailable")
        if row is None:
            return Found(None, "miss")
        reply = self._opened(name, bytes(row[1]), bytes(row[0]))
        if reply is None or (max_age_s is not None and reply.age_s > max_age_s):
            return Found(None, "miss")
        if (reply.provider, reply.model) not in offers:
            return Found(None, "not_offered")
        return Found(_strange(reply, call_id), "hit")

    async def keep(self, caller: Caller, name: str, reply: CachedReply, ttl_s: float) -> bool:
        """Give an answer to others; False where it is not: too large, too many, or one stands."""
        if len(reply.body) > self._bytes_max:
            return False
        try:
            wrapped = await self._lookups.data_key(caller)
            if wrapped is None:
                return False
            named = msgspec.structs.replace(reply, name=name)
            values = {
                "name": name,
                "account": UUID(caller.account_id),
                "user": UUID(caller.user_id),
                "owner": UUID(caller.owner_id),
                "ttl": ttl_s,
                "reply": self._vault.encrypt(wrapped, msgspec.msgpack.encode(named)),
                "most": ACCOUNT_ENTRIES_MAX,
            }
            kept = await self._lookups.fetch(_KEEP, values) is not None
        except psycopg.Error:
            return False
        self.kept += kept
        return kept

    async def clear(self) -> int:
        """Forget all; how many they were, 0 where the database does not say."""
        try:
            row = await self._lookups.fetch(_CLEAR, {})
        except psycopg.Error:
            return 0
        return int(row[0]) if row is not None else 0

    def _opened(self, name: str, wrapped: bytes, sealed: bytes) -> CachedReply | None:
        try:
            opened = self._vault.decrypt(wrapped, sealed)
            reply = msgspec.msgpack.decode(opened, type=CachedReply)
        except UNREADABLE:
            self.damaged += 1
            return None
        return reply if reply.name == name else None


def _strange(reply: CachedReply, call_id: str) -> CachedReply:
    """The answer without what would name somebody else's call: it has the id of its own."""
    body = reply.body
    for shown in (str, _hex):  # Ids that are made here have either form of it.
        body = body.replace(shown(reply.call_id).encode(), shown(call_id).encode())
    members = decode_members(body)
    given: Any = msgspec.json.decode(members.get("id", b"null"))
    if isinstance(given, str) and call_id not in given and _hex(call_id) not in given:
        kind = _ID.match(given)
        members["id"] = msgspec.Raw(_encode((kind.group() if kind else "") + _hex(call_id)))
        body = _encode(members)
    return msgspec.structs.replace(reply, call_id="", body=body)


def _hex(call_id: str) -> str:
    return call_id.replace("-", "")
