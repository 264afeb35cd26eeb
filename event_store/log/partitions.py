"""Which partition an event belongs to: its account's, else its stream's.

Decided here alone, from what is stored: the relay, the follower and verification ask with the
same bytes, so that progress by partition means the same to each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from uuid import UUID

_ACCOUNT = b'"account_id":"'
_UUID_CHARACTERS = 36


def partition_key(stream: UUID, state: bytes) -> str:
    """The account (a UUID) an event belongs to, else its stream; read from the stored JSON.

    Within a JSON string a quotation mark is escaped, so the member's name cannot be mistaken
    for text that somebody sent.
    """
    at = state.find(_ACCOUNT)
    if at < 0:
        return str(stream)
    start = at + len(_ACCOUNT)
    end = start + _UUID_CHARACTERS
    if state[end : end + 1] != b'"':
        return str(stream)
    return state[start:end].decode("ascii", "replace")


def account_mark(account: UUID) -> bytes:
    """What stands in the stored JSON of an account's events, and of no others."""
    return b'%b%b"' % (_ACCOUNT, str(account).encode())


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: CRC-32 modulo their number."""
    return crc32(key.encode()) % partitions if partitions > 1 else 0
