"""Sets quotas through the library, as the commands do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.quotas.terms import quota_id
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.postgres.database import Database


def set_quota(  # a quota has so many terms
    database: Database,
    account: UUID,
    scope_kind: str,
    scope_id: UUID,
    unit: str,
    window: str,
    limit: int,
    *,
    zone: str = "UTC",
) -> UUID:
    """Set a quota, for the first time or anew; returns its id."""
    made = quota_id(str(account), scope_kind, str(scope_id), unit, window)
    aggregates = Aggregates(database)
    try:
        known = aggregates.events_of(made)
        aggregates.append(
            [
                QuotaSet(
                    originator_id=made,
                    originator_version=len(known) + 1,
                    **new_envelope("test"),
                    account_id=str(account),
                    scope_kind=scope_kind,
                    scope_id=str(scope_id),
                    unit=unit,
                    window=window,
                    limit=limit,
                    zone=zone,
                )
            ]
        )
    finally:
        aggregates.close()
    return made


def remove_quota(database: Database, quota: UUID) -> None:
    """Remove it."""
    aggregates = Aggregates(database)
    try:
        known = aggregates.events_of(quota)
        aggregates.append(
            [
                QuotaRemoved(
                    originator_id=quota,
                    originator_version=len(known) + 1,
                    **new_envelope("test"),
                    account_id=known[0].account_id,  # type: ignore[attr-defined]
                )
            ]
        )
    finally:
        aggregates.close()
