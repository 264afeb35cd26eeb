"""The rows of responses that run in the background: who runs each, and how it ended.

A row is there before its caller is answered, with the response as it was answered, and names the
process that runs it. That one writes how it ended; where it lives no more, whoever reads the row
tells that it failed (`responses.lost`). Whoever wants its end says so in the row, or removes it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag

from command_api.kept_replies.lookups import DATA_KEY
from command_api.kept_replies.responses import RUNS, Stored, named
from edge.errors import RATE_LIMIT, RETRY_AFTER_S, ApiError, bad_request, ledger_unavailable

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups
    from edge.caller import Caller

OF_ACCOUNT = "Your account runs {} responses in the background"
EVENTS_LEVEL = 3
_RUNNING = (
    f"SELECT count(*) FROM kept_response k WHERE k.account_id = %(account)s "
    f"AND k.runner_id IS NOT NULL AND {RUNS}"
)
_BEGIN = f"""
INSERT INTO kept_response AS old (account_id, response_id, call_id, owner_id, previous_id,
  expires_at, body, runner_id, run_until)
SELECT %(account)s, %(id)s, %(call)s, %(owner)s, %(previous)s,
  clock_timestamp() + make_interval(days => %(days)s), %(body)s, %(runner)s,
  clock_timestamp() + make_interval(secs => %(run_s)s)
WHERE ({_RUNNING}) < %(most)s
ON CONFLICT (account_id, response_id) DO UPDATE SET owner_id = excluded.owner_id,
  previous_id = excluded.previous_id, expires_at = excluded.expires_at, body = excluded.body,
  runner_id = excluded.runner_id, run_until = excluded.run_until, cancel_asked_at = NULL,
  events = NULL
WHERE old.call_id = excluded.call_id
RETURNING true
"""
"""Another attempt of a call that has an idempotency key takes the place of the one before."""
_END = """
UPDATE kept_response SET body = %(body)s, events = %(events)s, runner_id = NULL, run_until = NULL
WHERE account_id = %(account)s AND response_id = %(id)s AND runner_id = %(runner)s
RETURNING true
"""
_CANCEL = """
UPDATE kept_response SET cancel_asked_at = coalesce(cancel_asked_at, clock_timestamp())
WHERE account_id = %(account)s AND response_id = %(id)s AND owner_id = %(owner)s
  AND runner_id IS NOT NULL
RETURNING true
"""
_WANTED = """
SELECT coalesce(array_agg(call_id), '{}'),
  coalesce(array_agg(call_id) FILTER (WHERE cancel_asked_at IS NOT NULL), '{}')
FROM kept_response WHERE runner_id = %(runner)s
"""
_EVENTS = (
    f"SELECT k.events, o.wrapped_key FROM kept_response k JOIN ({DATA_KEY}) o ON true "
    "WHERE k.account_id = %(account)s AND k.response_id = %(id)s AND k.owner_id = %(owner)s"
)
_encode = msgspec.msgpack.encode
_decode_events = msgspec.msgpack.Decoder(list[bytes]).decode


class Wanted(NamedTuple):
    """What the rows of a process say: the calls that have one, those of them that are to end."""

    there: set[UUID]
    ending: set[UUID]


class BackgroundRows:
    """Those that one process writes, and reads of others."""

    def __init__(
        self, lookups: Lookups, vault: Vault, runner_id: UUID, *, days: int, bytes_max: int
    ) -> None:
        """As `KeptResponses`; `runner_id` is the owner of the process's lease."""
        self._lookups, self._vault, self._runner_id = lookups, vault, runner_id
        self._days, self._bytes_max = days, bytes_max

    async def check(self, caller: Caller, most: int) -> None:
        """Raise ApiError 429 where the account runs as many as it may, 400 where none is stored."""
        if not self._days:
            message = "Responses are not stored here, so none can run in the background."
            raise bad_request("background_not_stored", message, "background")
        row = await self._fetch(_RUNNING, {"account": UUID(caller.account_id)})
        if row is not None and row[0] >= most:
            raise too_many(OF_ACCOUNT.format(most))

    async def begin(
        self, caller: Caller, call_id: str, previous: str | None, response_id: str, made: Stored,
        *, run_s: float, most: int,
    ) -> None:  # fmt: skip
        """Keep a response that is about to run; raises ApiError 400, 413, 429 or 503."""
        body = await self._sealed(caller, made)
        if body is None:
            message = "Your data key was destroyed, so nothing can be stored for you."
            raise bad_request("background_not_stored", message, "background")
        values = {
            **named(caller, response_id),
            "call": UUID(call_id),
            "previous": previous,
            "days": self._days,
            "body": body,
            "runner": self._runner_id,
            "run_s": run_s,
            "most": most,
        }
        if await self._fetch(_BEGIN, values) is None:
            raise too_many(OF_ACCOUNT.format(most))

    async def end(
        self, caller: Caller, response_id: str, made: Stored, events: list[bytes] | None
    ) -> bool:
        """Keep how it ended; False where its row is gone. Raises ApiError 413 or 503."""
        body, packed = await self._sealed(caller, made), None
        if body is None:
            return False
        if events is not None:
            wrapped = await self._data_key(caller)
            if wrapped is not None:
                plain = zlib.compress(_encode(events), EVENTS_LEVEL)
                packed = self._vault.encrypt(wrapped, plain)
        values = {**named(caller, response_id), "runner": self._runner_id}
        return await self._fetch(_END, {**values, "body": body, "events": packed}) is not None

    async def cancel(self, caller: Caller, response_id: str) -> None:
        """Ask whoever runs it to end it; raises ApiError 503."""
        await self._fetch(_CANCEL, named(caller, response_id))

    async def wanted(self) -> Wanted:
        """What the rows of this process say; raises ApiError 503."""
        row = await self._fetch(_WANTED, {"runner": self._runner_id})
        assert row is not None, "an aggregate has a row"
        return Wanted(set(row[0]), set(row[1]))

    async def events(self, caller: Caller, response_id: str) -> list[bytes]:
        """The events of one that ended, as far as they are kept; raises ApiError 503."""
        row = await self._fetch(_EVENTS, named(caller, response_id))
        if row is None or row[0] is None or row[1] is None:
            return []
        try:
            plain = self._vault.decrypt(bytes(row[1]), bytes(row[0]))
        except InvalidTag:
            return []
        return _decode_events(zlib.decompress(plain))

    async def _sealed(self, caller: Caller, made: Stored) -> bytes | None:
        if len(made.response) + len(made.input) > self._bytes_max:
            message = f"The response and its input are longer than the {self._bytes_max} bytes"
            raise ApiError(413, "background_too_large", f"{message} that are stored.")
        wrapped = await self._data_key(caller)
        return None if wrapped is None else self._vault.encrypt(wrapped, _encode(made))

    async def _data_key(self, caller: Caller) -> bytes | None:
        try:
            return await self._lookups.data_key(caller)
        except psycopg.Error:
            raise ledger_unavailable() from None

    async def _fetch(self, query: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        try:
            return await self._lookups.fetch(query, values)
        except psycopg.Error:
            raise ledger_unavailable() from None


def too_many(what: str) -> ApiError:
    """A 429: one of those that run has to end first."""
    message = f"{what}, which is the most: wait until one ends, or cancel one."
    after = {"retry-after": str(RETRY_AFTER_S)}
    return ApiError(429, "too_many_background_responses", message, kind=RATE_LIMIT, headers=after)
