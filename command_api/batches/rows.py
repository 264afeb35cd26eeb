"""The rows of batches beside the log: who runs one, what its lines were answered, how it stands.

A process that runs a batch is named in its row, and lives as long as its lease. What it writes of
the batch it writes only while it is named there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psycopg

from command_api.files.store import Owner
from edge.errors import ledger_unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from command_api.batches.shapes import Result
    from command_api.files.store import FileStore
    from command_api.kept_replies.lookups import Lookups

PAGE, PAGE_BYTES = 500, 2 * 2**20
"""Results that are read at once, and the bytes beyond which no more of them are."""
_COLUMNS = (
    "b.batch_id, b.version, b.account_id, b.owner_id, b.key_id, b.status, b.endpoint, "
    "b.input_file_id, b.price_percent, b.created_at, b.expires_at, b.in_progress_at, "
    "b.cancelling_at, b.finalizing_at, b.ended_at, b.total, b.completed, b.failed, "
    "b.output_file_id, b.error_file_id, b.sealed, b.errors, "
    "(SELECT wrapped_key FROM user_secret WHERE user_id = b.owner_id UNION ALL "
    "SELECT wrapped_key FROM organisation WHERE organisation_id = b.owner_id LIMIT 1)"
)
_LIVES = (
    "EXISTS (SELECT FROM process_lease p WHERE p.owner_id = {0}.runner_id "
    "AND p.expires_at > clock_timestamp())"
)
_CLAIM = f"""
WITH next AS (
  SELECT n.batch_id FROM batch n
  WHERE n.ended_at IS NULL AND n.owner_id IS NOT NULL
    AND (n.runner_id IS NULL OR NOT {_LIVES.format("n")})
    AND (n.status = 'cancelling' OR n.expires_at <= clock_timestamp() OR (
      SELECT count(*) FROM batch o WHERE o.account_id = n.account_id AND o.ended_at IS NULL
        AND {_LIVES.format("o")}) < %(account_max)s)
  ORDER BY n.created_at, n.batch_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE batch b SET runner_id = %(runner)s FROM next WHERE b.batch_id = next.batch_id
RETURNING {_COLUMNS}
"""
_STANDING = """
SELECT batch_id, status, expires_at <= clock_timestamp() FROM batch
WHERE runner_id = %(runner)s AND ended_at IS NULL
"""
_LET_GO = """
UPDATE batch SET runner_id = NULL
WHERE batch_id = %(batch)s AND runner_id = %(runner)s RETURNING true
"""
_RECORD = """
WITH mine AS (
  SELECT batch_id FROM batch WHERE batch_id = %(batch)s AND runner_id = %(runner)s FOR UPDATE
), made AS (
  INSERT INTO batch_result (batch_id, line, failed, body)
  SELECT m.batch_id, r.line, r.failed, r.body
  FROM mine m, unnest(%(lines)s::int[], %(failed)s::boolean[], %(bodies)s::bytea[])
    r (line, failed, body)
  ON CONFLICT DO NOTHING RETURNING octet_length(body) AS size, failed
)
UPDATE batch b SET
  completed = completed + (SELECT count(*) FROM made WHERE NOT made.failed),
  failed = b.failed + (SELECT count(*) FROM made WHERE made.failed),
  result_bytes = result_bytes + coalesce((SELECT sum(size) FROM made), 0)
FROM mine m WHERE b.batch_id = m.batch_id RETURNING b.result_bytes
"""
_FINALIZE = """
UPDATE batch SET finalizing_at = coalesce(finalizing_at, clock_timestamp()),
  output_file_id = coalesce(output_file_id, %(output)s),
  error_file_id = coalesce(error_file_id, %(error)s)
WHERE batch_id = %(batch)s AND runner_id = %(runner)s AND ended_at IS NULL
RETURNING output_file_id, error_file_id, completed, failed
"""
_RESULTS = f"""
SELECT p.line, r.body FROM (
  SELECT l.line, sum(l.size) OVER (ORDER BY l.line) - l.size AS before FROM (
    SELECT s.line, octet_length(s.body) AS size FROM batch_result s
    WHERE s.batch_id = %(batch)s AND s.failed = %(failed)s AND s.line > %(after)s
    ORDER BY s.line LIMIT {PAGE}) l
) p JOIN batch_result r ON r.batch_id = %(batch)s AND r.line = p.line
WHERE p.before < {PAGE_BYTES} ORDER BY p.line
"""
_DONE = "SELECT array_agg(line) FROM batch_result WHERE batch_id = %(batch)s"
_FIND = f"SELECT {_COLUMNS} FROM batch b WHERE b.batch_id = %(batch)s"
_FUNDS = "SELECT available, held FROM credit_account WHERE account_id = %(account)s"
_LIST = f"""
SELECT {_COLUMNS} FROM batch b WHERE b.account_id = %(account)s
  AND (%(after)s::uuid IS NULL OR (b.created_at, b.batch_id) < (
    SELECT a.created_at, a.batch_id FROM batch a
    WHERE a.batch_id = %(after)s AND a.account_id = %(account)s))
ORDER BY b.created_at DESC, b.batch_id DESC LIMIT %(limit)s
"""


class Wanted(msgspec.Struct, frozen=True):
    """What is sealed of a batch: the owner's own words, and how long what comes out is kept."""

    metadata: dict[str, str] | None
    output_expires_s: int


class BatchRow(NamedTuple):
    """A batch as its row tells it."""

    batch_id: UUID
    version: int
    account_id: UUID
    owner_id: UUID
    key_id: UUID
    status: str
    endpoint: str
    input_file_id: UUID
    price_percent: int
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None
    cancelling_at: datetime | None
    finalizing_at: datetime | None
    ended_at: datetime | None
    total: int
    completed: int
    failed: int
    output_file_id: UUID | None
    error_file_id: UUID | None
    sealed: bytes
    errors: bytes | None
    wrapped_key: bytes | None

    @property
    def owner(self) -> Owner:
        """Whose files it reads and writes."""
        return Owner(self.account_id, self.owner_id)


class Standing(NamedTuple):
    """How a batch of this process stands now."""

    status: str
    expired: bool


class Funds(NamedTuple):
    """What an account can spend, and what is held of it, nano-USD."""

    available: int
    held: int


class Finalizing(NamedTuple):
    """The files that a batch is to have, and what they count."""

    output_file_id: UUID
    error_file_id: UUID
    completed: int
    failed: int


class BatchRows:
    """Those of one database, as one process writes and reads them. All raise ApiError 503."""

    def __init__(self, lookups: Lookups, store: FileStore, runner_id: UUID) -> None:
        """`runner_id` is the owner of the process's lease."""
        self._lookups, self._store, self._runner_id = lookups, store, runner_id

    async def claim(self, account_max: int) -> BatchRow | None:
        """Take the oldest batch that nobody runs, of an account that has fewer running ones."""
        row = await self._fetch(_CLAIM, {"account_max": account_max})
        return None if row is None else BatchRow(*row)

    async def standing(self) -> dict[UUID, Standing]:
        """How those that this process runs stand."""
        rows = await self._rows(_STANDING, {"runner": self._runner_id})
        return {row[0]: Standing(*row[1:]) for row in rows}

    async def let_go(self, batch_id: UUID) -> None:
        """Let another process run it."""
        await self._fetch(_LET_GO, {"batch": batch_id})

    async def record(self, batch: BatchRow, results: Sequence[Result]) -> int | None:
        """Keep what lines were answered; the bytes of all, or None where it is not ours any more.

        A line that has a result keeps it. Raises ApiError 400 where the data key was destroyed.
        """
        bodies = await self._store.seal_all(batch.owner, [each.body for each in results])
        values = {
            "batch": batch.batch_id,
            "lines": [each.line for each in results],
            "failed": [each.failed for each in results],
            "bodies": bodies,
        }
        row = await self._fetch(_RECORD, values)
        return None if row is None else int(row[0])

    async def done(self, batch: BatchRow) -> set[int]:
        """The lines that have a result."""
        row = await self._fetch(_DONE, {"batch": batch.batch_id})
        return set(row[0] or ()) if row is not None else set()

    async def finalize(self, batch: BatchRow, output: UUID, error: UUID) -> Finalizing | None:
        """Its files are written from now on; None where it is not ours any more."""
        values = {"batch": batch.batch_id, "output": output, "error": error}
        row = await self._fetch(_FINALIZE, values)
        return None if row is None else Finalizing(*row)

    async def results(
        self, batch: BatchRow, after: int, *, failed: bool
    ) -> list[tuple[int, bytes | None]]:
        """The next results behind a line; None where the data key is gone."""
        values = {"batch": batch.batch_id, "failed": failed, "after": after}
        rows = await self._rows(_RESULTS, values)
        return [(row[0], self._store.opened(batch.wrapped_key, row[1])) for row in rows]

    async def find(self, account_id: UUID, batch_id: UUID) -> BatchRow | None:
        """A batch of the account's."""
        row = await self._fetch(_FIND, {"batch": batch_id})
        found = None if row is None else BatchRow(*row)
        return found if found is not None and found.account_id == account_id else None

    async def funds(self, account_id: UUID) -> Funds:
        """What an account has, as its holds leave it."""
        row = await self._fetch(_FUNDS, {"account": account_id})
        return Funds(0, 0) if row is None else Funds(*row)

    async def listed(self, account_id: UUID, after: UUID | None, limit: int) -> list[BatchRow]:
        """Those of the account, the newest first, behind one of them."""
        values = {"account": account_id, "after": after, "limit": limit}
        return [BatchRow(*row) for row in await self._rows(_LIST, values)]

    async def _rows(self, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            return await self._lookups.fetch_all(query, values)
        except psycopg.Error:
            raise ledger_unavailable() from None

    async def _fetch(self, query: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        return await self._store.fetch(query, {"runner": self._runner_id, **values})
