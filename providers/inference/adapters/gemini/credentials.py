"""Access tokens for Google Cloud: one that the operator gave, or those of a service account.

RFC 7523 (a signed JWT as an authorisation grant) as Google documents it in "Using OAuth 2.0 for
Server to Server Applications". A token lives an hour; it is asked for anew before it ends.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from providers.fetching.tls import authorities
from providers.inference.port import UpstreamConnectError

if TYPE_CHECKING:
    from pathlib import Path

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_S = 3_600
EARLY_S = 300
TIMEOUT_S = 10.0


class Credentials(Protocol):
    """Where the bearer token comes from."""

    async def token(self) -> str:
        """A token that is valid now; raises UpstreamError."""
        ...

    def forget(self) -> None:
        """The token was refused: get another one for the next call."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class FixedToken:
    """A token that the operator gave."""

    def __init__(self, token: str) -> None:
        """Use it as it is."""
        self._token = token

    async def token(self) -> str:
        """The token."""
        return self._token

    def forget(self) -> None:
        """There is no other."""

    async def close(self) -> None:
        """Nothing to close."""


class ServiceAccountKey(msgspec.Struct):
    """The members of the JSON key file that matter here."""

    client_email: str
    private_key: str
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret.
    private_key_id: str = ""
    project_id: str = ""


class _Token(msgspec.Struct):
    access_token: str
    expires_in: int = TOKEN_S


def read_key(path: Path) -> ServiceAccountKey:
    """Read a key file; raises ValueError naming what is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServiceAccountKey)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path} is not a service account's key: {error}"
        raise ValueError(message) from None


def _segment(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


class ServiceAccount:
    """Keeps one token fresh."""

    def __init__(self, key: ServiceAccountKey, secrets: set[str]) -> None:
        """Load the key; raises ValueError when it is no RSA key. `secrets` gets each token."""
        loaded = load_pem_private_key(key.private_key.encode(), password=None)
        if not isinstance(loaded, RSAPrivateKey):
            message = "the service account's key is not an RSA key"
            raise ValueError(message)  # noqa: TRY004 - the value in the file is wrong.
        self._key, self._private, self._secrets = key, loaded, secrets
        self._lock = asyncio.Lock()
        self._token, self._valid_until = "", 0.0

    async def token(self) -> str:
        """A token that is valid for some minutes; raises UpstreamConnectError."""
        async with self._lock:
            if time.monotonic() >= self._valid_until:
                await self._fetch()
            return self._token

    def forget(self) -> None:
        """The token was refused: fetch another one."""
        self._valid_until = 0.0

    async def close(self) -> None:
        """Nothing stays open."""

    def assertion(self, now_s: int) -> str:
        """The signed JWT for this second of Unix time."""
        header: dict[str, Any] = {"alg": "RS256", "typ": "JWT"}
        if self._key.private_key_id:
            header["kid"] = self._key.private_key_id
        claims = {
            "iss": self._key.client_email,
            "scope": SCOPE,
            "aud": self._key.token_uri,
            "iat": now_s,
            "exp": now_s + TOKEN_S,
        }
        signed = (
            _segment(msgspec.json.encode(header)) + b"." + _segment(msgspec.json.encode(claims))
        )
        signature = self._private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _segment(signature)).decode("ascii")

    async def _fetch(self) -> None:
        form = {"grant_type": GRANT_TYPE, "assertion": self.assertion(int(time.time()))}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=authorities()) as client:
                reply = await client.post(self._key.token_uri, data=form)
                reply.raise_for_status()
            found = msgspec.json.decode(reply.content, type=_Token)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            message = f"no access token for {self._key.client_email}: {error}"
            raise UpstreamConnectError(message) from error
        self._secrets.discard(self._token)
        self._token = found.access_token
        self._secrets.add(self._token)
        self._valid_until = time.monotonic() + max(0, found.expires_in - EARLY_S)
