"""An upload becomes a stored file: its form waits on the disk, then it is sealed chunk by chunk."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from command_api.files.ids import FILE, shown_id
from command_api.files.store import CHUNK_BYTES, About
from command_api.uploads.multipart import bad_form
from command_api.uploads.reading import UploadLimits, read_form
from edge.asgi import header_of
from edge.errors import RATE_LIMIT, ApiError, bad_request, unavailable
from event_store.ids import new_uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.files.store import FileStore, Owner, StoredFile
    from command_api.settings.calls import RequestSettings
    from command_api.settings.work.batches import FileSettings
    from command_api.uploads.reading import UploadedForm
    from command_api.uploads.spool import SpooledFile, UploadRoom
    from edge.asgi import Receive, Scope

PURPOSE = "batch"
"""The one purpose of an upload that anything here is made for."""
EXPIRES_S_MIN, EXPIRES_S_MAX = 3_600, 2_592_000
"""What OpenAI's `FileExpirationAfter` allows; a file of a batch lives as long by itself."""
DIGITS_MAX = 9
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
PURPOSE_FIELD = "purpose"
FIELDS = frozenset({PURPOSE_FIELD, ANCHOR, SECONDS})
"""What a form may have beside its file."""
SHOWN_CHARACTERS = 64


class Limits(NamedTuple):
    """The named maxima of an account's files; None for what the gateway writes itself."""

    files: int | None
    all_bytes: int | None


UNLIMITED = Limits(None, None)


class Writing:
    """A file that is being made: what comes is kept until it fills a chunk."""

    def __init__(self, store: FileStore, owner: Owner, file_id: UUID, limits: Limits) -> None:
        """Nothing is stored yet."""
        self._store, self._owner, self._limits = store, owner, limits
        self.file_id = file_id
        self._held, self._number = bytearray(), 0
        self._digest = hashlib.sha256()

    async def begin(self, purpose: str) -> None:
        """Raises ApiError 429 where the account has as many as it may, 503."""
        if not await self._store.begin(self._owner, self.file_id, purpose, self._limits.files):
            message = (
                f"Your account has {self._limits.files} files, which is the most: delete some, or "
                "wait until they expire."
            )
            raise ApiError(429, "too_many_files", message, kind=RATE_LIMIT)

    async def write(self, data: bytes) -> None:
        """More of it; raises ApiError 400, 429 or 503."""
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

    def __init__(
        self, store: FileStore, settings: FileSettings, requests: RequestSettings, room: UploadRoom
    ) -> None:
        """`room` is that of all forms with a file; those that came whole are stored in turn."""
        self._store, self._room = store, room
        self._form = UploadLimits(
            settings.bytes_max, requests.upload_timeout_s, requests.upload_dir
        )
        self._limits = Limits(settings.account_files_max, settings.account_bytes_max)
        self._turns = asyncio.Semaphore(settings.uploads_max)

    async def take(self, owner: Owner, scope: Scope, receive: Receive) -> StoredFile:
        """The file of a form; raises ApiError 400, 408, 413, 429 or 503, ClientGoneError."""
        declared = header_of(scope, b"content-length")
        form = await read_form(scope, declared, receive, self._room, self._form)
        try:
            expires_s = expires_s_of(form)
            async with self._turns:
                return await self._stored(owner, form, expires_s)
        finally:
            form.file.close()

    async def _stored(self, owner: Owner, form: UploadedForm, expires_s: int) -> StoredFile:
        writing = Writing(self._store, owner, new_uuid7(), self._limits)
        made: StoredFile | None = None
        try:
            await writing.begin(PURPOSE)
            for offset in range(0, form.file.size, CHUNK_BYTES):
                await writing.write(await _read(form.file, offset))
            made = await writing.finish(form.file_name, expires_s)
        finally:
            if made is None:
                await asyncio.shield(writing.drop())
        return made


async def _read(file: SpooledFile, offset: int) -> bytes:
    """A chunk of what waits on the disk. Nobody may close it while a thread reads."""
    reading = asyncio.ensure_future(asyncio.to_thread(file.read, offset, CHUNK_BYTES))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        with suppress(OSError):
            await reading
        raise


def expires_s_of(form: UploadedForm) -> int:
    """How long the file lives, seconds, once its other fields are right; raises ApiError 400."""
    found: dict[str, str] = {}
    for name, value in form.fields:
        if name not in FIELDS:
            shown, there = name[:SHOWN_CHARACTERS], ", ".join(("file", *sorted(FIELDS)))
            message = f"Unknown parameter: {shown!r}. There are: {there}."
            raise bad_request("unknown_parameter", message, shown)
        if name in found:
            message = f"The field `{name}` comes more than once."
            raise bad_form(message, name)
        found[name] = value
    if found.get(PURPOSE_FIELD) != PURPOSE:
        message = "purpose must be batch: files are stored here for batches alone."
        raise bad_request("invalid_value", message, PURPOSE_FIELD)
    if ANCHOR not in found and SECONDS not in found:
        return EXPIRES_S_MAX
    return expiry_of(found.get(ANCHOR, ""), found.get(SECONDS, ""))


def expiry_of(anchor: str, seconds: str | int, param: str = "expires_after") -> int:
    """The seconds of an `expires_after`; raises ApiError 400."""
    text = str(seconds)
    count = int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX else 0
    if anchor != "created_at" or not EXPIRES_S_MIN <= count <= EXPIRES_S_MAX:
        message = (
            f"{param} must have the anchor created_at, and seconds between {EXPIRES_S_MIN} and "
            f"{EXPIRES_S_MAX}."
        )
        raise bad_request("invalid_value", message, param)
    return count


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
