"""Events of who may do what, of who looked at what, and of which books are closed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from domain.events.base import Event

BOOKS = UUID("00000000-0000-7000-8000-000000b00c50")
"""The one stream of these events."""


@dataclass(frozen=True, kw_only=True)
class UserRoleChanged(Event):
    """A user's role became another one.

    `by_user_id` is the user who did it, None for an operator at a shell; `origin` stands for the
    address that the request came from (a keyed hash), empty for none. An empty `reason` says that
    none was given.
    """

    TOPIC = "user.role_changed.v1"
    CATEGORY = "user"

    from_role: str
    to_role: str
    reason: str = ""
    by_user_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class AdminRead(Event):
    """An admin was shown another user's data: once an hour for an admin, a user and a route.

    `user_id` is whose data it was, None where it was several users'; `route` is the path's
    template, `origin` as of a change of role.
    """

    TOPIC = "data.read.v1"
    CATEGORY = "admin_read"

    by_user_id: str
    route: str
    user_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class PeriodClosed(Event):
    """All that is dated before `until` is final; what comes later is dated from then on.

    `until` is the begin of a month in UTC. `by_user_id` is who closed it, None for an operator at a
    shell; `origin` stands for the address that the request came from (a keyed hash).
    """

    TOPIC = "books.period_closed.v1"
    CATEGORY = "books"

    until: str
    reason: str = ""
    by_user_id: str | None = None
    origin: str = ""
