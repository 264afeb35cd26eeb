"""The HTTP client that Stripe's SDK is given: bounded in time and bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import stripe

from providers.fetching.tls import authorities

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLY_BYTES_MAX = 8 * 2**20
"""A page of a hundred events is some 500 kB."""
REPLY_S = 20.0
"""Longest time of one try, from the connection to the last byte."""
CONNECTIONS_MAX = 20


class BoundedHttp(stripe.HTTPClient):
    """A client for httpx in place of the SDK's own, which leaves much without a maximum."""

    name = "httpx"

    def __init__(self, reply_s: float = REPLY_S) -> None:
        """Nothing is connected yet."""
        super().__init__()
        self._reply_s = reply_s
        self._bounded = httpx.AsyncClient(
            timeout=reply_s,
            verify=authorities(),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One try; raises stripe.APIConnectionError."""
        try:
            async with asyncio.timeout(self._reply_s):
                request = self._bounded.build_request(
                    method, url, headers=dict(headers), content=post_data or b""
                )
                answer = await self._bounded.send(request, stream=True)
                try:
                    return await _body(answer), answer.status_code, answer.headers
                finally:
                    await answer.aclose()
        except (TimeoutError, httpx.HTTPError) as error:
            message = f"Stripe cannot be reached ({type(error).__name__})"
            raise stripe.APIConnectionError(message, should_retry=True) from None  # type: ignore[no-untyped-call]

    async def sleep_async(self, secs: float) -> None:
        """Between two tries."""
        await asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Close the connections."""
        await self._bounded.aclose()


async def _body(answer: httpx.Response) -> bytes:
    parts, size = list[bytes](), 0
    async for part in answer.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > REPLY_BYTES_MAX:
            message = f"an answer of more than {REPLY_BYTES_MAX} bytes"
            raise httpx.DecodingError(message, request=answer.request)
    return b"".join(parts)
