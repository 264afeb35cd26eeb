"""Reads a request's form: fields to memory, its one file to the disk, as fast as both come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from command_api.uploads.multipart import (
    FIELD_BYTES_MAX,
    FormReader,
    Part,
    bad_form,
    boundary_of,
)
from command_api.uploads.spool import SpooledFile, UploadRoom
from edge.asgi import LET_GO, WHOLE_BODY, ClientGoneError, body_too_slow, header_of
from edge.errors import SERVER, ApiError, too_large

if TYPE_CHECKING:
    from pathlib import Path

    from edge.asgi import Receive, Scope

FILE = "file"
WRITE_BYTES = 256 * 1024
"""So much of a file is in memory before it is written."""
FORM_BYTES_MAX = 512 * 1024
"""Most of a body that is not its file."""


class UploadedForm(NamedTuple):
    """A form: fields in the order in which they came, and its file."""

    fields: tuple[tuple[str, str], ...]
    file: SpooledFile
    file_name: str
    file_kind: str


class UploadLimits(NamedTuple):
    """What a form may hold, bytes, and take, seconds; where its file waits."""

    file_bytes_max: int
    timeout_s: float
    directory: Path | None


async def read_form(
    scope: Scope, declared: bytes, receive: Receive, room: UploadRoom, limits: UploadLimits
) -> UploadedForm:
    """The form of a body; raises ApiError 400, 408, 413 or 503, ClientGoneError.

    The file is the caller's to close.
    """
    boundary = boundary_of(header_of(scope, b"content-type"))
    if declared.isdigit() and int(declared) > limits.file_bytes_max + FORM_BYTES_MAX:
        raise too_large(limits.file_bytes_max)
    try:
        file = await asyncio.to_thread(SpooledFile, room, limits.directory)
    except OSError:
        raise _no_disk() from None
    taking = _Taking(FormReader(boundary), file, limits.file_bytes_max)
    try:
        async with asyncio.timeout(limits.timeout_s):
            await _read(scope, receive, taking)
        return taking.form()
    except BaseException as error:
        file.close()
        if isinstance(error, TimeoutError):
            raise body_too_slow(limits.timeout_s) from None
        if isinstance(error, OSError):
            raise _no_disk() from None
        raise


def _no_disk() -> ApiError:
    message = "The file cannot be kept while it is sent on. Nothing was charged: try again."
    return ApiError(503, "too_many_bodies", message, kind=SERVER, headers={"retry-after": "5"})


async def _read(scope: Scope, receive: Receive, taking: _Taking) -> None:
    whole: bytes | None = scope.pop(WHOLE_BODY, None)
    more = whole is None
    if whole is not None:
        await taking.take(whole)
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        # What was received goes to the disk: the room in memory is for what comes next.
        if (give_back := scope.get(LET_GO)) is not None:
            give_back()
        more = message.get("more_body", False)
        await taking.take(message.get("body", b""))
    await taking.flush()


class _Taking:
    """A form that is being read."""

    def __init__(self, reader: FormReader, file: SpooledFile, bytes_max: int) -> None:
        self._reader, self._file, self._bytes_max = reader, file, bytes_max
        self._buffer = bytearray()
        self._open: Part | None = None
        self._named: Part | None = None
        self._values: list[tuple[str, bytearray]] = []
        self._small = self._received = 0

    async def take(self, piece: bytes) -> None:
        """Read on; raises ApiError 400, 413 or 503, OSError."""
        self._received += len(piece)
        if self._received > self._bytes_max + FORM_BYTES_MAX:
            raise too_large(self._bytes_max)
        for each in self._reader.feed(piece):
            if isinstance(each, Part):
                self._begin(each)
            elif self._open is self._named:
                self._add_to_file(each)
            else:
                self._add_to_field(each)
        if len(self._buffer) >= WRITE_BYTES:
            await self.flush()

    def _begin(self, part: Part) -> None:
        self._open = part
        if part.name == FILE:
            if part.file_name is None or self._named is not None:
                what = "more than once" if self._named else "without a file name"
                message = f"The field `file` comes {what}: send one file."
                raise bad_form(message, FILE)
            self._named = part
        elif part.file_name is not None:
            message = "Only the field `file` may be a file."
            raise bad_form(message)
        else:
            self._values.append((part.name, bytearray()))

    def _add_to_file(self, data: bytes) -> None:
        if self._file.size + len(data) > self._bytes_max:
            raise too_large(self._bytes_max)
        self._file.take(len(data))
        self._buffer += data

    def _add_to_field(self, data: bytes) -> None:
        self._small += len(data)
        if self._small > FIELD_BYTES_MAX:
            message = f"The fields of the form are larger than {FIELD_BYTES_MAX} bytes together."
            raise bad_form(message)
        self._values[-1][1].extend(data)

    async def flush(self) -> None:
        """Write what waits; raises OSError."""
        if self._buffer:
            made, self._buffer = bytes(self._buffer), bytearray()
            writing = asyncio.ensure_future(asyncio.to_thread(self._file.write, made))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # Nobody may close the file while a thread writes to it.
                with suppress(OSError):
                    await writing
                raise

    def form(self) -> UploadedForm:
        """All of it; raises ApiError 400 for one that ended early, or has no file."""
        if not self._reader.done:
            message = "The form ends before its last boundary."
            raise bad_form(message)
        if self._named is None:
            message = "The field `file` is missing: send it."
            raise bad_form(message, FILE)
        if not self._file.size:
            message = "The file is empty."
            raise bad_form(message, FILE)
        try:
            fields = tuple((name, bytes(value).decode()) for name, value in self._values)
        except UnicodeDecodeError:
            message = "A field of the form is not UTF-8."
            raise bad_form(message) from None
        return UploadedForm(fields, self._file, self._named.file_name or FILE, self._named.kind)
