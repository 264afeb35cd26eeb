"""OpenAI's list of models as bytes: each object written once, and sent in pieces.

A list of twenty thousand models is 22 MB. Nobody who asks for it makes the process write it anew,
copy it at once, or send it again to who has it (RFC 9110, section 13: `If-None-Match`).
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from fastapi import Response

from command_api.catalog.objects import offer_object, unpriced_object
from edge.replies import timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from edge.asgi import Receive, Scope, Send
    from providers.inference.registry.offers import Provider

T = TypeVar("T")

SLICE_ITEMS = 50
"""So many are worked on at once: a millisecond or two."""
PIECE_ROWS = 64
DIGEST_BYTES = 12
GZIP_WBITS = 31
"""zlib's window of 2^15 bytes, with gzip's header."""
GZIP_LEVEL = 1


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; between slices of them others have their turn."""
    for number, each in enumerate(items, 1):
        yield each
        if number % SLICE_ITEMS == 0:
            await asyncio.sleep(0)


class Listing:
    """The rows in the order of their ids, and whose they are."""

    def __init__(self) -> None:
        """Empty; `of` fills one."""
        self.rows: list[bytes] = []
        self.gateways: dict[str, list[int]] = {}
        """Places by the provider that offers them."""
        self.names: dict[str, list[int]] = {}
        """Places by the same, and by the developer."""
        self.digest = ""
        self.made_at = ""
        self.compressed = b""

    @classmethod
    async def of(cls, providers: list[Provider]) -> Listing:
        """Every offer of these providers, and every listed model without a price."""
        found: dict[str, tuple[str, str, bytes]] = {}
        for provider in providers:
            # The operator's own entries come last, and so stay.
            async for model in in_slices((*provider.listed.values(), *provider.models.values())):
                found[model.public_id] = _row(offer_object(model))
            async for item in in_slices(tuple(provider.unpriced.values())):
                made = unpriced_object(provider.name, item, provider.canonical_of(item.id))
                if made["id"] not in found:
                    found[made["id"]] = _row(made)
        made_of, digest = cls(), hashlib.blake2b(digest_size=DIGEST_BYTES)
        async for place, name in in_slices(enumerate(sorted(found))):
            gateway, developer, row = found[name]
            made_of.rows.append(row)
            made_of.gateways.setdefault(gateway, []).append(place)
            for each in {gateway, developer}:
                made_of.names.setdefault(each, []).append(place)
            digest.update(row)
        made_of.digest, made_of.made_at = digest.hexdigest(), timestamp()
        return made_of

    def places(self, gateway: str | None, name: str | None) -> Sequence[int]:
        """The places of one provider, of one provider or developer, of both, or all."""
        if gateway is None and name is None:
            return range(len(self.rows))
        if gateway is None or name is None:
            return self.gateways.get(gateway, []) if gateway else self.names.get(name or "", [])
        mine = set(self.gateways.get(gateway, ()))
        return [each for each in self.names.get(name, ()) if each in mine]

    def tag(self, *asked: Any) -> str:
        """An entity tag of what was asked; a weak one: the time of making is not counted."""
        text = "" if not any(asked) else "-" + _short(repr(asked).encode())
        return f'W/"{self.digest}{text}"'

    def compress(self, body: Body) -> bytes:
        """The whole list in gzip, made once; on a thread, which zlib leaves the others free."""
        if not self.compressed:
            packer = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
            self.compressed = b"".join([*map(packer.compress, body.pieces()), packer.flush()])
        return self.compressed


class Body:
    """A page of a listing: its rows between a head and the figures."""

    def __init__(self, listing: Listing, places: Sequence[int], about: dict[str, Any]) -> None:
        """`about` are the members after the rows."""
        self._rows, self._places = listing.rows, places
        self._end = b"]," + msgspec.json.encode(about)[1:]
        sizes = sum(len(listing.rows[each]) for each in places)
        self.length = len(_HEAD) + sizes + max(0, len(places) - 1) + len(self._end)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, some tens of kilobytes at a time."""
        yield _HEAD
        for start in range(0, len(self._places), PIECE_ROWS):
            rows = [self._rows[each] for each in self._places[start : start + PIECE_ROWS]]
            yield (b"," if start else b"") + b",".join(rows)
        yield self._end


class PiecesResponse(Response):
    """Sends pieces as fast as the caller takes them; nothing is copied as a whole."""

    media_type = "application/json"

    def __init__(self, body: Body, headers: dict[str, str]) -> None:
        """The length is known beforehand."""
        super().__init__(None, 200, {**headers, "content-length": str(body.length)})
        self._pieces = body.pieces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


_HEAD = b'{"object":"list","data":['


def _row(made: dict[str, Any]) -> tuple[str, str, bytes]:
    return made["source_gateway"], made["provider_slug"], msgspec.json.encode(made)


def _short(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()
