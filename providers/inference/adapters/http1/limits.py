"""What bounds an upstream's replies: what an operator may set, and what he need not."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from providers.inference.adapters.http1.pool import ConnectionRoom

HEADERS_MAX = 100
"""Most header lines of one exchange: interim responses and trailers count with the rest."""
FRAMING_BYTES_MAX = 64 * 1024
"""Most bytes of a reply that are no body: status lines, headers, chunk sizes and extensions,
trailers. Each byte of the body makes room for `FRAMING_BYTES_PER_BODY_BYTE` more, as chunks of one
byte need.
"""
FRAMING_BYTES_PER_BODY_BYTE = 16
IDLE_CONNECTIONS_MAX = 512
"""Most idle connections of one client, where nobody says another number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Time in seconds, size in bytes."""

    connect_s: float = 5.0
    silence_s: float = 120.0
    attempt_s: float = 600.0
    reply_bytes_max: int = 64 * 1024 * 1024
    idle_connection_s: float = 15.0
    name: str = ""
    """Of the provider, for whoever looks at its connections."""
    connections_max: int = sys.maxsize
    """Most connections of one client, idle ones included."""
    idle_max: int = IDLE_CONNECTIONS_MAX
    wait_s: float = 5.0
    """Longest wait for one of them."""
    room: ConnectionRoom = field(default_factory=ConnectionRoom, compare=False)
    """Shared by all clients that have these limits."""
