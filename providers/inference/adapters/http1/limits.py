"""What an operator may bound of an upstream's replies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Time in seconds, size in bytes."""

    connect_s: float = 5.0
    silence_s: float = 120.0
    attempt_s: float = 600.0
    reply_bytes_max: int = 64 * 1024 * 1024
    idle_connection_s: float = 15.0
