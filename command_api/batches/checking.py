"""The check of a whole file before any of its lines is called, as OpenAI's validation."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from command_api.batches.lines import LineError, parse_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from command_api.batches.lines import Line

ERRORS_MAX = 100
"""Most errors that are told of a file; with so many the rest is not looked at."""
LINES_AT_ONCE = 200
"""Lines that are checked before others get their turn."""
ID_DIGEST_BYTES = 16


class BatchError(msgspec.Struct, frozen=True):
    """What is wrong with a file, as OpenAI's `BatchError` tells it."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Checked(NamedTuple):
    """How many requests a file has, and what is wrong with it."""

    requests: int
    errors: list[BatchError]


async def check_file(lines: AsyncIterable[Line], endpoint: str, lines_max: int) -> Checked:
    """Look at every line; in memory are digests of the ids, and the errors."""
    seen: set[bytes] = set()
    errors: list[BatchError] = []
    count = 0
    async for line in lines:
        count += 1
        if count > lines_max:
            message = f"The file has more than {lines_max} requests."
            return Checked(count, [BatchError("too_many_lines", message)])
        try:
            asked = parse_line(line.raw, endpoint)
            digest = hashlib.blake2b(asked.custom_id.encode(), digest_size=ID_DIGEST_BYTES).digest()
            if digest in seen:
                message = "Another line before it has the same custom_id."
                raise LineError("duplicate_custom_id", message, "custom_id")
            seen.add(digest)
        except LineError as error:
            errors.append(BatchError(error.code, error.message, error.param, line.number))
            if len(errors) == ERRORS_MAX:
                break
        if count % LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
    if not count:
        errors.append(BatchError("empty_file", "The file has no requests."))
    return Checked(count, errors)
