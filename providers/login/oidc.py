"""OpenID Connect with the authorization code and PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from providers.login.port import (
    AWAY_S,
    Identity,
    LoginRefusedError,
    LoginUnavailableError,
    text_of,
)
from providers.login.remote import check_url
from providers.login.tokens import TYPES, Keys, read_token

if TYPE_CHECKING:
    from providers.login.port import Asked
    from providers.login.remote import Remote

GOOGLE = "https://accounts.google.com"
DISCOVERED_S = 3_600.0
"""How long a provider's description of itself is trusted, seconds."""
SCOPES = "openid email profile"


class OidcProvider:
    """One issuer."""

    def __init__(self, name: str, issuer: str, client: tuple[str, str], remote: Remote) -> None:
        """`client` is our id and our secret there."""
        self.name, self._issuer, self._remote = name, issuer.rstrip("/"), remote
        self._id, self._secret = client
        self._found: dict[str, str] = {}
        self._keys: Keys | None = None
        self._until = 0.0
        self._discovering = asyncio.Lock()
        self._away, self._away_until = LoginUnavailableError(), 0.0

    async def address_to_ask(self, asked: Asked) -> str:
        """Where the browser goes; raises LoginUnavailableError."""
        await self._discover()
        query = {
            "response_type": "code",
            "client_id": self._id,
            "redirect_uri": asked.redirect_uri,
            "scope": SCOPES,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": challenge_of(asked.verifier),
            "code_challenge_method": "S256",
        }
        return with_query(self._found["authorization_endpoint"], query)

    async def who(self, code: str, asked: Asked) -> Identity:
        """Who came back with a code; raises LoginRefusedError or LoginUnavailableError."""
        await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asked.redirect_uri,
            "client_id": self._id,
            "client_secret": self._secret,
            "code_verifier": asked.verifier,
        }
        given = await self._remote.post(self._found["token_endpoint"], form)
        if not isinstance(given, dict) or "id_token" not in given:
            message = "the login provider takes the code for nobody's"
            raise LoginRefusedError(message)
        assert self._keys is not None
        claims = await read_token(
            given["id_token"],
            self._keys,
            issuer=self._found["issuer"],
            audience=self._id,
            algorithms=TYPES,
        )
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), asked.nonce.encode()
        ):
            message = "the token answers another question"
            raise LoginRefusedError(message)
        return identity_of(self.name, claims)

    async def _discover(self) -> None:
        """Once for all who wait."""
        async with self._discovering:
            if time.monotonic() < self._away_until:
                raise self._away
            if time.monotonic() >= self._until:
                try:
                    await self._describe()
                except LoginUnavailableError as error:
                    self._away, self._away_until = error, time.monotonic() + AWAY_S
                    raise

    async def _describe(self) -> None:
        """OpenID Connect Discovery 1.0, 4."""
        found = await self._remote.get(f"{self._issuer}/.well-known/openid-configuration")
        wanted = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if not isinstance(found, dict) or any(not text_of(found.get(each)) for each in wanted):
            message = "the login provider does not describe itself"
            raise LoginUnavailableError(message)
        if found["issuer"].rstrip("/") != self._issuer:
            message = "the login provider says that it is another one"
            raise LoginUnavailableError(message)
        described = {each: str(found[each]) for each in wanted}
        for each in wanted[1:]:
            check_url(described[each])
        if self._keys is None or described["jwks_uri"] != self._found["jwks_uri"]:
            self._keys = Keys(self._remote, described["jwks_uri"])
        self._found, self._until = described, time.monotonic() + DISCOVERED_S


def identity_of(provider: str, claims: dict[str, Any]) -> Identity:
    """Who an ID token is about (OpenID Connect Core 1.0, 5.1); raises LoginRefusedError."""
    subject = text_of(claims.get("sub"))
    if subject is None:
        message = "the token says nothing of whom it is about"
        raise LoginRefusedError(message)
    address = text_of(claims.get("email"))
    verified = address is not None and claims.get("email_verified") is True
    return Identity(provider, subject, address, verified, text_of(claims.get("name")))


def challenge_of(verifier: str) -> str:
    """RFC 7636, 4.2, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def with_query(url: str, query: dict[str, str]) -> str:
    """An address with parameters, beside those that it has."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
