"""`key_usage`: what each API key was used for since it exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.ledger import HoldResolved
from projections.call_facts import UNKNOWN, facts_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, counts, key, sums

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

KEY_USAGE = Table(
    name="key_usage",
    about="One row a key that was used; money in nano-USD.",
    columns=(
        key("key_id", "text"),
        Column("account_id", "uuid", Merge.FIRST),
        *counts("requests", "errors"),
        *sums("input_tokens", "output_tokens", "charged_nano_usd"),
        Column("first_used_at", "timestamptz", Merge.MIN),
        Column("last_used_at", "timestamptz", Merge.MAX),
    ),
    indexes=("account_id",),
)


class KeyUsage(Projection):
    """See the module."""

    name = "key_usage"
    about = "Use of each API key."
    tables = (KEY_USAGE,)
    handles = (HoldResolved,)
    revision = 2

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count a call for the key that made it."""
        event = entry.event
        assert isinstance(event, HoldResolved)
        facts = changes.worked.once(facts_of, entry.position, event)
        if facts.key_id == UNKNOWN:
            return
        changes.merge(
            KEY_USAGE,
            (facts.key_id,),
            (
                event.account_id,
                1,
                0 if facts.settled else 1,
                facts.input_tokens,
                facts.output_tokens,
                facts.charged,
                event.effective_at,
                event.effective_at,
            ),
        )


class KeyInUse(NamedTuple):
    """A key as it stands beside the log, and what it was used for."""

    key_id: str
    masked: str
    name: str
    environment: str
    is_active: bool
    revoked: bool
    expires_at: datetime | None
    limits: dict[str, Any]
    created_at: datetime | None
    changed_at: datetime | None
    requests: int
    last_used_at: datetime | None
    max_requests: int | None
    """The quota of requests in all, and what counts towards it: used, and held by calls."""
    quota_used: int
    quota_held: int
    project_id: str | None
    cache: dict[str, Any]


def read_keys_in_use(select: Select, user_id: UUID) -> list[KeyInUse]:
    """The keys of a user that were not deleted, oldest first."""
    rows = select(
        "SELECT k.key_id::text, k.masked, k.name, k.environment, k.active AND NOT k.revoked, "
        "k.revoked, k.expires_at, coalesce(k.limits, '{}'), "
        "(SELECT booked_at FROM events e "
        "WHERE e.originator_id = k.key_id AND e.originator_version = 1), "
        "(SELECT booked_at FROM events e WHERE e.notification_id = k.position), "
        "coalesce(u.requests, 0), u.last_used_at, "
        "q.quota_limit, coalesce(w.used, 0), coalesce(w.held, 0), k.project_id::text, "
        "coalesce(k.cache, '{}') "
        f"FROM api_key k LEFT JOIN {KEY_USAGE.view} u ON u.key_id = k.key_id::text "
        "LEFT JOIN quota q ON q.account_id = k.account_id AND q.scope_id = k.key_id "
        "AND q.scope_kind = 'key' AND q.unit = 'requests' AND q.period = 'total' "
        "AND NOT q.removed "
        "LEFT JOIN LATERAL quota_now(q.account_id, q.quota_id, 'epoch') w ON true "
        "WHERE k.user_id = %s AND NOT k.replaced AND NOT k.deleted ORDER BY k.key_id",
        [user_id],
    )
    return [KeyInUse(*row) for row in rows]


def read_last_use(select: Select, account_id: UUID) -> datetime | None:
    """When a call of the account ended last."""
    ((last,),) = select(
        f"SELECT max(last_used_at) FROM {KEY_USAGE.view} WHERE account_id = %s", [account_id]
    )
    found: datetime | None = last
    return found
