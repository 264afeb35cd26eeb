"""What a connection may send, and how long it may take."""

from __future__ import annotations

from typing import NamedTuple

HEADERS_MAX = 128
"""Most header fields of a request, and most trailers behind it."""
URL_BYTES_MAX = 8 * 1024
"""Longest request target (RFC 9112, 3, asks for 8,000 at least)."""
PIPELINED_MAX = 64
"""Most requests of a connection that wait for the answer to an earlier one."""
CLOSED_SHARE = 16
"""When connections are too many, this part of the maximum is closed at once."""
TOLD_MAX = 16
"""Most connections above the maximum, which are there to be told so."""
LINGER_S = 2.0
"""How long a connection is still read after its last answer: closing it earlier would reset it,
and the answer could be lost with it (RFC 9112, 9.6)."""
DISCARDED_BYTES_MAX = 64 * 2**20
"""Most that is read of a request that was answered already, and dropped."""

SLICE_BYTES = 64 * 1024
"""Most of a reply that is written before it is asked whether the client keeps up."""
READ_BYTES_MIN = 16 * 1024
"""Least that a client reads of a waiting reply in each write time-out."""
READ_TIMEOUTS_MAX = 16
"""A client reads so fast that what waits for it is read within so many write time-outs."""


class FrontLimits(NamedTuple):
    """What an operator may change; sizes in bytes, times in seconds."""

    connections_max: int = 4_096
    head_bytes_max: int = 32 * 1024
    head_timeout_s: float = 10.0
    keep_alive_s: float = 65.0
    write_timeout_s: float = 30.0
    """How long a client may read next to nothing of a reply that waits."""
    buffer_bytes: int = 64 * 1024
    """What may wait to be written on one connection before its sender waits."""
    reply_s: float = 600.0
    """How long a reply may wait altogether, however much of it is read now and then."""
