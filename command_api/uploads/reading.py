"""Reads a request's form: fields to memory, its files to the disk, as fast as they come.

All files of a form lie behind one another in one file on the disk, in the order in which they came.
"""

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
from edge.errors import SERVER, ApiError, file_too_large

if TYPE_CHECKING:
    from pathlib import Path

    from edge.asgi import Receive, Scope

FILE = "file"
WRITE_BYTES = 256 * 1024
"""So much of a file is in memory before it is written."""
FORM_BYTES_MAX = 512 * 1024
"""Most of a body that is not its file."""


class UploadedFile(NamedTuple):
    """One file of a form: its field, its name and type, and where in the spooled file it lies."""

    field: str
    name: str
    kind: str
    start: int
    size: int


class UploadedForm(NamedTuple):
    """A form: fields in the order in which they came, and its files; `file` holds all of those."""

    fields: tuple[tuple[str, str], ...]
    file: SpooledFile
    files: tuple[UploadedFile, ...]

    def read(self, file: UploadedFile, offset: int, size: int) -> bytes:
        """A piece of one file; for a thread. Raises OSError once it is closed."""
        return self.file.read(file.start + offset, min(size, file.size - offset))

    @property
    def file_name(self) -> str:
        """Of the first one."""
        return self.files[0].name

    @property
    def file_kind(self) -> str:
        """Of the first one."""
        return self.files[0].kind


class FormFiles(NamedTuple):
    """Which fields of a form may be files, how many of them, and how many of the largest fit."""

    fields: tuple[str, ...]
    """The first of them must be there, or the second, where that is the first as a list."""
    most: int
    """Of the first, as a list or not; of any other field there is one."""
    full_size: int

    @property
    def required(self) -> tuple[str, ...]:
        """Fields of which one is a file of every form."""
        return tuple(each for each in self.fields if each.removesuffix("[]") == self.fields[0])

    def most_of(self, name: str) -> tuple[int, tuple[str, ...]]:
        """How many files a field may have, together with which others."""
        return (self.most, self.required) if name in self.required else (1, (name,))


ONE_FILE = FormFiles((FILE,), 1, 1)


class UploadLimits(NamedTuple):
    """What a form may hold, bytes of each file, and take, seconds; where its files wait."""

    file_bytes_max: int
    timeout_s: float
    directory: Path | None
    files: FormFiles = ONE_FILE

    @property
    def all_bytes_max(self) -> int:
        """Of all files together."""
        return self.file_bytes_max * self.files.full_size


async def read_form(
    scope: Scope, declared: bytes, receive: Receive, room: UploadRoom, limits: UploadLimits
) -> UploadedForm:
    """The form of a body; raises ApiError 400, 408, 413 or 503, ClientGoneError.

    Its spooled file is the caller's to close.
    """
    boundary = boundary_of(header_of(scope, b"content-type"))
    if declared.isdigit() and int(declared) > limits.all_bytes_max + FORM_BYTES_MAX:
        raise file_too_large(limits.all_bytes_max, limits.files.fields[0])
    try:
        file = await asyncio.to_thread(SpooledFile, room, limits.directory)
    except OSError:
        raise _no_disk() from None
    taking = _Taking(FormReader(boundary), file, limits)
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

    def __init__(self, reader: FormReader, file: SpooledFile, limits: UploadLimits) -> None:
        self._reader, self._file, self._limits = reader, file, limits
        self._buffer = bytearray()
        self._open: Part | None = None
        self._named: list[tuple[Part, int]] = []
        """Each file, and where it begins."""
        self._values: list[tuple[str, bytearray]] = []
        self._small = self._received = 0

    async def take(self, piece: bytes) -> None:
        """Read on; raises ApiError 400, 413 or 503, OSError."""
        self._received += len(piece)
        most = self._limits.all_bytes_max
        if self._received > most + FORM_BYTES_MAX:
            raise file_too_large(most, self._limits.files.fields[0])
        for each in self._reader.feed(piece):
            if isinstance(each, Part):
                self._begin(each)
            elif self._named and self._open is self._named[-1][0]:
                self._add_to_file(each)
            else:
                self._add_to_field(each)
        if len(self._buffer) >= WRITE_BYTES:
            await self.flush()

    def _begin(self, part: Part) -> None:
        self._open = part
        files = self._limits.files
        if part.name in files.fields:
            if part.file_name is None:
                message = f"The field `{part.name}` comes without a file name: send a file."
                raise bad_form(message, part.name)
            most, alike = files.most_of(part.name)
            if sum(each.name in alike for each, _ in self._named) >= most:
                message = f"The form holds more than {most} files of `{part.name}`: send fewer."
                if most == 1:
                    message = f"The field `{part.name}` comes more than once: send one file."
                raise bad_form(message, part.name)
            self._named.append((part, self._file.size))
        elif part.file_name is not None:
            names = ", ".join(f"`{each}`" for each in files.fields)
            message = f"Only {names} may be a file."
            raise bad_form(message, part.name)
        else:
            self._values.append((part.name, bytearray()))

    def _add_to_file(self, data: bytes) -> None:
        part, start = self._named[-1]
        limits = self._limits
        if self._file.size - start + len(data) > limits.file_bytes_max:
            raise file_too_large(limits.file_bytes_max, part.name)
        if self._file.size + len(data) > limits.all_bytes_max:
            raise file_too_large(limits.all_bytes_max, limits.files.fields[0])
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
        required = self._limits.files.required
        if not any(part.name in required for part, _ in self._named):
            message = f"The field `{required[0]}` is missing: send it."
            raise bad_form(message, required[0])
        files = self._files()
        for each in files:
            if not each.size:
                message = f"The file of `{each.field}` is empty."
                raise bad_form(message, each.field)
        try:
            fields = tuple((name, bytes(value).decode()) for name, value in self._values)
        except UnicodeDecodeError:
            message = "A field of the form is not UTF-8."
            raise bad_form(message) from None
        return UploadedForm(fields, self._file, files)

    def _files(self) -> tuple[UploadedFile, ...]:
        ends = [start for _, start in self._named[1:]] + [self._file.size]
        return tuple(
            UploadedFile(part.name, part.file_name or FILE, part.kind, start, end - start)
            for (part, start), end in zip(self._named, ends, strict=True)
        )
