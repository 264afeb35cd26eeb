"""Changing a user's role: decided by the domain from the user's stream and the number of admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventsourcing.persistence import IntegrityError

from domain.errors import InvalidCommandError
from domain.identity.roles import RoleWish, change_role, replay_user
from event_store.beside.user_roles import count_admins
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from uuid import UUID

    from domain.events.access import UserRoleChanged
    from event_store.postgres.database import Connects, Database

TRIES_MAX = 5
"""How often a change is decided anew because another one came between."""


class Actor(NamedTuple):
    """Who acts: as events name them, their user id (None for an operator), where they are."""

    name: str
    user_id: str | None = None
    origin: str = ""


def give_role(
    database: Database, user_id: UUID, role: str, *, actor: Actor, reason: str
) -> UserRoleChanged | None:
    """As `change_role_of`, by a process that does nothing else."""
    aggregates = Aggregates(database)
    try:
        return change_role_of(database, aggregates, user_id, role, actor=actor, reason=reason)
    finally:
        aggregates.close()


def change_role_of(
    database: Connects,
    aggregates: Aggregates,
    user_id: UUID,
    role: str,
    *,
    actor: Actor,
    reason: str,
) -> UserRoleChanged | None:
    """Give a user a role; returns what changed, None where it was so already.

    Raises InvalidCommandError or one of those below it, and PersistenceError or psycopg.Error.
    """
    for _ in range(TRIES_MAX):
        events = _decided(database, aggregates, user_id, role, actor=actor, reason=reason)
        try:
            if events:
                aggregates.append(events)
        except IntegrityError:
            continue  # Somebody else was quicker, perhaps with the last but one admin.
        return events[0] if events else None
    message = "the roles are being changed by somebody else at this moment: try again"
    raise InvalidCommandError(message)


def _decided(
    database: Connects,
    aggregates: Aggregates,
    user_id: UUID,
    role: str,
    *,
    actor: Actor,
    reason: str,
) -> list[UserRoleChanged]:
    with database.connect() as connection:
        admins = count_admins(connection)
    envelope = new_envelope(actor.name)
    return change_role(
        replay_user(aggregates.events_of(user_id)),
        RoleWish(to=role, admins=admins, by_user_id=actor.user_id, reason=reason),
        event_id=envelope["id"],
        now=envelope["effective_at"],
        actor=actor.name,
        correlation_id=envelope["correlation_id"],
        origin=actor.origin,
    )
