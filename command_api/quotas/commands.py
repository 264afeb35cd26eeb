"""Quotas are ordinary aggregates: set, set anew, removed, each by an event of its own stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.errors import InvalidCommandError
from domain.identity.given_requests import check_ceiling
from domain.quotas.orders import QuotaTarget, remove_quota, replay_quota, set_quota
from domain.quotas.terms import ScopeKind, Unit
from domain.quotas.windows import UTC_NAME, Window
from event_store.ids import new_envelope, to_iso

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from domain.events.quotas import QuotaEvent
    from event_store.beside.quotas import QuotaNow
    from event_store.log.aggregates import Aggregates
    from event_store.postgres.database import Connects

QUOTAS_PER_ACCOUNT_MAX = 1_000
"""Most quotas that bind an account at once; all of those that bind a call are looked at."""
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a quota is set on, and the account that pays for it."""

    kind: ScopeKind
    scope_id: UUID
    account_id: UUID


def scope_of_key(connection: psycopg.Connection[Any], key_id: str) -> Scope:
    """The scope of a key, named by its id; raises InvalidCommandError."""
    row = connection.execute(
        "SELECT key_id, account_id FROM api_key WHERE key_id::text = %s LIMIT 1", [key_id]
    ).fetchone()
    if row is None:
        message = f"there is no key {key_id!r}: name one by its id (`gatewayz user show`)"
        raise InvalidCommandError(message)
    return Scope(kind=ScopeKind.KEY, scope_id=row[0], account_id=row[1])


def check_room(connection: psycopg.Connection[Any], account_id: UUID) -> None:
    """Raise InvalidCommandError for an account that has as many quotas as one may have."""
    ((count,),) = connection.execute(
        "SELECT count(*) FROM quota WHERE account_id = %s AND NOT removed", [account_id]
    ).fetchall()
    if count >= QUOTAS_PER_ACCOUNT_MAX:
        message = f"account {account_id} has {count} quotas, and cannot have more"
        raise InvalidCommandError(message)


def told(quota: QuotaNow) -> dict[str, Any]:
    """A quota and its present window, for programs."""
    return {
        "quota_id": str(quota.quota_id),
        "scope": quota.scope_kind,
        "scope_id": str(quota.scope_id),
        "unit": quota.unit,
        "window": quota.window,
        "zone": quota.zone,
        "limit": quota.limit,
        "used": quota.used,
        "held": quota.held,
        "overrun": quota.overrun,
        "resets_at": None if quota.resets_at is None else to_iso(quota.resets_at),
    }


def _target(scope: Scope, unit: Unit, window: Window) -> QuotaTarget:
    return QuotaTarget(
        account_id=str(scope.account_id),
        scope_kind=scope.kind,
        scope_id=str(scope.scope_id),
        unit=unit,
        window=window,
    )


class Quotas:
    """The commands; one for each run of the command line."""

    def __init__(self, database: Connects, aggregates: Aggregates, *, actor: str) -> None:
        """`actor` stands on the events."""
        self._database, self._aggregates, self._actor = database, aggregates, actor

    def scope_of_key(self, key_id: str) -> Scope:
        """The scope of a key, named by its id; raises InvalidCommandError."""
        with self._database.connect() as connection:
            return scope_of_key(connection, key_id)

    def set(
        self,
        scope: Scope,
        unit: Unit,
        window: Window,
        limit: int,
        zone: str = UTC_NAME,
        *,
        owner: bool = False,
    ) -> tuple[UUID, bool]:
        """Allow so much in each window; returns (quota id, whether that changed anything).

        What an `owner` sets stays below what the operator set last. Raises InvalidCommandError for
        a limit or a zone that cannot be, and BeyondOwnLimitsError.
        """
        if not _ZONE.fullmatch(zone):
            message = f"{zone!r} is not the name of a time zone: give one like Europe/Berlin"
            raise InvalidCommandError(message)
        target = _target(scope, unit, window)
        state = replay_quota(self._aggregates.events_of(target.stream))
        if owner:
            check_ceiling(state.ceiling, limit)
        events = set_quota(state, target, limit, zone, new_envelope(self._actor))
        if events and state.limit is None:
            with self._database.connect() as connection:
                check_room(connection, scope.account_id)
        try:
            self._append(events)
        except PersistenceError as error:
            if not isinstance(error.__cause__, psycopg.errors.NotNullViolation):
                raise
            message = f"the database knows no time zone {zone!r}: give one like Europe/Berlin"
            raise InvalidCommandError(message) from None
        return target.stream, bool(events)

    def remove(
        self, scope: Scope, unit: Unit, window: Window, *, owner: bool = False
    ) -> tuple[UUID, bool]:
        """Bind no further call; returns (quota id, whether it was set).

        Raises InvalidCommandError where there never was one, and BeyondOwnLimitsError where an
        `owner` would lift what the operator set.
        """
        target = _target(scope, unit, window)
        state = replay_quota(self._aggregates.events_of(target.stream))
        if owner:
            check_ceiling(state.ceiling, None)
        events = remove_quota(state, target, new_envelope(self._actor))
        self._append(events)
        return target.stream, bool(events)

    def _append(self, events: Sequence[QuotaEvent]) -> None:
        """Raises InvalidCommandError where somebody else was faster."""
        if not events:
            return
        try:
            self._aggregates.append(events)
        except IntegrityError as error:
            if isinstance(error.__cause__, psycopg.errors.NotNullViolation):
                raise
            message = "the quota was changed by somebody else at this moment: try again"
            raise InvalidCommandError(message) from None
