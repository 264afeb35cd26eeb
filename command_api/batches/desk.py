"""What callers do with batches: make one, look at it, list, cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec

from command_api.batches.asked import WINDOW, expires_s_of, metadata_of
from command_api.batches.lines import ENDPOINTS
from command_api.batches.log import TooManyBatchesError
from command_api.batches.rows import Wanted
from command_api.batches.shapes import told_batch
from command_api.files.ids import BATCH, FILE, id_of
from command_api.files.lists import page_of
from command_api.files.routes import file_not_found, owner_of
from command_api.files.uploads import PURPOSE
from domain.batches.batch import BatchEndedError
from domain.batches.batch import Wanted as NewBatch
from edge.access import admit
from edge.errors import RATE_LIMIT, ApiError, bad_request, sentence
from event_store.ids import new_uuid7, to_iso

if TYPE_CHECKING:
    from command_api.batches.asked import Asked
    from command_api.batches.log import BatchLog
    from command_api.batches.rows import BatchRow, BatchRows
    from command_api.files.store import FileStore
    from command_api.settings.work.batches import BatchSettings
    from edge.caller import Caller

SPACE = UUID("5d1f0c1b-8f0e-5b1c-9a57-90b6f7f0c8a4")


class BatchDesk:
    """One for each process."""

    def __init__(
        self, rows: BatchRows, log: BatchLog, store: FileStore, settings: BatchSettings
    ) -> None:
        """What is shown stands in the rows, what is done in the log."""
        self._rows, self._log, self._store, self._settings = rows, log, store, settings

    async def create(self, caller: Caller, asked: Asked, key: str | None) -> dict[str, Any]:
        """A new batch, or the one that was made with this key.

        Raises ApiError 400, 403, 404, 422, 429 or 503.
        """
        wanted = self._checked(caller, asked)
        account = UUID(caller.account_id)
        batch_id = uuid5(SPACE, f"{account}/{key}") if key else new_uuid7()
        if key and (made := await self._rows.find(account, batch_id)) is not None:
            return self._again(made, asked, wanted)
        file_id = id_of(FILE, asked.input_file_id)
        file = await self._store.find(account, file_id) if file_id else None
        if file is None:
            raise file_not_found("input_file_id")
        if file.purpose != PURPOSE:
            message = "input_file_id must name a file of the purpose batch."
            raise bad_request("invalid_value", message, "input_file_id")
        owner = owner_of(caller)
        sealed = await self._store.seal(owner, msgspec.msgpack.encode(wanted))
        window = timedelta(seconds=self._settings.window_s)
        batch = NewBatch(
            account_id=caller.account_id,
            user_id=caller.user_id,
            key_id=caller.key_id,
            endpoint=asked.endpoint,
            input_file_id=str(file.file_id),
            expires_at=to_iso(datetime.now(UTC) + window),
            price_percent=self._settings.price_percent,
        )
        most = self._settings.account_open_max
        try:
            await self._log.create(batch_id, batch, caller.actor, owner.owner_id, sealed, most)
        except TooManyBatchesError:
            message = f"Your account has {most} batches that have not ended, which is the most."
            raise ApiError(429, "too_many_batches", message, kind=RATE_LIMIT) from None
        return self._told(await self._found(account, batch_id))

    async def retrieve(self, caller: Caller, text: str) -> dict[str, Any]:
        """A batch of the caller's account; raises ApiError 404 or 503."""
        return self._told(await self._named(caller, text))

    async def listed(self, caller: Caller, after: str | None, limit: int) -> dict[str, Any]:
        """Those of the caller's account, the newest first; raises ApiError 400 or 503."""
        behind = id_of(BATCH, after) if after is not None else None
        if after is not None and behind is None:
            raise bad_request("invalid_value", "after names no batch.", "after")
        account = UUID(caller.account_id)
        if behind is not None and await self._rows.find(account, behind) is None:
            raise bad_request("invalid_value", "after names no batch of yours.", "after")
        found = await self._rows.listed(account, behind, limit + 1)
        return page_of([self._told(each) for each in found], limit)

    async def cancel(self, caller: Caller, text: str) -> dict[str, Any]:
        """Let no more of its lines begin; raises ApiError 404, 409 or 503."""
        found = await self._named(caller, text)
        try:
            await self._log.cancel(found.batch_id, caller.actor)
        except BatchEndedError as error:
            raise ApiError(409, "batch_ended", sentence(error)) from None
        return self._told(await self._named(caller, text))

    def _told(self, row: BatchRow) -> dict[str, Any]:
        sealed = self._store.opened(row.wrapped_key, row.sealed)
        errors = self._store.opened(row.wrapped_key, row.errors) if row.errors else None
        wanted = msgspec.msgpack.decode(sealed, type=Wanted) if sealed else None
        return told_batch(row, wanted.metadata if wanted else None, errors)

    async def _named(self, caller: Caller, text: str) -> BatchRow:
        batch_id = id_of(BATCH, text)
        if batch_id is None:
            raise batch_not_found()
        return await self._found(UUID(caller.account_id), batch_id)

    async def _found(self, account_id: UUID, batch_id: UUID) -> BatchRow:
        found = await self._rows.find(account_id, batch_id)
        if found is None:
            raise batch_not_found()
        return found

    def _again(self, made: BatchRow, asked: Asked, wanted: Wanted) -> dict[str, Any]:
        """The batch that the first request with the key made; raises ApiError 422."""
        same = (made.endpoint, made.input_file_id)
        sealed = self._store.opened(made.wrapped_key, made.sealed)
        first = msgspec.msgpack.decode(sealed, type=Wanted) if sealed else wanted
        if first != wanted or same != (asked.endpoint, id_of(FILE, asked.input_file_id)):
            message = "This Idempotency-Key made another batch. Use a new key for a new one."
            raise ApiError(422, "idempotency_key_reused", message)
        return self._told(made)

    @staticmethod
    def _checked(caller: Caller, asked: Asked) -> Wanted:
        route = ENDPOINTS.get(asked.endpoint)
        if route is None:
            message = f"endpoint must be one of {', '.join(ENDPOINTS)}."
            raise bad_request("invalid_value", message, "endpoint")
        admit(caller, route.needs)
        if asked.completion_window != WINDOW:
            message = f"completion_window must be {WINDOW}."
            raise bad_request("invalid_value", message, "completion_window")
        return Wanted(metadata_of(asked), expires_s_of(asked))


def batch_not_found() -> ApiError:
    """A 404 that is the same for nobody's, and for another one's."""
    message = "No batch of yours has this id: GET /v1/batches lists them."
    return ApiError(404, "batch_not_found", message)
