"""Plans are ordinary aggregates; a plan and the quotas it comes to are saved together, or neither.

All methods block, and are called on the lane of people.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import IntegrityError

from command_api.identity.people import ACTOR
from command_api.quotas.commands import check_room
from domain.errors import InvalidCommandError, UnknownUserError
from domain.events.quotas import QuotaSet
from domain.plans.assignment import (
    Owner,
    assign_plan,
    end_after,
    end_plan,
    limit_quotas,
    replay_plan,
)
from domain.plans.catalog import NO_PLAN, plan_named
from domain.plans.limits import quotas_of
from domain.quotas.orders import QuotaState, replay_quota
from event_store.ids import new_envelope
from event_store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    import psycopg

    from command_api.identity.people import People
    from domain.events.base import By, Event
    from domain.plans.assignment import UserPlan
    from domain.quotas.orders import QuotaTarget


class Plans:
    """The commands; one for each process."""

    def __init__(self, people: People, *, planless: bool) -> None:
        """With `planless` limits bind a user whose plan has ended."""
        self._people, self._planless = people, planless

    def assign(
        self, user_id: UUID, named: str | int, months: int | None, by: By, actor: str
    ) -> UserPlan:
        """Put a user on a plan, for months or without an end; returns what they have then.

        Raises UnknownUserError, UnknownPlanError, InvalidCommandError.
        """
        plan = plan_named(named)

        def decide(state: UserPlan, owner: Owner) -> list[Event]:
            stamp = new_envelope(actor)
            ends = None if months is None else end_after(stamp["effective_at"], months)
            return [
                assign_plan(state, owner, plan, ends, by, stamp),
                *limit_quotas(quotas_of(plan, *owner), self._quota, lambda: new_envelope(actor)),
                *self._without(owner, actor),
            ]

        return self._save(user_id, decide)

    def end(self, user_id: UUID, by: By, actor: str) -> UserPlan:
        """Take a user's plan away. Raises UnknownUserError, InvalidCommandError."""
        return self._save(
            user_id, lambda state, owner: [end_plan(state, owner, by, new_envelope(actor))]
        )

    def _save(self, user_id: UUID, decide: Callable[[UserPlan, Owner], list[Event]]) -> UserPlan:
        with self._locked(user_id) as connection:
            owner = Owner(user_id, _account(connection, user_id))
            told = self._people.events.events_of(owner.stream)
            events = decide(replay_plan(told), owner)
            if any(isinstance(each, QuotaSet) for each in events):
                check_room(connection, owner.account_id)
            try:
                self._people.events.append(events)
            except IntegrityError:
                message = "the plan is being changed by others at this moment: try again"
                raise InvalidCommandError(message) from None
        return replay_plan([*told, *events[:1]])

    @contextmanager
    def _locked(self, user_id: UUID) -> Iterator[psycopg.Connection[Any]]:
        """A connection; nobody else commands the user's plan meanwhile."""
        with self._people.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [Lock.PLANS, str(user_id)]
            )
            yield connection

    def _without(self, owner: Owner, actor: str) -> list[Event]:
        """What binds the user once the plan has ended, where the house wants that."""
        if not self._planless:
            return []
        wanted = quotas_of(NO_PLAN, *owner, planned=False)
        return limit_quotas(wanted, self._quota, lambda: new_envelope(actor))

    def _quota(self, target: QuotaTarget) -> QuotaState:
        return replay_quota(self._people.events.events_of(target.stream))


def planless_newcomers(user_id: UUID, account_id: UUID) -> list[Event]:
    """What binds somebody who registers, and has no plan."""
    wanted = quotas_of(NO_PLAN, user_id, account_id, planned=False)
    return limit_quotas(wanted, lambda _: QuotaState(), lambda: new_envelope(ACTOR))


def _account(connection: psycopg.Connection[Any], user_id: UUID) -> UUID:
    """The user's own account; raises UnknownUserError."""
    row = connection.execute(
        "SELECT account_id FROM user_secret WHERE user_id = %s AND wrapped_key IS NOT NULL",
        [user_id],
    ).fetchone()
    if row is None:
        message = f"there is no user {user_id}"
        raise UnknownUserError(message)
    found: UUID = row[0]
    return found
