"""What a serving process does for admins: their changes of roles, and notes of what they read."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid5

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from command_api.roles.commands import Actor, change_role_of
from domain.events.access import AdminRead
from edge.errors import unavailable
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.people import People
    from domain.events.access import UserRoleChanged
    from edge.caller import Caller

T = TypeVar("T")

NOTED_MAX = 10_000
"""Notes that a process remembers; what it forgot is refused by the log, as it was noted."""
HOUR_S = 3_600


class AdminDesk:
    """One for each process."""

    def __init__(self, people: People, forget: Callable[[str], None]) -> None:
        """`forget` is told the user whose keys are to be looked up anew."""
        self._people, self._forget = people, forget
        self._noted: set[UUID] = set()

    async def give_role(
        self, caller: Caller, user_id: UUID, role: str, *, reason: str, address: str
    ) -> UserRoleChanged | None:
        """As the command, by a caller; it counts here at once, elsewhere within a second.

        Raises what the command raises, and ApiError 503 where the ledger is away.
        """
        actor = Actor(caller.actor, caller.user_id, self._people.vault.origin(address))
        changed = await self._written(
            lambda: change_role_of(
                self._people, self._people.events, user_id, role, actor=actor, reason=reason
            )
        )
        if changed is not None:
            self._forget(str(user_id))
        return changed

    async def note_read(
        self, caller: Caller, user_id: str | None, *, route: str, address: str
    ) -> None:
        """Write into the log that an admin is about to be shown a user's data, None for many's.

        Once an hour (of UTC) for an admin, a user and a route, at all processes together: the
        stream's id says for what, and has one event. Raises ApiError 503 where it cannot be noted;
        nothing is shown then.
        """
        hour = int(time.time()) // HOUR_S
        stream = uuid5(UUID(caller.user_id), f"read {user_id} {route} {hour}")
        if stream in self._noted:
            return
        note = AdminRead(
            originator_id=stream,
            originator_version=1,
            **new_envelope(caller.actor),
            by_user_id=caller.user_id,
            route=route,
            user_id=user_id,
            origin=self._people.vault.origin(address),
        )
        await self._written(lambda: self._append(note))
        if len(self._noted) >= NOTED_MAX:
            self._noted.clear()
        self._noted.add(stream)

    def _append(self, note: AdminRead) -> None:
        # Noted within the hour, by another process or before a restart, it is refused.
        with suppress(IntegrityError):
            self._people.events.append([note])

    async def _written(self, write: Callable[[], T]) -> T:
        try:
            return await self._people.run(write)
        except (PersistenceError, psycopg.OperationalError):
            message = "The ledger cannot be reached: nothing was changed, nothing is shown."
            raise unavailable("ledger_unavailable", message) from None
