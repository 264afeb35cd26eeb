"""What the slices about people share: threads, connections, and the streams of users, keys, limits.

All that a serving process changes of them goes through here, so one number bounds it.

All methods but `run` block, and are called on the lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from eventsourcing.persistence import IntegrityError

from command_api.identity.credentials import Credentials
from command_api.identity.keys import KEYS_MAX, Keys
from command_api.identity.users import Users
from edge.errors import AUTHENTICATION, ApiError, unavailable
from edge.lanes import Lane
from event_store.postgres.database import ReadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.credentials import Known
    from command_api.identity.users import Newcomers
    from command_api.identity.vault import Vault
    from domain.events.base import Event
    from event_store.log.aggregates import Aggregates
    from event_store.postgres.database import Database

T = TypeVar("T")
P = ParamSpec("P")

THREADS, WAITING_MAX = 4, 100
STATEMENT_S = 5.0
VERSIONS_TRIES = 5
"""How often an event is appended to a stream to which somebody else appends at the same time."""
ACTOR = "system:sign-in"


def _too_many() -> ApiError:
    message = (
        "Too many look-ups and changes of users, keys and limits wait here already. Nothing was "
        "changed: try again."
    )
    return unavailable("people_busy", message)


class People:
    """One for each process."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        keys_max: int = KEYS_MAX,
        newcomers: Newcomers | None = None,
    ) -> None:
        """Nothing is connected yet. A user has at most `keys_max` keys.

        `newcomers` are events that are saved with each user who registers, and their account.
        """
        self._newcomers = newcomers
        self._database, self.vault, self._keys_max = database, vault, keys_max
        self.credentials = Credentials(vault)
        self._lane = Lane("people", threads=THREADS, waiting_max=WAITING_MAX, busy=_too_many)
        self._pool = ReadPool(database, connections_max=THREADS, statement_s=STATEMENT_S)

    def open(self) -> None:
        """Connect, and begin to connect more in the background."""
        self._pool.open()
        self.users = Users(self._database, self.vault, actor=ACTOR, newcomers=self._newcomers)
        self.keys = Keys(self, self.vault, self.events, keys_max=self._keys_max)

    def close(self) -> None:
        """Disconnect, and begin nothing more."""
        self._lane.close()
        self.users.close()
        self._pool.close()

    async def run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What the work gives, on a thread of the lane; raises ApiError 503 when it is full."""
        return await self._lane.run(work, *values, **named)

    @property
    def events(self) -> Aggregates:
        """The streams of users, keys and sessions."""
        return self.users.aggregates

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A connection for a block; its statements have an end."""
        return self._pool.connect()

    def known(self, connection: psycopg.Connection[Any], user_id: UUID) -> Known:
        """A user who has not left; raises ApiError 401."""
        known = self.credentials.by_id(connection, user_id)
        if known is None:
            message = "This user is not known here any more."
            raise ApiError(401, "user_gone", message, kind=AUTHENTICATION)
        return known

    def tell(
        self,
        user_id: UUID,
        make: Callable[[int], Sequence[Event]],
        beside: str = "",
        values: Sequence[object] = (),
        *,
        also: Callable[[Cursor[DictRow]], object] | None = None,
    ) -> None:
        """Append to the user's stream, from the version that is next, whatever else comes to it.

        What is `beside` and what `also` does stands or falls with the events.
        """

        def write(cursor: Cursor[DictRow]) -> None:
            if beside:
                cursor.execute(beside, list(values))
            if also is not None:
                also(cursor)

        for tried in range(1, VERSIONS_TRIES + 1):
            version = len(self.events.events_of(user_id)) + 1
            try:
                self.events.append(make(version), write)
            except IntegrityError:
                if tried == VERSIONS_TRIES:
                    raise
            else:
                return
