"""The rows and chunks of files: sealed with the data key of whoever owns them.

Every statement has an end and gives few rows, so a file of any size is written and read in the
memory of one chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag

from command_api.kept_replies.lookups import DATA_KEY
from edge.errors import ApiError, ledger_unavailable
from event_store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from command_api.identity.vault import Vault
    from command_api.kept_replies.lookups import Lookups

CHUNK_BYTES = 256 * 1024
"""Plain bytes of every chunk but the last."""
UPLOAD_HOURS = 2
"""A file that is not whole so long after it was begun is nobody's any more."""
PURGED_MAX = 20
"""Most files that are purged at once."""
_BEGIN = """
INSERT INTO stored_file (file_id, account_id, owner_id, purpose, expires_at, sealed)
SELECT %(file)s, %(account)s, %(owner)s, %(purpose)s,
  clock_timestamp() + make_interval(hours => %(hours)s), ''
WHERE %(most)s::int IS NULL OR (SELECT count(*) FROM stored_file f
  WHERE f.account_id = %(account)s AND f.expires_at > clock_timestamp()) < %(most)s
RETURNING true
"""
_APPEND = """
WITH held AS (
  SELECT coalesce(sum(f.bytes), 0) AS bytes FROM stored_file f
  WHERE f.account_id = %(account)s AND f.expires_at > clock_timestamp()
), grown AS (
  UPDATE stored_file SET bytes = bytes + %(size)s
  WHERE file_id = %(file)s AND NOT whole
    AND (%(most)s::bigint IS NULL OR (SELECT bytes FROM held) + %(size)s <= %(most)s)
  RETURNING file_id
)
INSERT INTO stored_file_chunk (file_id, number, body)
SELECT file_id, %(number)s, %(body)s FROM grown RETURNING true
"""
_FINISH = """
UPDATE stored_file SET whole = true, sealed = %(sealed)s,
  expires_at = created_at + make_interval(secs => %(expires_s)s)
WHERE file_id = %(file)s AND NOT whole
RETURNING file_id, account_id, owner_id, purpose, bytes, created_at, expires_at
"""
_FOUND = "f.file_id, f.account_id, f.owner_id, f.purpose, f.bytes, f.created_at, f.expires_at"
_MINE = "f.account_id = %(account)s AND f.whole AND f.expires_at > clock_timestamp()"
_KEY = (
    "(SELECT wrapped_key FROM user_secret WHERE user_id = f.owner_id UNION ALL "
    "SELECT wrapped_key FROM organisation WHERE organisation_id = f.owner_id LIMIT 1)"
)
_FIND = (
    f"SELECT {_FOUND}, f.sealed, {_KEY} FROM stored_file f WHERE f.file_id = %(file)s AND {_MINE}"
)
_FIND_ANY = (
    f"SELECT {_FOUND}, f.sealed, {_KEY} FROM stored_file f WHERE f.file_id = %(file)s "
    "AND f.account_id = %(account)s AND f.whole"
)
_LIST = f"""
SELECT {_FOUND}, f.sealed, {_KEY} FROM stored_file f
WHERE {_MINE} AND (%(purpose)s::text IS NULL OR f.purpose = %(purpose)s)
  AND (%(after)s::uuid IS NULL OR f.file_id {{sign}} %(after)s)
ORDER BY f.file_id {{order}} LIMIT %(limit)s
"""
_CHUNK = f"""
SELECT c.body, {_KEY} FROM stored_file f JOIN stored_file_chunk c USING (file_id)
WHERE f.file_id = %(file)s AND c.number = %(number)s
"""
IN_USE = "EXISTS (SELECT FROM batch b WHERE b.input_file_id = f.file_id AND b.ended_at IS NULL)"
"""Whether a batch that has not ended reads the file."""
_DELETE = f"""
WITH used AS (SELECT {IN_USE} AS used FROM stored_file f WHERE f.file_id = %(file)s AND {_MINE}),
gone AS (
  DELETE FROM stored_file f USING used WHERE f.file_id = %(file)s AND {_MINE} AND NOT used.used
  RETURNING true
) SELECT used FROM used LEFT JOIN gone ON true
"""
_DROP = "DELETE FROM stored_file WHERE file_id = %(file)s RETURNING true"
_PURGE = f"""
WITH old AS (
  SELECT file_id FROM stored_file f WHERE f.expires_at <= clock_timestamp() AND NOT {IN_USE}
  ORDER BY f.expires_at LIMIT {PURGED_MAX} FOR UPDATE SKIP LOCKED
), gone AS (DELETE FROM stored_file f USING old WHERE f.file_id = old.file_id RETURNING true)
SELECT count(*) FROM gone
"""


class Owner(NamedTuple):
    """Whose a file is: the account that sees it, and whose data key seals it."""

    account_id: UUID
    owner_id: UUID

    def named(self) -> dict[str, Any]:
        """As statements name them."""
        return {"account": self.account_id, "owner": self.owner_id}


class About(msgspec.Struct, frozen=True):
    """What is sealed of a file beside what it holds."""

    name: str
    sha256: bytes


class StoredFile(NamedTuple):
    """A file that is whole."""

    file_id: UUID
    owner: Owner
    purpose: str
    bytes: int
    created_at: datetime
    expires_at: datetime
    about: About


class FileStore:
    """The files of one database, through a few connections of its own."""

    def __init__(self, lookups: Lookups, vault: Vault) -> None:
        """The look-ups are not those of calls, which wait for nobody's upload."""
        self._lookups, self._vault = lookups, vault

    async def begin(self, owner: Owner, file_id: UUID, purpose: str, most: int | None) -> bool:
        """A file that is not whole yet; False where the account has as many as it may."""
        values = {**owner.named(), "file": file_id, "purpose": purpose, "most": most}
        values["hours"] = UPLOAD_HOURS
        return await self._in_turn(owner, _BEGIN, values) is not None

    async def append(
        self, owner: Owner, file_id: UUID, number: int, plain: bytes, most: int | None
    ) -> bool:
        """The next chunk; False where all files of the account would hold more than they may.

        Raises ApiError 503, and 400 where the data key was destroyed.
        """
        body = await self.seal(owner, plain)
        values = {"account": owner.account_id, "file": file_id, "number": number}
        values |= {"size": len(plain), "body": body, "most": most}
        return await self._in_turn(owner, _APPEND, values) is not None

    async def finish(
        self, owner: Owner, file_id: UUID, about: About, expires_s: int
    ) -> StoredFile | None:
        """It is whole, and anybody of the account finds it; None where it is gone."""
        sealed = await self.seal(owner, msgspec.msgpack.encode(about))
        values = {"file": file_id, "sealed": sealed, "expires_s": expires_s}
        row = await self.fetch(_FINISH, values)
        return None if row is None else _file(row, about)

    async def find(self, account_id: UUID, file_id: UUID) -> StoredFile | None:
        """A whole file of the account's whose content can be read."""
        row = await self.fetch(_FIND, {"account": account_id, "file": file_id})
        return None if row is None else self._opened(row)

    async def find_any(self, owner: Owner, file_id: UUID) -> StoredFile | None:
        """The same for a batch that reads it, though its time may be over meanwhile."""
        row = await self.fetch(_FIND_ANY, {"account": owner.account_id, "file": file_id})
        return None if row is None else self._opened(row)

    async def listed(
        self, account_id: UUID, purpose: str | None, after: UUID | None, limit: int, *, desc: bool
    ) -> list[StoredFile]:
        """Those of the account, by the time at which they were begun, which their ids tell, behind
        one of them that may be gone by now.
        """
        sign, order = ("<", "DESC") if desc else (">", "ASC")
        values = {"account": account_id, "purpose": purpose, "after": after, "limit": limit}
        try:
            rows = await self._lookups.fetch_all(_LIST.format(sign=sign, order=order), values)
        except psycopg.Error:
            raise ledger_unavailable() from None
        return [found for row in rows if (found := self._opened(row)) is not None]

    async def delete(self, account_id: UUID, file_id: UUID) -> bool | None:
        """Forget it: True where that was done, False where a batch reads it, None without one."""
        row = await self.fetch(_DELETE, {"account": account_id, "file": file_id})
        return None if row is None else not row[0]

    async def drop(self, file_id: UUID) -> None:
        """Forget one that did not become whole, or is made anew."""
        await self.fetch(_DROP, {"file": file_id})

    async def purge(self) -> int:
        """Forget some whose time is over; how many."""
        row = await self.fetch(_PURGE, {})
        return int(row[0]) if row is not None else 0

    async def chunk(self, file_id: UUID, number: int) -> bytes | None:
        """A chunk of a file; None where there is none, or nobody can read it any more."""
        row = await self.fetch(_CHUNK, {"file": file_id, "number": number})
        return None if row is None else self.opened(row[1], row[0])

    async def read(self, file: StoredFile, begin: int, end: int) -> AsyncIterator[bytes]:
        """Its bytes from `begin` up to `end`, chunk by chunk; raises EOFError where it is gone."""
        for number in range(begin // CHUNK_BYTES, -(-end // CHUNK_BYTES)):
            plain = await self.chunk(file.file_id, number)
            if plain is None:
                raise EOFError
            at = number * CHUNK_BYTES
            yield plain[max(begin - at, 0) : end - at]

    async def seal(self, owner: Owner, plain: bytes) -> bytes:
        """Encrypted with the owner's data key; raises ApiError 400 where that was destroyed."""
        return (await self.seal_all(owner, [plain]))[0]

    async def seal_all(self, owner: Owner, plains: Sequence[bytes]) -> list[bytes]:
        """The same of several, with one look-up."""
        row = await self.fetch(f"SELECT wrapped_key FROM ({DATA_KEY}) o", owner.named())
        if row is None or row[0] is None:
            raise key_destroyed()
        return [self._vault.encrypt(bytes(row[0]), plain) for plain in plains]

    def opened(self, wrapped: Any, sealed: Any) -> bytes | None:
        """What was sealed; None where the key is gone, or is another."""
        if wrapped is None:
            return None
        try:
            return self._vault.decrypt(bytes(wrapped), bytes(sealed))
        except InvalidTag:
            return None

    async def fetch(self, query: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """One row; raises ApiError 503."""
        try:
            return await self._lookups.fetch(query, values)
        except psycopg.Error:
            raise ledger_unavailable() from None

    async def _in_turn(
        self, owner: Owner, query: str, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """The same where it counts what the account has: one upload of it after the other."""
        if values["most"] is None:
            return await self.fetch(query, values)
        turn = (Lock.FILES, str(owner.account_id))
        try:
            return await self._lookups.fetch(query, values, turn=turn)
        except psycopg.Error:
            raise ledger_unavailable() from None

    def _opened(self, row: tuple[Any, ...]) -> StoredFile | None:
        plain = self.opened(row[8], row[7])
        if plain is None:
            return None
        return _file(row, msgspec.msgpack.decode(plain, type=About))


def _file(row: tuple[Any, ...], about: About) -> StoredFile:
    file_id, account_id, owner_id, purpose, size, created, expires = row[:7]
    owner = Owner(account_id, owner_id)
    return StoredFile(file_id, owner, purpose, size, created, expires, about)


def key_destroyed() -> ApiError:
    """A 400: nothing can be stored for whoever has no data key."""
    message = "Your data key was destroyed, so nothing can be stored for you."
    return ApiError(400, "file_not_stored", message)
