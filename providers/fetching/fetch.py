"""One GET that follows redirects only to where they may lead (OWASP API7, server-side forgery).

The operator's own URL is asked as it stands, and so is its origin while it redirects to itself.
Wherever else a redirect leads was chosen by who answered: it is resolved once, every address must
be public, the connection goes to the very address that was checked, and none of our headers go
along. Each redirect is checked anew.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

import httpx

from providers.fetching.addresses import is_public
from providers.fetching.tls import authorities

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    Resolve = Callable[[str, int], Awaitable[list[str]]]

REDIRECTS_MAX = 5
LOCATION_CHARACTERS_MAX = 4_096
PORTS = {"http": 80, "https": 443}


class RedirectRefusedError(httpx.TransportError):
    """A redirect leads where none may."""


class ReplyTooLargeError(httpx.DecodingError):
    """What was fetched is larger than it may be."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Rules(NamedTuple):
    """What a fetch may take: bytes of the body, seconds of one wait and of all together."""

    bytes_max: int
    wait_s: float
    total_s: float
    resolve: Resolve = resolve
    admits: Callable[[str], bool] = is_public


async def fetch(
    url: str,
    rules: Rules,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """The body of a good reply; `url` is the operator's own.

    Raises httpx.HTTPError, of which HTTPStatusError, RedirectRefusedError and ReplyTooLargeError
    are kinds.
    """
    try:
        async with (
            asyncio.timeout(rules.total_s),
            httpx.AsyncClient(verify=tls or authorities(), timeout=rules.wait_s) as client,
        ):
            return await _follow(client, httpx.URL(url, params=query or None), headers, rules)
    except TimeoutError:
        message = f"the reply was not whole within {rules.total_s:g} s"
        raise httpx.ReadTimeout(message) from None


async def _follow(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str] | None, rules: Rules
) -> bytes:
    request = client.build_request("GET", url, headers=headers)
    at_home = True
    for _ in range(REDIRECTS_MAX + 1):
        reply = await client.send(request, stream=True)
        try:
            if not reply.has_redirect_location:
                reply.raise_for_status()
                return await _body(reply, rules.bytes_max)
            target = _target(url, reply.headers["location"])
        finally:
            await reply.aclose()
        at_home = at_home and _origin(target) == _origin(url)
        url = target
        if at_home:
            request = client.build_request("GET", url, headers=headers)
        else:
            request = await _pinned(client, url, rules)
    message = f"more than {REDIRECTS_MAX} redirects"
    raise RedirectRefusedError(message)


def _target(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads; raises RedirectRefusedError for what is no address of the web."""
    try:
        if len(location) > LOCATION_CHARACTERS_MAX:
            raise ValueError
        target = url.join(location)
        if target.scheme not in PORTS or not target.host or target.userinfo:
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        message = "a redirect to what is no address of the web"
        raise RedirectRefusedError(message) from None
    if url.scheme == "https" and target.scheme != "https":
        message = "a redirect from https to http"
        raise RedirectRefusedError(message)
    return target.copy_with(fragment=None)


async def _pinned(client: httpx.AsyncClient, url: httpx.URL, rules: Rules) -> httpx.Request:
    """A request to the address that was checked, whatever the name means a moment later."""
    try:
        addresses = await rules.resolve(url.raw_host.decode("ascii"), _port(url))
    except (OSError, UnicodeError) as error:
        message = f"{url.host} has no address: {error}"
        raise RedirectRefusedError(message) from None
    if not addresses or not all(map(rules.admits, addresses)):
        message = f"a redirect to {url.host}, which is no public address"
        raise RedirectRefusedError(message)
    return client.build_request(
        "GET",
        url.copy_with(host=addresses[0]),
        headers={"host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )


async def _body(reply: httpx.Response, bytes_max: int) -> bytes:
    parts, size = list[bytes](), 0
    async for part in reply.aiter_bytes():
        size += len(part)
        if size > bytes_max:
            message = f"the reply is larger than {bytes_max} bytes"
            raise ReplyTooLargeError(message)
        parts.append(part)
    return b"".join(parts)


def _port(url: httpx.URL) -> int:
    return url.port or PORTS[url.scheme]


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, _port(url)
