"""Writes a form with one file as multipart/form-data (RFC 7578), a piece at a time."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.inference.port import Form

PIECE_BYTES = 256 * 1024
"""So much of the file is in memory while it is sent."""
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
        head += (
            f'{mark}Content-Disposition: form-data; name="file"; '
            f'filename="{_quoted(form.file_name)}"\r\nContent-Type: {form.file_kind}\r\n\r\n'
        )
        self._form = form
        self._head, self._tail = head.encode(), f"\r\n--{boundary}--\r\n".encode()
        self.size = len(self._head) + form.size + len(self._tail)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from its beginning; raises UpstreamError where the file is gone."""
        yield self._head
        at, form = 0, self._form
        while at < form.size:
            try:
                piece = await asyncio.to_thread(form.read, at, min(PIECE_BYTES, form.size - at))
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
