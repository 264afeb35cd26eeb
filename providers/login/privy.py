"""Privy's tokens: access tokens and identity tokens of an app (docs.privy.io, Access tokens)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from providers.login.port import Identity, LoginRefusedError, text_of
from providers.login.tokens import SKEW_S, read_token

if TYPE_CHECKING:
    from providers.login.tokens import Keys, OneKey

ISSUER = "privy.io"
ALGORITHMS = ("ES256",)
ACCOUNTS_MAX = 100
ADDRESS_IN = {"email": "address", "google_oauth": "email"}
"""The kinds of linked accounts whose address was verified, and where it stands."""
VERIFIED = "lv"
"""When it was last verified (docs.privy.io, Identity tokens)."""


class PrivyToken(NamedTuple):
    """A token that holds: who it is about, until when it may, and what kind of account it names."""

    identity: Identity
    ends_s: float
    method: str


class PrivyTokens:
    """Reads tokens of one app."""

    def __init__(self, app_id: str, keys: Keys | OneKey) -> None:
        """`keys` are Privy's for this app."""
        self._app_id, self._keys = app_id, keys

    async def read(self, token: str) -> PrivyToken:
        """Who it is about; raises LoginRefusedError or LoginUnavailableError.

        An identity token lists linked accounts with addresses; an access token has none.
        """
        claims = await read_token(
            token, self._keys, issuer=ISSUER, audience=self._app_id, algorithms=ALGORITHMS
        )
        subject = text_of(claims.get("sub"))
        if subject is None:
            message = "the token says nothing of whom it is about"
            raise LoginRefusedError(message)
        method, address, name = _of_accounts(claims.get("linked_accounts"))
        identity = Identity("privy", subject, address, address is not None, name)
        return PrivyToken(identity, float(claims["exp"]) + SKEW_S, method)


def _of_accounts(given: Any) -> tuple[str, str | None, str | None]:
    """Method, address and name by the first linked account with an address."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    for each in given[:ACCOUNTS_MAX] if isinstance(given, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get(VERIFIED), int):
            continue
        kind = str(each.get("type"))
        address = text_of(each.get(ADDRESS_IN.get(kind, "")))
        if address is not None:
            return kind.removesuffix("_oauth"), address, text_of(each.get("name"))
    return "privy", None, None
