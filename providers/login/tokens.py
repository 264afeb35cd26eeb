"""Signed tokens of login providers (JWT, RFC 7519), verified by their published keys (RFC 7517)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from providers.login.port import AWAY_S, LoginRefusedError, LoginUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from providers.login.remote import Remote

    Key = ECKey | RSAKey

TOKEN_CHARACTERS_MAX = 16_384
KEYS_MAX = 50
KEYS_KEPT_S = 3_600.0
KEYS_AGAIN_S = 30.0
"""An unknown key is looked for anew, but not more often than this: anybody can name one."""
SKEW_S = 60
"""How far a provider's clock may be from ours, seconds."""
TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""The algorithms that are taken, each with the type of its key; `none` and shared keys never."""
KEY_BITS_MIN = 2_048


class Keys:
    """The keys of one provider, by their ids."""

    def __init__(
        self, remote: Remote, url: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is fetched yet."""
        self._remote, self._url, self._clock = remote, url, clock
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched = -KEYS_KEPT_S
        self._fetching = asyncio.Lock()
        self._away, self._away_until = LoginUnavailableError(), -1.0

    async def key(self, kid: str, kind: str) -> Key:
        """The key of an id; raises LoginRefusedError, LoginUnavailableError."""
        async with self._fetching:  # Who comes meanwhile waits for the same keys.
            now = self._clock()
            if now < self._away_until:
                raise self._away
            age_s = now - self._fetched
            if age_s >= KEYS_KEPT_S or (kid not in self._keys and age_s >= KEYS_AGAIN_S):
                try:
                    await self._fetch()
                except LoginUnavailableError as error:
                    self._away, self._away_until = error, self._clock() + AWAY_S
                    raise
        found = self._keys.get(kid)
        if found is None or found.get("kty") != kind or found.get("use", "sig") != "sig":
            message = "the token is signed with a key that the provider does not publish"
            raise LoginRefusedError(message)
        return _imported(found)

    async def _fetch(self) -> None:
        given = await self._remote.get(self._url)
        keys = given.get("keys") if isinstance(given, dict) else None
        if not isinstance(keys, list):
            message = "the login provider publishes no keys"
            raise LoginUnavailableError(message)
        self._fetched = self._clock()
        self._keys = {
            str(each["kid"]): each
            for each in keys[:KEYS_MAX]
            if isinstance(each, dict) and isinstance(each.get("kid"), str)
        }


class OneKey:
    """A key that the operator wrote down, whatever id a token names."""

    def __init__(self, pem: str) -> None:
        """Raises ValueError for a text that is no public key of an elliptic curve in PEM."""
        try:
            # One line of an environment may have its line breaks escaped.
            self._key = ECKey.import_key(pem.replace("\\n", "\n"))
        except (JoseError, ValueError, TypeError) as error:
            message = "the verification key is no public EC key in PEM"
            raise ValueError(message) from error

    async def key(self, kid: str, kind: str) -> Key:
        """It; raises LoginRefusedError for another type."""
        del kid
        if kind != "EC":
            message = "the token is signed otherwise than it must be"
            raise LoginRefusedError(message)
        return self._key


def _imported(found: dict[str, Any]) -> Key:
    try:
        if found["kty"] == "EC":
            return ECKey.import_key(found)
        key = RSAKey.import_key(found)
    except (JoseError, ValueError, TypeError, KeyError):
        message = "the login provider publishes a key that is none"
        raise LoginUnavailableError(message) from None
    if key.public_key.key_size < KEY_BITS_MIN:
        message = "the token is signed with a key that is too short"
        raise LoginRefusedError(message)
    return key


async def read_token(
    token: object, keys: Keys | OneKey, *, issuer: str, audience: str, algorithms: Collection[str]
) -> dict[str, Any]:
    """The claims of a token that holds. Raises LoginRefusedError, LoginUnavailableError.

    Verified: signature, issuer, audience, and that it has begun and has not ended (RFC 7519, 4.1).
    """
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if algorithm not in algorithms or not isinstance(kid, str) or "crit" in header:
        message = "the token is signed otherwise than it must be"
        raise LoginRefusedError(message)
    key = await keys.key(kid, TYPES[str(algorithm)])
    try:
        claims = jwt.decode(str(token), key, algorithms=[str(algorithm)]).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        message = "the token's signature does not hold"
        raise LoginRefusedError(message) from None
    _check(claims, issuer, audience)
    return claims


def _header(token: object) -> dict[str, Any]:
    """What a token says of its signature, unverified."""
    message = "there is no token that can be read"
    if not isinstance(token, str) or len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
        raise LoginRefusedError(message)
    head = token.partition(".")[0]
    try:
        found = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        raise LoginRefusedError(message) from None
    if not isinstance(found, dict):
        raise LoginRefusedError(message)
    return found


def _check(claims: dict[str, Any], issuer: str, audience: str) -> None:
    now = time.time()
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [given]
    times: list[Any] = [claims.get(each) for each in ("exp", "iat", "nbf")]
    ends, began, counts = times
    if claims.get("iss") != issuer:
        message = "the token is of another issuer"
    elif audience not in audiences or (len(audiences) > 1 and claims.get("azp") != audience):
        message = "the token is for somebody else"
    elif not _is_time(ends) or ends <= now - SKEW_S:
        message = "the token is over"
    elif not _is_time(began) or max(began, counts if _is_time(counts) else 0) > now + SKEW_S:
        message = "the token has not begun"
    else:
        return
    raise LoginRefusedError(message)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
