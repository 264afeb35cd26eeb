"""What the read routes are given: connections, callers, a cache, and their limits."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Request

from domain.errors import DomainError
from domain.identity.permissions import Permission
from domain.organisations.roles import check_act
from edge.access import Needs, refused_act
from edge.asgi import header_of
from edge.caller import Caller
from edge.clients import client_of
from event_store.beside.organisations import read_memberships

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi.routing import APIRoute

    from domain.organisations.roles import Act
    from edge.lanes import Flights, Lane
    from event_store.postgres.database import Connects
    from projections.engine.sinks.port import Sink


T = TypeVar("T")


class Reads(NamedTuple):
    """Connections for reading, and the threads that may use them."""

    database: Connects
    lane: Lane

    async def run(self, read: Callable[..., T], *values: Any, **named: Any) -> T:
        """What `read` gives for the database and the values; raises ApiError 503 when busy."""
        return await self.lane.run(read, self.database, *values, **named)


class Cache(Protocol):
    """Keeps what cost a query for a moment."""

    async def get(self, name: str) -> bytes | None:
        """The value, while it lives."""
        ...

    async def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for some seconds."""
        ...


class NoteRead(Protocol):
    """Writes down that an admin is about to be shown another user's data."""

    async def __call__(
        self, caller: Caller, user_id: str | None, *, route: str, address: str
    ) -> None:
        """Raises ApiError 503 where it cannot be written; nothing may be shown then."""
        ...


class ReadParts(NamedTuple):
    """Made once for each process; hung on the application as `app.state.read_parts`."""

    account: Reads
    """For callers' own accounts and calls."""
    public: Reads
    """For what anybody may ask; it waits for itself alone."""
    cache: Cache
    flights: Flights
    sinks: Mapping[str, Sink]
    page_max: int
    wait_s: float
    ranking_days_max: int
    ranking_cache_s: float
    public_statistics: bool
    """Whether money and numbers of users are shown to anybody."""
    note_read: NoteRead
    issuer: str
    """Who issues customers' statements."""

    async def organisation_account(self, caller: Caller, organisation_id: str, act: Act) -> str:
        """The account of an organisation in which the caller may do this.

        Raises ApiError 404 for who is no member, and 403.
        """
        try:
            return await self.account.run(_account_of, caller.user_id, organisation_id, act)
        except DomainError as error:
            raise refused_act(error) or error from None

    async def admin_reads(self, request: Request, caller: Caller, user_id: str | None) -> None:
        """To be awaited before a route shows a user's data (None: several users') to an admin.

        One's own is nobody else's business. Raises ApiError 503.
        """
        if user_id != caller.user_id:
            route: APIRoute = request.scope["route"]
            await self.note_read(caller, user_id, route=route.path, address=client_of(request))


def _account_of(database: Connects, user_id: str, organisation_id: str, act: Act) -> str:
    """Raises NotAMemberError and ActForbiddenError."""
    found = []
    with suppress(ValueError):
        of = UUID(organisation_id)
        with database.connect() as connection:
            found = read_memberships(connection, UUID(user_id), of)
    check_act(found[0].role if found else None, act)
    return str(found[0].account_id)


async def _parts_of(request: Request) -> ReadParts:
    parts: ReadParts = request.app.state.read_parts
    return parts


Parts = Annotated[ReadParts, Depends(_parts_of)]


OrganisationReader = Annotated[Caller, Depends(Needs(Permission.READ_ORGANISATIONS).caller)]
"""The caller of a route about an organisation's account."""

_usage = Needs(Permission.READ_USAGE)
UsageReader = Annotated[Caller, Depends(_usage.caller)]
"""The caller of a route about an account's own calls and credits."""


async def _sees_all(request: Request, parts: Parts) -> bool:
    asked = bool(header_of(request.scope, b"authorization"))
    if asked and not parts.public_statistics:
        await _usage.caller(request)
    return parts.public_statistics or asked


SeesAll = Annotated[bool, Depends(_sees_all)]
"""Whether money and numbers of users may be shown: to callers with a key, or to all by setting."""


class StatisticsReaders(Needs):
    """Callers who may see usage, or anybody, by setting."""

    async def anybody(self, request: Request) -> None:
        """A dependency; raises ApiError 401, 403 or 503."""
        parts: ReadParts = request.app.state.read_parts
        if not parts.public_statistics:
            await self.caller(request)


FOR_CALLERS = [Depends(StatisticsReaders(Permission.READ_USAGE).anybody)]
"""Dependencies of routes that show them throughout; raises ApiError 401."""
