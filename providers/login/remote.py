"""Asking login providers over HTTP: JSON objects alone, bounded in size and time, no redirects."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from providers.fetching.tls import authorities
from providers.login.port import LoginUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLY_BYTES_MAX = 262_144
"""Largest reply; Google's keys are 2 kB, GitHub's list of addresses of somebody with 50 is 5 kB."""
REPLY_S = 10.0
"""Longest time of one request, from the connection to the last byte."""
CONNECTIONS_MAX = 20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Remote:
    """One for each process."""

    def __init__(self, reply_s: float = REPLY_S) -> None:
        """Nothing is connected yet."""
        self._reply_s = reply_s
        self._client = httpx.AsyncClient(
            timeout=reply_s,
            verify=authorities(),
            # What is not compressed cannot grow while it is read.
            headers={"accept": "application/json", "accept-encoding": "identity"},
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON at an address; raises LoginUnavailableError."""
        return await self._json(self._client.build_request("GET", url, headers=headers))

    async def post(self, url: str, form: Mapping[str, str]) -> Any:
        """The JSON that answers a form, whatever its status; raises LoginUnavailableError."""
        return await self._json(self._client.build_request("POST", url, data=form), refusals=True)

    async def _json(self, request: httpx.Request, *, refusals: bool = False) -> Any:
        check_url(str(request.url))
        try:
            async with asyncio.timeout(self._reply_s):
                answer = await self._client.send(request, stream=True)
                try:
                    raw = await self._body(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise _away(request, f"did not answer within {self._reply_s:g} s") from None
        except httpx.HTTPError as error:
            raise _away(request, f"cannot be reached ({type(error).__name__})") from None
        if not (answer.is_success or (refusals and answer.is_client_error)):
            raise _away(request, f"answers {answer.status_code}")
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise _away(request, "answers what is no JSON") from None

    @staticmethod
    async def _body(answer: httpx.Response) -> bytes:
        if answer.headers.get("content-encoding", "identity") != "identity":
            message = "a compressed reply was not asked for"
            raise httpx.DecodingError(message)
        parts, size = list[bytes](), 0
        async for part in answer.aiter_raw():
            parts.append(part)
            size += len(part)
            if size > REPLY_BYTES_MAX:
                raise _away(answer.request, f"answers more than {REPLY_BYTES_MAX} bytes")
        return b"".join(parts)


def check_url(url: str) -> str:
    """An address that may be asked: https, or this machine. Raises LoginUnavailableError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)):
        return url
    message = "the login provider names an address that is not https"
    raise LoginUnavailableError(message)


def _away(request: httpx.Request, why: str) -> LoginUnavailableError:
    return LoginUnavailableError(f"the login provider at {request.url.host} {why}")
