"""Events of users' plans. Each user's is a stream; what the plan allows stands on its quotas."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class PlanEvent(Event):
    """An act on the plan of a user, which binds what `account_id`, the user's own, pays for.

    `by_user_id` is the user who did it, None for an operator at a shell; `origin` stands for the
    address that the request came from (a keyed hash), empty for none.
    """

    CATEGORY = "plan"

    user_id: str
    account_id: str
    by_user_id: str | None = None
    origin: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanAssigned(PlanEvent):
    """The user has this plan from now on, in the place of any other.

    It counts no more at `expires_at`; None is without an end.
    """

    TOPIC = "plan.assigned.v1"

    plan: str
    expires_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlanEnded(PlanEvent):
    """The user has no plan from now on."""

    TOPIC = "plan.ended.v1"

    plan: str
