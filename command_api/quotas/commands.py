"""Quotas are ordinary aggregates: set, set anew, removed, each by an event of its own stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.errors import InvalidCommandError
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.quotas.terms import ScopeKind, Unit, check_limit, quota_id
from domain.quotas.windows import UTC_NAME, Window
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from uuid import UUID

    from domain.events.quotas import QuotaEvent
    from event_store.postgres.database import Database

QUOTAS_PER_ACCOUNT_MAX = 1_000
"""Most quotas that an account can have; all of those that bind a call are looked at."""
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


class Quotas:
    """The commands; one for each run of the command line."""

    def __init__(self, database: Database, *, actor: str) -> None:
        """`actor` stands on the events."""
        self._database, self._actor = database, actor
        self._aggregates = Aggregates(database)

    def close(self) -> None:
        """Disconnect."""
        self._aggregates.close()

    def scope_of_key(self, key_id: str) -> Scope:
        """The scope of a key, named by its id; raises InvalidCommandError."""
        with self._database.connect() as connection:
            return scope_of_key(connection, key_id)

    def set(
        self, scope: Scope, unit: Unit, window: Window, limit: int, zone: str = UTC_NAME
    ) -> tuple[UUID, bool]:
        """Allow so much in each window; returns (quota id, whether that changed anything).

        Raises InvalidCommandError for a limit or a zone that cannot be.
        """
        check_limit(limit)
        if not _ZONE.fullmatch(zone):
            message = f"{zone!r} is not the name of a time zone: give one like Europe/Berlin"
            raise InvalidCommandError(message)
        made, known = self._known(scope, unit, window)
        last = known[-1] if known else None
        if isinstance(last, QuotaSet) and (last.limit, last.zone) == (limit, zone):
            return made, False
        if not known:
            self._refuse_too_many(scope.account_id)
        event = QuotaSet(
            originator_id=made,
            originator_version=len(known) + 1,
            **new_envelope(self._actor),
            account_id=str(scope.account_id),
            scope_kind=scope.kind,
            scope_id=str(scope.scope_id),
            unit=unit,
            window=window,
            limit=limit,
            zone=zone,
        )
        try:
            self._append(event)
        except PersistenceError as error:
            if not isinstance(error.__cause__, psycopg.errors.NotNullViolation):
                raise
            message = f"the database knows no time zone {zone!r}: give one like Europe/Berlin"
            raise InvalidCommandError(message) from None
        return made, True

    def remove(self, scope: Scope, unit: Unit, window: Window) -> tuple[UUID, bool]:
        """Bind no further call; returns (quota id, whether it was set).

        Raises InvalidCommandError where there never was one.
        """
        made, known = self._known(scope, unit, window)
        if not known:
            message = f"there is no quota of {unit} by {window} on this {scope.kind}"
            raise InvalidCommandError(message)
        if isinstance(known[-1], QuotaRemoved):
            return made, False
        self._append(
            QuotaRemoved(
                originator_id=made,
                originator_version=len(known) + 1,
                **new_envelope(self._actor),
                account_id=str(scope.account_id),
            )
        )
        return made, True

    def _known(self, scope: Scope, unit: Unit, window: Window) -> tuple[UUID, list[QuotaEvent]]:
        account, named = str(scope.account_id), str(scope.scope_id)
        made = quota_id(account, scope.kind, named, unit, window)
        events = self._aggregates.events_of(made)
        return made, [each for each in events if isinstance(each, QuotaSet | QuotaRemoved)]

    def _refuse_too_many(self, account_id: UUID) -> None:
        with self._database.connect() as connection:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM quota WHERE account_id = %s", [account_id]
            ).fetchall()
        if count >= QUOTAS_PER_ACCOUNT_MAX:
            message = f"account {account_id} has {count} quotas, and cannot have more"
            raise InvalidCommandError(message)

    def _append(self, event: QuotaEvent) -> None:
        """Raises InvalidCommandError where somebody else was faster."""
        try:
            self._aggregates.append([event])
        except IntegrityError as error:
            if isinstance(error.__cause__, psycopg.errors.NotNullViolation):
                raise
            message = "the quota was changed by somebody else at this moment: try again"
            raise InvalidCommandError(message) from None
