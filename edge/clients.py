"""Where a request comes from: its client's address, behind proxies too, and the page it is of.

And whether it carries a key where none belongs: in its address, which others write down; and by
what it says that it is the same as one before.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from domain.identity.access import address_of, in_networks, networks_of
from domain.identity.key_format import KEY_PATTERN
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import Request

    from edge.asgi import Scope
    from edge.errors import ApiError

HOPS_MAX = 32
"""Most proxies that a request is followed through; beyond them it is taken for the last one's."""
IPV6, IPV6_NETWORK = 6, 64
"""What one subscriber is given (RFC 6177): addresses below it count as one."""
ORIGIN_CHARACTERS_MAX = 64
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
_KEY = re.compile(KEY_PATTERN)
_KEY_BYTES = re.compile(KEY_PATTERN.encode())


class Proxies:
    """The proxies that are believed when they say whom they speak for."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Addresses and networks; raises ValueError for a text that is neither."""
        self._trusted = networks_of(trusted)

    def client_of(self, scope: Scope) -> str:
        """The client's address: the peer's, or what trusted proxies say of it.

        Of `X-Forwarded-For` the last address counts that is no trusted proxy's own: what stands
        before it the client may have written itself. Empty for a peer without an address.
        """
        peer = scope.get("client")
        if peer is None:
            return ""
        address = str(peer[0])
        if not self._trusted or not self._trusts(address):
            return address
        told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        if not told:
            return address
        found = address
        for hop in reversed(told.rsplit(b",", HOPS_MAX)[-HOPS_MAX:]):
            text = hop.strip().decode("latin-1")
            if address_of(text) is None:
                return address
            found = text
            if not self._trusts(text):
                break
        return found

    def origin_of(self, scope: Scope) -> str:
        """Where a request comes from, as attempts are counted: IPv6 by its network."""
        text = self.client_of(scope)
        address = address_of(text)
        if address is None:
            return text[:ORIGIN_CHARACTERS_MAX]
        if address.version == IPV6:
            return str(ip_network((address, IPV6_NETWORK), strict=False))
        return str(address)

    def _trusts(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and in_networks(address, self._trusted)


def client_of(request: Request) -> str:
    """The client's address of a framework's request, behind trusted proxies too."""
    proxies: Proxies = request.app.state.proxies
    return proxies.client_of(request.scope)


def origin_of(request: Request) -> str:
    """The same of a framework's request."""
    proxies: Proxies = request.app.state.proxies
    return proxies.origin_of(request.scope)


def referrers_of(scope: Scope) -> list[bytes]:
    """What a request says of the page that sent it, in every header that says it."""
    return [value for name, value in scope["headers"] if name in {b"origin", b"referer"}]


def key_in_url(scope: Scope) -> ApiError | None:
    """A 400 for a request with a key in its query, under whatever name; it is not repeated."""
    query = scope.get("query_string")
    if not query or _KEY_BYTES.search(unquote_to_bytes(query)) is None:
        return None
    message = (
        "An API key stands in the address of this request, where proxies and browsers write it "
        "down. Send it as `Authorization: Bearer KEY`, and rotate it: it may be known by now."
    )
    return bad_request("key_in_url", message)


def without_keys(text: str) -> str:
    """A text that may be written down, with nothing in it that has the form of a key."""
    return _KEY.sub("gw_...", text) if "gw_" in text else text


def idempotency_key_of(scope: Scope) -> str | None:
    """The value of Idempotency-Key; raises ApiError 400 for one that is none.

    An empty one is none: it is a variable that was never set, and would protect nobody.
    """
    raw: bytes | None = dict(scope["headers"]).get(b"idempotency-key")
    if raw is None:
        return None
    key = raw.decode("latin-1")
    sized = 0 < len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX
    if not (sized and key.isascii() and key.isprintable()):
        most = IDEMPOTENCY_KEY_CHARACTERS_MAX
        message = f"Idempotency-Key must be 1 to {most} printable ASCII characters."
        raise bad_request("invalid_idempotency_key", message)
    return key
