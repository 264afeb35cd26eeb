"""Who calls, and how a route of either side asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the key's state, with its ids as the hot path needs them."""

    key_id: str
    user_id: str
    account_id: str
    account: bytes
    masked: str
    envelope: bytes
    """The part of a hold's event that is the same for every call of this key."""
    key: bytes = b""
    user: bytes = b""
    """Both ids again, as entries of the append have them: what quotas bind by."""


Authenticate = Callable[[bytes], Awaitable[Caller]]
"""The caller behind an Authorization header; raises ApiError 401 or 503."""
