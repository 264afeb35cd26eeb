"""Users' roles: who may change whose, and what the table `user_role` has to hold.

A role is a state of the user's own stream. That somebody is left who may change roles concerns all
users at once, so whoever decides brings the number of admins, and the store refuses what two
deciders at the same instant would do together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from domain.errors import (
    InvalidCommandError,
    LastAdminError,
    OwnRoleError,
    UnknownRoleError,
    UnknownUserError,
)
from domain.events.access import UserRoleChanged
from domain.events.identity import UserRegistered
from domain.identity.permissions import Role

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import Event

REASON_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class UserState:
    """What a change of role must know of a user."""

    id: UUID
    version: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleWish:
    """Who is to have which role, and who wants it.

    `admins` is how many admins there are before; `by_user_id` is None for an operator at a shell.
    """

    to: str
    admins: int
    by_user_id: str | None
    reason: str


def role_named(text: str) -> Role:
    """One of the roles; raises UnknownRoleError naming those there are."""
    try:
        return Role(text)
    except ValueError:
        message = f"there is no role {text[:64]!r}: there are {', '.join(Role)}"
        raise UnknownRoleError(message) from None


def role_of(stored: str | None) -> Role:
    """A role as it is stored; for nothing, and for one of a newer release, that of a user."""
    try:
        return Role(stored or "")
    except ValueError:
        return Role.USER


def replay_user(events: Iterable[Event]) -> UserState | None:
    """A user's state after the events of the stream; None for nobody's."""
    state: UserState | None = None
    for event in events:
        if isinstance(event, UserRegistered):
            state = UserState(event.originator_id, event.originator_version, Role.USER)
        elif state is not None:
            role = event.to_role if isinstance(event, UserRoleChanged) else state.role
            state = replace(state, version=event.originator_version, role=role)
    return state


def change_role(
    state: UserState | None,
    wish: RoleWish,
    *,
    event_id: str,
    now: str,
    actor: str,
    correlation_id: str,
    origin: str = "",
) -> list[UserRoleChanged]:
    """Give a user a role; the one that they have already changes nothing.

    Raises UnknownRoleError, UnknownUserError, OwnRoleError, LastAdminError, and InvalidCommandError
    for a reason that is too long.
    """
    role = role_named(wish.to)
    if state is None:
        message = "no such user"
        raise UnknownUserError(message)
    if len(wish.reason) > REASON_CHARACTERS_MAX:
        message = f"a reason has at most {REASON_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    if wish.by_user_id == str(state.id):
        message = "nobody changes their own role: another admin has to do it"
        raise OwnRoleError(message)
    if role == state.role:
        return []
    if state.role == Role.ADMIN and wish.admins <= 1:
        message = "this is the last admin: make another one first"
        raise LastAdminError(message)
    return [
        UserRoleChanged(
            originator_id=state.id,
            originator_version=state.version + 1,
            id=event_id,
            effective_at=now,
            actor=actor,
            correlation_id=correlation_id,
            from_role=state.role,
            to_role=role,
            reason=wish.reason,
            by_user_id=wish.by_user_id,
            origin=origin,
        )
    ]


@dataclass(slots=True)
class UserRoles:
    """The role of every user whose role was ever changed, folded from the log."""

    by_user: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The role, and the position of its last change."""

    def apply(self, event: Event, position: int) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, UserRoleChanged):
            self.by_user[str(event.originator_id)] = event.to_role, position
