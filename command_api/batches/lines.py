"""The lines of a batch's file: read one by one in bounded memory, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from command_api.operations.table import ROUTES
from edge.body import decode_any, decode_body, decode_members
from edge.errors import ApiError
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

BOM = b"\xef\xbb\xbf"
CUSTOM_ID_CHARACTERS_MAX = 512
WRAPPING_BYTES = 16 * 1024
"""What a line may hold beside a body of the largest size, bytes."""
SHOWN_CHARACTERS = 80
ENDPOINTS = {
    route.path: route
    for route in ROUTES
    if route.form is None and route.operation not in (Operation.IMAGES, Operation.SPEECH)
}
"""What the lines of a batch may call, each with its route: no files, no links that end, and no
answers that are not JSON.
"""
WITHOUT_MODEL = frozenset({Operation.MODERATIONS})
"""Operations whose body need not name a model: they have one of their own."""
REFUSED = {
    "stream": "a batch answers whole: leave stream out",
    "background": "a batch is in the background itself: leave background out",
}
"""Members of a body that make another kind of call, and what is said of them where one is true."""


class Line(NamedTuple):
    """A line by its number in the file, from 1 on; None where it is longer than a line may be."""

    number: int
    raw: bytes | None


class LineError(Exception):
    """Why a line is none; told as OpenAI's `BatchError`."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        """`param` is the member that is wrong."""
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


class Asked(msgspec.Struct):
    """A line as it is written (OpenAI's `BatchRequestInput`)."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_decode = msgspec.json.Decoder(Asked).decode


async def lines_of(chunks: AsyncIterable[bytes], bytes_max: int) -> AsyncIterator[Line]:
    """The lines that are not blank; kept at any time: one of them, and one chunk.

    Lines end with LF or CRLF; a BOM before the first counts as nothing.
    """
    held, too_long, number = bytearray(), False, 0
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            number += 1
            if not too_long:
                held += part
            found = None if too_long or len(held) > bytes_max else _stripped(bytes(held), number)
            held, too_long = bytearray(), False
            if found != b"":
                yield Line(number, found)
        if not too_long:
            held += rest
            if len(held) > bytes_max:
                held, too_long = bytearray(), True
    found = None if too_long else _stripped(bytes(held), number + 1)
    if found != b"":
        yield Line(number + 1, found)


def _stripped(raw: bytes, number: int) -> bytes:
    return (raw.removeprefix(BOM) if number == 1 else raw).strip()


def parse_line(raw: bytes | None, endpoint: str) -> Asked:
    """A checked line; raises LineError."""
    if raw is None:
        message = "The line is longer than a request may be."
        raise LineError("line_too_long", message)
    asked = _read(raw)
    if not 0 < len(asked.custom_id) <= CUSTOM_ID_CHARACTERS_MAX:
        message = f"custom_id must have 1 to {CUSTOM_ID_CHARACTERS_MAX} characters."
        raise LineError("invalid_custom_id", message, "custom_id")
    if asked.method != "POST":
        raise LineError("invalid_method", "method must be POST.", "method")
    if asked.url != endpoint:
        message = f"url must be the batch's endpoint, {endpoint}, and is not."
        raise LineError("mismatched_endpoint", message, "url")
    _check_body(asked.body, ENDPOINTS[endpoint].operation)
    return asked


def _read(raw: bytes) -> Asked:
    try:
        return decode_body(_decode, raw)
    except ApiError as error:
        code = "invalid_json_line" if error.code == "invalid_json" else error.code
        raise LineError(code, error.message, error.param) from None


def _check_body(raw: msgspec.Raw, operation: Operation) -> None:
    try:
        members = decode_members(raw)
    except (msgspec.MsgspecError, RecursionError):
        raise LineError("invalid_body", "body must be an object.", "body") from None
    model = bytes(members.get("model", b""))
    named = model.startswith(b'"') and model != b'""'
    if not named and (model or operation not in WITHOUT_MODEL):
        raise LineError("missing_model", "body must name a model.", "body.model")
    for name, why in REFUSED.items():
        if name in members and decode_any(members[name]) not in (False, None):
            code, message = f"{name}_not_supported", f"{name} is set, but {why}."
            raise LineError(code, message, f"body.{name}")
