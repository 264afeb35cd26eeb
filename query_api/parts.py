"""What the read routes are given: connections, callers, a cache, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

from fastapi import Depends, Request

from edge.asgi import header_of
from edge.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.caller import Authenticate
    from event_store.postgres.database import Connects
    from projections.engine.sinks.port import Sink


class Cache(Protocol):
    """Keeps what cost a query for a moment."""

    async def get(self, name: str) -> bytes | None:
        """The value, while it lives."""
        ...

    async def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for some seconds."""
        ...


class ReadParts(NamedTuple):
    """Made once for each process; hung on the application as `app.state.read_parts`."""

    reads: Connects
    authenticate: Authenticate
    cache: Cache
    sinks: Mapping[str, Sink]
    page_max: int
    wait_s: float
    ranking_days_max: int
    ranking_cache_s: float


async def _parts_of(request: Request) -> ReadParts:
    parts: ReadParts = request.app.state.read_parts
    return parts


Parts = Annotated[ReadParts, Depends(_parts_of)]


async def _caller_of(request: Request, parts: Parts) -> Caller:
    return await parts.authenticate(header_of(request.scope, b"authorization"))


Calling = Annotated[Caller, Depends(_caller_of)]
"""The authenticated caller of a route."""
