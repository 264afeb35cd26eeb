"""Writes a form with files as multipart/form-data (RFC 7578), a piece at a time."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.inference.port import Form, FormFile

PIECE_BYTES = 256 * 1024
"""So much of a file is in memory while it is sent."""
BOUNDARY_BYTES = 24
"""Random, so that no file can hold it: who sent the file never learns it."""


class WrittenForm:
    """A form as it is sent."""

    def __init__(self, form: Form) -> None:
        """Its boundary is its own."""
        boundary = secrets.token_hex(BOUNDARY_BYTES)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        mark = f"--{boundary}\r\n"
        head = "".join(
            f'{mark}Content-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
            for name, value in form.fields
        )
        self._files: list[tuple[bytes, FormFile]] = []
        for each in form.files:
            head += (
                f'{mark}Content-Disposition: form-data; name="{_quoted(each.field)}"; '
                f'filename="{_quoted(each.name)}"\r\nContent-Type: {each.kind}\r\n\r\n'
            )
            self._files.append((head.encode(), each))
            head = "\r\n"
        self._tail = f"{head}--{boundary}--\r\n".encode()
        self.size = sum(len(before) + file.size for before, file in self._files) + len(self._tail)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from its beginning; raises UpstreamError where a file is gone."""
        for before, file in self._files:
            yield before
            at = 0
            while at < file.size:
                try:
                    piece = await asyncio.to_thread(file.read, at, min(PIECE_BYTES, file.size - at))
                except OSError as error:
                    message = "the file is gone"
                    raise UpstreamError(message) from error
                if not piece:
                    message = "the file is shorter than it was"
                    raise UpstreamError(message)
                at += len(piece)
                yield piece
        yield self._tail


def _quoted(text: str) -> str:
    """As browsers write names (WHATWG HTML, multipart/form-data encoding algorithm)."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
