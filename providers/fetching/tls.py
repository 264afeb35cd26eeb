"""Whom we believe over TLS: the authorities of the machine, or of the file that stands for them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl


@cache
def authorities() -> ssl.SSLContext:
    """What httpx would make for each client by itself: reading all certificates stalls the loop."""
    return httpx.create_ssl_context()
