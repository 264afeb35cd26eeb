"""The digest of a body: of its JSON with sorted members, so that white space does not matter."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE_BYTES = 64 * 1024
"""So much of a body is read and written at once."""
SPLIT_DEPTH = 5
"""So deep a body is cut into its parts: a message's content lies at 4."""
PARTS_MAX = 1_000_000
"""What has more parts is read at once: to hold each by itself would take more memory."""
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def canonical_digest(raw: bytes) -> bytes:
    """SHA-256 of the body's JSON with sorted members."""
    parsed = msgspec.json.decode(raw)
    return hashlib.sha256(msgspec.json.encode(parsed, order="sorted")).digest()


async def digest_of(raw: bytes, slice_bytes: int = SLICE_BYTES) -> bytes:
    """The same as `canonical_digest`; a large body's in slices, between which calls go on."""
    if len(raw) <= slice_bytes:
        return canonical_digest(raw)
    digest, since = hashlib.sha256(), 0
    for piece in _pieces(raw, SPLIT_DEPTH, slice_bytes):
        digest.update(piece)
        since += len(piece)
        if since >= slice_bytes:
            since = 0
            await asyncio.sleep(0)
    return digest.digest()


def _pieces(raw: bytes, depth: int, slice_bytes: int) -> Iterator[bytes]:
    """The body's JSON with sorted members, some tens of kilobytes at a time where it has parts."""
    if len(raw) > slice_bytes and depth and raw.count(b",") <= PARTS_MAX:
        if raw.startswith(b"{"):
            members = _decode_members(raw)
            for number, name in enumerate(sorted(members)):
                yield (b"," if number else b"{") + msgspec.json.encode(name) + b":"
                yield from _pieces(bytes(members[name]), depth - 1, slice_bytes)
            yield b"}" if members else b"{}"
            return
        if raw.startswith(b"["):
            yield from _list_pieces(_decode_items(raw), depth, slice_bytes)
            return
    yield msgspec.json.encode(msgspec.json.decode(raw), order="sorted")


def _list_pieces(items: list[msgspec.Raw], depth: int, slice_bytes: int) -> Iterator[bytes]:
    """Small items are taken together."""
    start = b"["
    together: list[bytes] = []
    size = 0
    for item in map(bytes, items):
        if size + len(item) > slice_bytes and together:
            yield start + _inner(together)
            start, together, size = b",", [], 0
        if len(item) > slice_bytes:
            yield start
            yield from _pieces(item, depth - 1, slice_bytes)
            start = b","
        else:
            together.append(item)
            size += len(item)
    yield start + _inner(together) if together else b""
    yield b"]" if items else b"[]"


def _inner(items: list[bytes]) -> bytes:
    """Items of a list, without its brackets."""
    read = msgspec.json.decode(b"[" + b",".join(items) + b"]")
    return msgspec.json.encode(read, order="sorted")[1:-1]
