"""What a person who signed in shows: an access token for minutes, a refresh token for weeks.

The access token is a JWT (RFC 7519) of HS256; the refresh token names its session and generation,
and is signed too, so that a database alone makes none. Both end with the installation's secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from edge.errors import AUTHENTICATION, ApiError

if TYPE_CHECKING:
    from datetime import datetime

ALGORITHM = "HS256"
ISSUER = "gatewayz"
KIND = "access"
SKEW_S = 30
"""How far the clocks of two gateways may be apart, seconds."""
REFRESH_PREFIX = "gwr_"
_NOT_OURS = "This access token is not one of ours. Sign in with POST /auth/login."
_UUID_BYTES, _NUMBER_BYTES, _MAC_BYTES = 16, 4, 32


class Shown(NamedTuple):
    """What an access token says."""

    user_id: str
    session_id: UUID


class Refresh(NamedTuple):
    """What a refresh token says."""

    session_id: UUID
    generation: int


def not_ours(message: str) -> ApiError:
    """A 401 of somebody whose token is none that we gave."""
    return ApiError(401, "invalid_token", message, kind=AUTHENTICATION)


class Tokens:
    """Makes and reads them; one for each process."""

    def __init__(self, key: bytes, access_s: int) -> None:
        """An access token lives `access_s` seconds."""
        self._key, self._mac_key, self.access_s = OctKey.import_key(key), key, access_s

    def access(self, user_id: str, session_id: UUID, now: datetime) -> str:
        """A token for the routes of the user's own account."""
        at = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "typ": KIND,
            "sub": user_id,
            "sid": str(session_id),
            "iat": at,
            "exp": at + self.access_s,
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key)

    def read_access(self, token: str, now: datetime) -> Shown:
        """What it says. Raises ApiError 401 for one that is not ours, is over, or not yet begun."""
        at = now.timestamp()
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            shown = Shown(str(claims["sub"]), UUID(claims["sid"]))
            begun, ends = int(claims["iat"]), int(claims["exp"])
            if (claims["iss"], claims["typ"]) != (ISSUER, KIND) or begun - SKEW_S > at:
                raise not_ours(_NOT_OURS)
        except (JoseError, KeyError, TypeError, ValueError, AttributeError):
            raise not_ours(_NOT_OURS) from None
        if ends <= at:
            message = "This access token has ended. Get another with POST /auth/refresh."
            raise ApiError(401, "token_expired", message, kind=AUTHENTICATION)
        return shown

    def refresh(self, said: Refresh) -> str:
        """The refresh token of a session's generation; always the same one."""
        body = said.session_id.bytes + said.generation.to_bytes(_NUMBER_BYTES, "big")
        token = base64.urlsafe_b64encode(body + self._mac(body)).decode().rstrip("=")
        return REFRESH_PREFIX + token

    def read_refresh(self, token: str) -> Refresh | None:
        """What it says; None for what we never gave."""
        try:
            given = token.removeprefix(REFRESH_PREFIX)
            data = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if len(body) != _UUID_BYTES + _NUMBER_BYTES or not hmac.compare_digest(
            mac, self._mac(body)
        ):
            return None
        number = int.from_bytes(body[_UUID_BYTES:], "big")
        return Refresh(UUID(bytes=body[:_UUID_BYTES]), number)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._mac_key, b"refresh" + body, "sha256")
