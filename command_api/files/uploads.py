"""An upload becomes a stored file, chunk by chunk, as its body comes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from command_api.files.ids import FILE, shown_id
from command_api.files.multipart import pieces_of
from command_api.files.store import CHUNK_BYTES, About
from edge.errors import RATE_LIMIT, ApiError, bad_request, unavailable
from event_store.ids import new_uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from uuid import UUID

    from command_api.files.multipart import Piece
    from command_api.files.store import FileStore, Owner, StoredFile
    from command_api.settings.work.batches import FileSettings

PURPOSE = "batch"
"""The one purpose of an upload that anything here is made for."""
FIELD_BYTES_MAX = 1_024
NAME_CHARACTERS_MAX = 256
UPLOAD_S = 3_600.0
"""Longest upload, seconds; below the time after which what is not whole is purged."""
EXPIRES_S_MIN, EXPIRES_S_MAX = 3_600, 2_592_000
"""What OpenAI's `FileExpirationAfter` allows; a file of a batch lives as long by itself."""
DIGITS_MAX = 9
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
FILE_PART, PURPOSE_PART = "file", "purpose"


class Limits(NamedTuple):
    """The named maxima of an account's files."""

    file_bytes: int
    files: int | None
    all_bytes: int | None


class Writing:
    """A file that is being made: what comes is kept until it fills a chunk."""

    def __init__(self, store: FileStore, owner: Owner, file_id: UUID, limits: Limits) -> None:
        """Nothing is stored yet."""
        self._store, self._owner, self._limits = store, owner, limits
        self.file_id = file_id
        self._held, self._number = bytearray(), 0
        self._digest = hashlib.sha256()
        self.size = 0

    async def begin(self, purpose: str) -> None:
        """Raises ApiError 429 where the account has as many as it may, 503."""
        if not await self._store.begin(self._owner, self.file_id, purpose, self._limits.files):
            message = (
                f"Your account has {self._limits.files} files, which is the most: delete some, or "
                "wait until they expire."
            )
            raise ApiError(429, "too_many_files", message, kind=RATE_LIMIT)

    async def write(self, data: bytes) -> None:
        """More of it; raises ApiError 400, 413, 429 or 503."""
        self.size += len(data)
        if self.size > self._limits.file_bytes:
            message = f"The file is larger than {self._limits.file_bytes} bytes."
            raise ApiError(413, "file_too_large", message, param=FILE_PART)
        self._digest.update(data)
        self._held += data
        while len(self._held) >= CHUNK_BYTES:
            await self._append(bytes(self._held[:CHUNK_BYTES]))
            del self._held[:CHUNK_BYTES]

    async def finish(self, name: str, expires_s: int) -> StoredFile:
        """The whole file; raises ApiError 400, 429 or 503."""
        if self._held:
            await self._append(bytes(self._held))
        about = About(name, self._digest.digest())
        made = await self._store.finish(self._owner, self.file_id, about, expires_s)
        if made is None:
            raise unavailable("file_gone", "The file was purged while it was made: try again.")
        return made

    async def drop(self) -> None:
        """Forget what is stored of it."""
        await self._store.drop(self.file_id)

    async def _append(self, plain: bytes) -> None:
        most = self._limits.all_bytes
        if not await self._store.append(self._owner, self.file_id, self._number, plain, most):
            message = (
                f"The files of your account would hold more than {most} bytes: delete some, or "
                "wait until they expire."
            )
            raise ApiError(429, "too_many_file_bytes", message, kind=RATE_LIMIT)
        self._number += 1


class Uploads:
    """Those of one process."""

    def __init__(self, store: FileStore, settings: FileSettings, *, silence_s: float) -> None:
        """`silence_s` is the longest pause in a body, seconds."""
        self._store, self._settings, self._silence_s = store, settings, silence_s
        self._limits = Limits(
            settings.bytes_max, settings.account_files_max, settings.account_bytes_max
        )
        self._under_way = 0

    async def take(self, owner: Owner, body: AsyncIterable[bytes], boundary: bytes) -> StoredFile:
        """The file of a multipart body; raises ApiError 400, 408, 413, 429 or 503."""
        if self._under_way >= self._settings.uploads_max:
            message = f"This process takes {self._settings.uploads_max} uploads already: try again."
            raise unavailable("uploads_busy", message)
        self._under_way += 1
        writing = Writing(self._store, owner, new_uuid7(), self._limits)
        form = _Form(writing)
        made: StoredFile | None = None
        try:
            await writing.begin(PURPOSE)
            async with asyncio.timeout(UPLOAD_S):
                async for piece in pieces_of(_in_time(body, self._silence_s), boundary):
                    await form.take(piece)
            expires_s = form.expires_s()
            made = await writing.finish(form.name, expires_s)
        except TimeoutError:
            message = "The file did not arrive in time. Nothing was stored: send it again."
            raise ApiError(408, "request_timeout", message) from None
        finally:
            self._under_way -= 1
            if made is None:
                await asyncio.shield(writing.drop())
        return made


class _Form:
    """The fields of an upload, checked."""

    def __init__(self, writing: Writing) -> None:
        """None came yet; a field may come before the file or behind it."""
        self._writing = writing
        self._fields: dict[str, bytes] = {}
        self._named: str | None = None

    @property
    def name(self) -> str:
        """What the file is called, as far as that is a text."""
        shown = "".join(filter(str.isprintable, self._named or ""))
        return shown[:NAME_CHARACTERS_MAX] or "file"

    async def take(self, piece: Piece) -> None:
        """Another piece of the body; raises ApiError."""
        if piece.name == FILE_PART:
            if self._named is None:
                self._named = piece.filename or FILE_PART
            await self._writing.write(piece.data)
            if piece.last:
                self._fields.setdefault(FILE_PART, b"")
            return
        held = self._fields.get(piece.name, b"") + piece.data
        if len(held) > FIELD_BYTES_MAX:
            message = f"{piece.name[:NAME_CHARACTERS_MAX]} is longer than {FIELD_BYTES_MAX} bytes."
            raise bad_request("invalid_value", message)
        self._fields[piece.name] = held

    def expires_s(self) -> int:
        """How long the file lives, seconds, once all fields are there; raises ApiError 400."""
        if FILE_PART not in self._fields:
            message = "There is no part named file: send the file as multipart/form-data."
            raise bad_request("missing_file", message, FILE_PART)
        if self._fields.get(PURPOSE_PART) != PURPOSE.encode():
            message = "purpose must be batch: files are stored here for batches alone."
            raise bad_request("invalid_value", message, PURPOSE_PART)
        anchor, seconds = self._fields.get(ANCHOR), self._fields.get(SECONDS)
        if anchor is None and seconds is None:
            return EXPIRES_S_MAX
        text = (seconds or b"").decode("ascii", "replace")
        return expiry_of((anchor or b"").decode("ascii", "replace"), text)


def expiry_of(anchor: str, seconds: str | int, param: str = "expires_after") -> int:
    """The seconds of an `expires_after`; raises ApiError 400."""
    text = str(seconds)
    count = int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else 0
    if anchor != "created_at" or not EXPIRES_S_MIN <= count <= EXPIRES_S_MAX:
        message = (
            f"{param} must have the anchor created_at, and seconds between {EXPIRES_S_MIN} and "
            f"{EXPIRES_S_MAX}."
        )
        raise bad_request("invalid_value", message, param)
    return count


async def _in_time(body: AsyncIterable[bytes], silence_s: float) -> AsyncIterator[bytes]:
    """The pieces of a body, none of which may be late; raises TimeoutError."""
    pieces = aiter(body)
    while True:
        try:
            async with asyncio.timeout(silence_s):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        yield piece


def told_file(file: StoredFile) -> dict[str, object]:
    """A file as OpenAI's `OpenAIFile` tells it."""
    return {
        "id": shown_id(FILE, file.file_id),
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()),
        "filename": file.about.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
