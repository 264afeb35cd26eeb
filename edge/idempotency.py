"""The header by which a client says that a request is the same as one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.asgi import header_of
from edge.errors import bad_request

if TYPE_CHECKING:
    from edge.asgi import Scope

KEY_CHARACTERS_MAX = 255


def idempotency_key_of(scope: Scope) -> str | None:
    """The value of Idempotency-Key; raises ApiError 400 for one that is none."""
    raw = header_of(scope, b"idempotency-key")
    if not raw:
        return None
    key = raw.decode("latin-1")
    if not key.isascii() or not key.isprintable() or len(key) > KEY_CHARACTERS_MAX:
        message = f"Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} printable ASCII characters."
        raise bad_request("invalid_idempotency_key", message)
    return key
