"""Who calls a route of the framework: with an API key, or with a session's access token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_api.identity.key_ring import KeyRing
    from command_api.sign_in.commands import SignIn
    from edge.caller import Caller

BEARER = b"bearer "
DOTS = 2
"""A JWT in compact form has three parts (RFC 7519, 3); no API key has a dot."""
TOKEN_BYTES_MAX = 2_048


class Callers:
    """Tells the two apart by their form."""

    def __init__(self, keys: KeyRing, sign_in: SignIn) -> None:
        """Each knows its own."""
        self._keys, self._sign_in = keys, sign_in

    async def authenticate(self, authorization: bytes, origin: str) -> Caller:
        """The caller, who asks from an address; raises ApiError 401, 429 or 503."""
        token = authorization[len(BEARER) :]
        if (
            authorization[: len(BEARER)].lower() == BEARER
            and token.count(b".") == DOTS
            and len(token) <= TOKEN_BYTES_MAX
            and token.isascii()
        ):
            return await self._sign_in.caller(token.decode())
        return await self._keys.authenticate(authorization, origin)
