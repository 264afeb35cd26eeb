"""Responses that are stored for their owner, so that the next may go on from them.

The answer and its own input are sealed with the owner's data key (P5): with the key goes what can
be read of them. A row knows the response before it, and a chain of them is read at once. What is
kept stands in no event, and is deleted when its time is over, or before.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag

from command_api.kept_replies.lookups import DATA_KEY
from command_api.replies.responses.assembled import error_of
from domain.events.ledger import HoldExpired, HoldSettled, HoldVoided
from domain.pricing.money import format_usd
from edge.errors import SERVER, ApiError, ledger_unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.responses")

CHAIN_MAX = 1_000
"""Most responses of one chain."""
ID_CHARACTERS_MAX = 256
_KEEP = """
INSERT INTO kept_response
  (account_id, response_id, call_id, owner_id, previous_id, expires_at, body)
VALUES (%(account)s, %(id)s, %(call)s, %(owner)s, %(previous)s,
  clock_timestamp() + make_interval(days => %(days)s), %(body)s)
ON CONFLICT DO NOTHING RETURNING true
"""
_CHAIN = f"""
WITH RECURSIVE chain AS (
  SELECT k.response_id, k.previous_id, k.body, k.runner_id IS NOT NULL AS unfinished, 1 AS depth,
    ARRAY[k.response_id] AS path
  FROM kept_response k WHERE k.account_id = %(account)s AND k.response_id = %(id)s
    AND k.owner_id = %(owner)s AND k.expires_at > clock_timestamp()
  UNION ALL
  SELECT k.response_id, k.previous_id, k.body, k.runner_id IS NOT NULL, c.depth + 1,
    c.path || k.response_id
  FROM chain c JOIN kept_response k ON k.account_id = %(account)s
    AND k.response_id = c.previous_id AND k.owner_id = %(owner)s
    AND k.expires_at > clock_timestamp()
  WHERE c.depth < %(most)s AND NOT k.response_id = ANY (c.path)
)
SELECT CASE WHEN sum(octet_length(body)) <= %(bytes)s THEN array_agg(body ORDER BY depth DESC) END,
  coalesce(bool_or(previous_id IS NULL), false), bool_or(unfinished),
  (SELECT wrapped_key FROM ({DATA_KEY}) o LIMIT 1)
FROM chain
"""
RUNS = """(k.runner_id IS NOT NULL AND k.run_until > clock_timestamp() AND EXISTS (
  SELECT FROM process_lease p WHERE p.owner_id = k.runner_id AND p.expires_at > clock_timestamp()
))"""
"""Whether somebody who lives runs a response `k` in the background."""
_FIND = f"""
SELECT k.body, o.wrapped_key, k.call_id, {RUNS}, k.runner_id IS NOT NULL, CASE
  WHEN k.runner_id IS NOT NULL THEN (
    SELECT convert_from(e.state, 'UTF8') FROM events e
    WHERE e.originator_id = k.call_id AND e.topic = ANY (%(ends)s)
    ORDER BY e.originator_version DESC LIMIT 1
  ) END
FROM kept_response k JOIN ({DATA_KEY}) o ON true
WHERE k.account_id = %(account)s AND k.response_id = %(id)s
  AND k.owner_id = %(owner)s AND k.expires_at > clock_timestamp()
"""
ENDS = [each.TOPIC for each in (HoldSettled, HoldVoided, HoldExpired)]
_DELETE = (
    "DELETE FROM kept_response WHERE account_id = %(account)s AND response_id = %(id)s "
    "AND owner_id = %(owner)s AND expires_at > clock_timestamp() RETURNING true"
)


class Stored(msgspec.Struct, frozen=True):
    """What of a response is sealed: the answer and its own input, as JSON."""

    response: bytes
    input: bytes
    streamed: bool = False
    """Whether its events are told again; of those alone that run in the background."""


class Asked(Protocol):
    """What of a request decides whether its response is stored."""

    store: bool
    previous_id: str | None
    own_items: list[msgspec.Raw]


class Found(NamedTuple):
    """A stored response, opened."""

    response: dict[str, Any]
    items: list[dict[str, Any]]
    call_id: UUID
    runs: bool = False
    """Whether it runs in the background, at a process that lives."""
    unfinished: bool = False
    """Whether its end is not stored, yet or for ever."""
    streamed: bool = False

    @property
    def background(self) -> bool:
        """Whether it was made to run in the background."""
        return self.response.get("background") is True


_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_items = msgspec.json.Decoder(list[Any]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode


class KeptResponses:
    """Keeps, finds and forgets them; one for each process."""

    def __init__(self, lookups: Lookups, vault: Vault, *, days: int, bytes_max: int) -> None:
        """`days` is how long they are kept, 0 is not at all; `bytes_max` bounds one of them."""
        self._lookups, self._vault = lookups, vault
        self._days, self._bytes_max = days, bytes_max
        self.not_kept = 0
        """Of this process, since it began."""

    async def keep(
        self, caller: Caller, call_id: str, asked: Asked, response: dict[str, Any] | None
    ) -> None:
        """Store an answered call's response, where that was asked for; says so if it cannot be."""
        if response is None or not asked.store or not self._days:
            return
        told = response | {"store": True, "previous_response_id": asked.previous_id}
        made = Stored(_encode(told), _encode(asked.own_items))
        response_id = response.get("id")
        if not isinstance(response_id, str) or not 0 < len(response_id) <= ID_CHARACTERS_MAX:
            self._failed(call_id, "it has no id that can be one")
        elif len(made.response) + len(made.input) > self._bytes_max:
            self._failed(call_id, f"it is longer than {self._bytes_max} bytes")
        else:
            await self._keep(caller, call_id, asked, response_id, made)

    async def _keep(
        self, caller: Caller, call_id: str, asked: Asked, response_id: str, made: Stored
    ) -> None:
        try:
            wrapped = await self._lookups.data_key(caller)
            if wrapped is None:
                self._failed(call_id, "the data key was destroyed")
                return
            row = await self._lookups.fetch(
                _KEEP,
                {
                    **named(caller, response_id),
                    "call": UUID(call_id),
                    "previous": asked.previous_id,
                    "days": self._days,
                    "body": self._vault.encrypt(wrapped, msgspec.msgpack.encode(made)),
                },
            )
            if row is None:
                self._failed(call_id, "another one of the account's has its id")
        except psycopg.Error as error:
            self._failed(call_id, str(error))

    def _failed(self, call_id: str, why: str) -> None:
        self.not_kept += 1
        logger.warning("the response of call %s is not stored: %s", call_id, why)

    async def chain(self, caller: Caller, response_id: str, bytes_max: int) -> list[msgspec.Raw]:
        """All items up to a response, its output with them; raises ApiError 404, 413, 503."""
        row = await self._fetch(
            _CHAIN, {**named(caller, response_id), "most": CHAIN_MAX, "bytes": bytes_max}
        )
        bodies, is_whole, unfinished, wrapped = row or (None, False, False, None)
        if not is_whole or wrapped is None:
            raise previous_not_found()
        if unfinished:
            raise previous_unfinished()
        if bodies is None:
            message = (
                f"The responses up to previous_response_id hold more than {bytes_max} bytes: begin "
                "anew, with what matters as input."
            )
            raise ApiError(413, "previous_responses_too_large", message)
        items: list[msgspec.Raw] = []
        for body in bodies:
            stored = self._opened(bytes(wrapped), bytes(body))
            if stored is None:
                raise previous_not_found()
            items += _decode_raws(stored.input)
            items += map(msgspec.Raw, _again(_decode_object(stored.response).get("output")))
        return items

    async def find(self, caller: Caller, response_id: str) -> Found:
        """A stored response of the caller's; raises ApiError 404, 503."""
        row = await self._fetch(_FIND, {**named(caller, response_id), "ends": ENDS})
        if row is None or row[1] is None:
            raise response_not_found()
        body, wrapped, call_id, runs, unfinished, outcome = row
        stored = self._opened(bytes(wrapped), bytes(body))
        if stored is None:
            raise response_not_found()
        response = _decode_object(stored.response)
        if runs:
            response["status"] = "in_progress"
        elif unfinished:
            response |= lost(outcome)
        return Found(
            response, _decode_items(stored.input), call_id, runs, unfinished, stored.streamed
        )

    async def delete(self, caller: Caller, response_id: str) -> None:
        """Forget a response of the caller's; raises ApiError 404, 503."""
        if await self._fetch(_DELETE, named(caller, response_id)) is None:
            raise response_not_found()

    def _opened(self, wrapped: bytes, body: bytes) -> Stored | None:
        try:
            return msgspec.msgpack.decode(self._vault.decrypt(wrapped, body), type=Stored)
        except InvalidTag:
            return None

    async def _fetch(self, query: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        try:
            return await self._lookups.fetch(query, values)
        except psycopg.OperationalError:
            raise ledger_unavailable() from None


def named(caller: Caller, response_id: str) -> dict[str, Any]:
    """What names a response in a statement."""
    account, owner = UUID(caller.account_id), UUID(caller.owner_id)
    return {"account": account, "owner": owner, "id": response_id}


def lost(outcome: str | None) -> dict[str, Any]:
    """What is told of a response whose process ended without it, by the event that ended its call.

    Its outcome may yet come out of that process's spool.
    """
    charge = "Nothing has been charged so far, and what is held for it is released by itself."
    if outcome is not None:
        paid = _decode_object(outcome).get("cost_nano_usd", 0)
        charge = "Nothing was charged."
        if paid:
            charge = f"What was made until then is charged: {format_usd(paid)} USD."
    message = f"The process that made this response ended before it was done. {charge}"
    error = ApiError(500, "background_lost", message, kind=SERVER)
    return {"status": "failed", "error": error_of(error)}


def _again(output: Any) -> list[bytes]:
    """Items of an answer as input of the next: without ids that name nothing at the provider.

    Thoughts that nobody sealed cannot be read again.
    """
    made = []
    for item in output if isinstance(output, list) else ():
        if not isinstance(item, dict):
            continue
        if item.get("type") == "reasoning":
            if not item.get("encrypted_content"):
                continue
        else:
            item.pop("id", None)
        made.append(_encode(item))
    return made


def response_not_found() -> ApiError:
    """A 404 that is the same for nobody's, and for another one's."""
    message = (
        "No stored response of yours has this id: it was deleted, its time is over, or it was made "
        "with store: false."
    )
    return ApiError(404, "response_not_found", message)


def previous_unfinished() -> ApiError:
    """A 409 for a response to go on from that runs in the background, or was lost there."""
    message = (
        "previous_response_id names a response, or goes on from one, that is not done: wait until "
        "GET tells that it is completed. From one that failed begin anew, with its items as input."
    )
    return ApiError(409, "previous_response_unfinished", message, param="previous_response_id")


def previous_not_found() -> ApiError:
    """A 404 for a response to go on from, or one before it."""
    message = (
        "previous_response_id names no stored response of yours, or one before it is gone: it was "
        "deleted, its time is over, or it was made with store: false. Send its items as input."
    )
    return ApiError(404, "previous_response_not_found", message, param="previous_response_id")
