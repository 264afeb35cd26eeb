"""Large JSON replies, packed for who asks for it.

Only whole replies to GET are packed, and none that a route itself says to be `no-store`: keys and
tokens are told in answers to other methods alone, so no secret is ever packed together with what
somebody else may choose, whose length would give it away (BREACH). Streams are passed on as they
come.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from edge.asgi import JSON, accepts_gzip, header_of
from edge.errors import ApiError
from edge.lanes import Lane

if TYPE_CHECKING:
    from command_api.front.protocol import Endpoint
    from edge.asgi import Header, Message, Receive, Scope, Send

PACKED_BYTES_MIN = 2_048
"""A smaller reply is one packet anyway."""
PACKED_BYTES_MAX = 16 * 2**20
INLINE_BYTES_MAX = 16_384
"""What is larger is packed beside the event loop; this takes a fraction of a millisecond."""
LEVEL, GZIP_BITS = 5, 16 + zlib.MAX_WBITS
OK = 200
WAITING_MAX = 8


class Gzipped:
    """An ASGI endpoint whose large replies are packed."""

    def __init__(self, endpoint: Endpoint) -> None:
        """No thread is started before it is needed."""
        self._endpoint = endpoint
        self._lane = Lane("gzip", threads=1, waiting_max=WAITING_MAX)

    def close(self) -> None:
        """Pack nothing more."""
        self._lane.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as before."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._endpoint(scope, receive, send)
            return
        wanted = accepts_gzip(header_of(scope, b"accept-encoding"))
        kept: Message | None = None

        async def packed(message: Message) -> None:
            nonlocal kept
            if message["type"] == "http.response.start" and _fits(message):
                _vary(message["headers"])
                if wanted:
                    kept = message  # Its length is known with its body.
                    return
            elif kept is not None:
                start, kept = kept, None
                if not message.get("more_body", False):
                    message = {**message, "body": await self._pack(start, message["body"])}
                await send(start)
            await send(message)

        await self._endpoint(scope, receive, packed)

    async def _pack(self, start: Message, body: bytes) -> bytes:
        """The body, packed where there is room for that work."""
        try:
            small = len(body) <= INLINE_BYTES_MAX
            made = _gzip(body) if small else await self._lane.run(_gzip, body)
        except ApiError:
            return body
        headers = [each for each in start["headers"] if each[0] != b"content-length"]
        length = (b"content-length", b"%d" % len(made))
        start["headers"] = [*headers, (b"content-encoding", b"gzip"), length]
        return made


def _fits(start: Message) -> bool:
    """Whether a reply is one that may be packed, by its head."""
    told = {name.lower(): value for name, value in start["headers"]}
    length = told.get(b"content-length", b"")
    return (
        start["status"] == OK
        and told.get(b"content-type", b"").startswith(JSON)
        and b"content-encoding" not in told
        and b"no-store" not in told.get(b"cache-control", b"")
        and length.isdigit()
        and PACKED_BYTES_MIN <= int(length) <= PACKED_BYTES_MAX
    )


def _vary(headers: list[Header]) -> None:
    if not any(n == b"vary" and b"accept-encoding" in value.lower() for n, value in headers):
        headers.append((b"vary", b"accept-encoding"))


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=GZIP_BITS)
    return packer.compress(body) + packer.flush()
