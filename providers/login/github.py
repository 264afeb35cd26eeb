"""GitHub: OAuth 2.0 without OpenID Connect (docs.github.com, Authorizing OAuth apps)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.login.oidc import challenge_of, with_query
from providers.login.port import (
    Identity,
    LoginRefusedError,
    LoginUnavailableError,
    text_of,
)
from providers.login.remote import check_url

if TYPE_CHECKING:
    from providers.login.port import Asked
    from providers.login.remote import Remote

PUBLIC, PUBLIC_API = "https://github.com", "https://api.github.com"
SCOPES = "read:user user:email"
ADDRESSES_MAX = 1_000


class GithubProvider:
    """github.com, or an Enterprise Server of somebody's own."""

    name = "github"

    def __init__(self, url: str, client: tuple[str, str], remote: Remote) -> None:
        """`client` is our id and our secret there."""
        self._url, self._remote = url.rstrip("/"), remote
        self._api = PUBLIC_API if self._url == PUBLIC else f"{self._url}/api/v3"
        self._id, self._secret = client

    async def address_to_ask(self, asked: Asked) -> str:
        """Where the browser goes; raises LoginUnavailableError."""
        query = {
            "client_id": self._id,
            "redirect_uri": asked.redirect_uri,
            "scope": SCOPES,
            "state": asked.state,
            "code_challenge": challenge_of(asked.verifier),
            "code_challenge_method": "S256",
        }
        return with_query(check_url(f"{self._url}/login/oauth/authorize"), query)

    async def who(self, code: str, asked: Asked) -> Identity:
        """Who came back with a code; raises LoginRefusedError or LoginUnavailableError."""
        form = {
            "client_id": self._id,
            "client_secret": self._secret,
            "code": code,
            "redirect_uri": asked.redirect_uri,
            "code_verifier": asked.verifier,
        }
        given = await self._remote.post(f"{self._url}/login/oauth/access_token", form)
        token = text_of(given.get("access_token")) if isinstance(given, dict) else None
        if token is None or not token.isascii():
            message = "the login provider takes the code for nobody's"
            raise LoginRefusedError(message)
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/vnd.github+json",
            "user-agent": "gatewayz",
        }
        user = await self._remote.get(f"{self._api}/user", headers)
        number = user.get("id") if isinstance(user, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            message = "the login provider does not say who it is"
            raise LoginUnavailableError(message)
        address = _primary(await self._remote.get(f"{self._api}/user/emails", headers))
        name = text_of(user.get("name")) or text_of(user.get("login"))
        return Identity(self.name, str(number), address, address is not None, name)


def _primary(listed: object) -> str | None:
    """The one address that is primary and verified; GitHub vouches for no other."""
    if not isinstance(listed, list):
        message = "the login provider does not say which addresses are verified"
        raise LoginUnavailableError(message)
    for each in listed[:ADDRESSES_MAX]:
        if isinstance(each, dict) and each.get("primary") is True and each.get("verified") is True:
            return text_of(each.get("email"))
    return None
