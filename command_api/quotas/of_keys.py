"""How many requests a key may make: `max_requests`, a quota that is saved with its key's events.

Called under the lock of the user's keys (`command_api/identity/keys.py`); all methods block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.quotas.commands import check_room
from domain.identity.given_requests import (
    NOTHING,
    Holding,
    check_ceiling,
    check_own,
    check_writes_others,
    cost_of_giving,
)
from domain.quotas.orders import QuotaTarget, remove_quota, replay_quota, set_quota
from domain.quotas.terms import ScopeKind, Unit
from domain.quotas.windows import Window
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from domain.events.base import Event
    from event_store.log.aggregates import Aggregates

_OF_KEY = """
SELECT q.unit, q.period, q.quota_limit, greatest(q.quota_limit - (w.used + w.held), 0)
FROM quota q CROSS JOIN LATERAL quota_now(q.account_id, q.quota_id, 'epoch') w
WHERE q.account_id = %s AND q.scope_id = %s AND q.scope_kind = 'key' AND NOT q.removed
"""


class By(NamedTuple):
    """Who sets a limit: as events name them, the key that asks, whether it is the operator."""

    actor: str
    key: UUID | None
    operator: bool


class Order(NamedTuple):
    """Events to save with the key's, and what to check in the same transaction."""

    events: list[Event]
    beside: Callable[[Cursor[DictRow]], object] | None = None


class KeyQuotas:
    """Decides; the commands on keys save."""

    def __init__(self, aggregates: Aggregates) -> None:
        """The streams of quotas."""
        self._aggregates = aggregates

    def set(
        self,
        connection: psycopg.Connection[Any],
        account_id: UUID,
        key_id: UUID,
        wanted: int | None,
        by: By,
        *,
        new: bool = False,
    ) -> Order:
        """Let a key make so many requests in all; None is without a limit. `new`: it is just made.

        Raises InvalidCommandError, BeyondOwnLimitsError.
        """
        target = _target(account_id, key_id)
        given = NOTHING if new else _holding(connection, account_id, key_id)
        lost = 0
        if by.key == key_id:
            check_own(given, wanted)
        elif by.key is not None:
            lost = cost_of_giving(_holding(connection, account_id, by.key), given, wanted)
        state = replay_quota(self._aggregates.events_of(target.stream))
        if not by.operator:
            check_ceiling(state.ceiling, wanted)
        if wanted is None:
            if state.limit is None:
                return Order([])
            return Order([*remove_quota(state, target, new_envelope(by.actor))])
        if state.limit is None:
            check_room(connection, account_id)
        stamp = new_envelope(by.actor)
        events: list[Event] = [*set_quota(state, target, wanted, state.zone, stamp)]
        if not lost or by.key is None:
            return Order(events)
        own = _target(account_id, by.key)
        before = replay_quota(self._aggregates.events_of(own.stream))
        stamp = new_envelope(by.actor)
        events += set_quota(before, own, max((before.limit or 0) - lost, 0), before.zone, stamp)
        return Order(events, partial(_check_fits, own.stream))

    def removed(
        self, connection: psycopg.Connection[Any], account_id: UUID, key_id: UUID, actor: str
    ) -> list[Event]:
        """The ends of all quotas of a key that is deleted: they take no room from others."""
        events: list[Event] = []
        for unit, window, *_ in _rows(connection, account_id, key_id):
            target = _target(account_id, key_id, unit, window)
            state = replay_quota(self._aggregates.events_of(target.stream))
            events += remove_quota(state, target, new_envelope(actor))
        return events

    @staticmethod
    def check_writes_others(
        connection: psycopg.Connection[Any], account_id: UUID, key_id: UUID
    ) -> None:
        """Raise BeyondOwnLimitsError where quotas bind the key that would write others anew."""
        check_writes_others(_holding(connection, account_id, key_id))


def _target(
    account_id: UUID, key_id: UUID, unit: str = Unit.REQUESTS, window: str = Window.TOTAL
) -> QuotaTarget:
    return QuotaTarget(
        account_id=str(account_id),
        scope_kind=ScopeKind.KEY,
        scope_id=str(key_id),
        unit=unit,
        window=window,
    )


def _rows(
    connection: psycopg.Connection[Any], account_id: UUID, key_id: UUID
) -> list[tuple[Any, ...]]:
    return connection.execute(_OF_KEY, [account_id, key_id]).fetchall()


def _holding(connection: psycopg.Connection[Any], account_id: UUID, key_id: UUID) -> Holding:
    found = Holding()
    for unit, window, limit, left in _rows(connection, account_id, key_id):
        if (unit, window) == (Unit.REQUESTS, Window.TOTAL):
            found = found._replace(limit=limit, left=left)
        else:
            found = found._replace(otherwise=True)
    return found


def _check_fits(quota_id: UUID, cursor: Cursor[DictRow]) -> None:
    """Under the lock of the append: nothing is given that a call has used at this moment.

    The save is one message, so the database must refuse it: its answer comes too late.
    """
    cursor.execute("SELECT require_quota_room(%s)", [quota_id])
