"""Events of who may do what, and of who looked at what."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


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
