"""`approvals`: grants and debits that wait for a second admin, and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.money.approvals import (
    ApprovalDeclined,
    ApprovalEvent,
    ApprovalGiven,
    ApprovalRequested,
)
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, key

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

APPROVALS = Table(
    name="approval",
    about="One row a request; it is open while nothing was decided and `decide_by` is to come.",
    columns=(
        key("approval_id", "uuid"),
        Column("account_id", "uuid", Merge.LATEST, by="requested_position"),
        Column("act", "text", Merge.LATEST, by="requested_position", about="grant or debit"),
        Column("amount_nano_usd", "bigint", Merge.LATEST, by="requested_position"),
        Column("reason", "text", Merge.LATEST, by="requested_position"),
        Column("requested_by", "text", Merge.LATEST, by="requested_position", about="Who acted."),
        Column("requested_at", "timestamptz", Merge.LATEST, by="requested_position"),
        Column("decide_by", "timestamptz", Merge.LATEST, by="requested_position"),
        Column("decision", "text", Merge.LATEST, by="decided_position", about="Or null."),
        Column("decided_by", "text", Merge.LATEST, by="decided_position", about="Who acted."),
        Column("decided_at", "timestamptz", Merge.LATEST, by="decided_position"),
        Column("requested_position", "bigint", Merge.MAX),
        Column("decided_position", "bigint", Merge.MAX, about="0 while nothing was decided."),
    ),
    indexes=("requested_position",),
)


class Approvals(Projection):
    """See the module."""

    name = "approvals"
    about = "Grants and debits that wait for a second admin."
    tables = (APPROVALS,)
    handles = (ApprovalEvent,)

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Take a request or a decision."""
        event, place = entry.event, (str(entry.event.originator_id),)
        match event:
            case ApprovalRequested():
                told = (event.account_id, event.act, event.amount_nano_usd, event.reason)
                when = (event.actor, entry.booked_at, event.decide_by)
                changes.merge(APPROVALS, place, (*told, *when, None, None, None, entry.position, 0))
            case ApprovalGiven() | ApprovalDeclined():
                decision = "approved" if isinstance(event, ApprovalGiven) else "declined"
                decided = (decision, event.actor, entry.booked_at)
                changes.merge(APPROVALS, place, (*(None,) * 7, *decided, 0, entry.position))
            case _:
                pass


class ApprovalRow(NamedTuple):
    """A request; nano-USD."""

    approval_id: UUID
    account_id: UUID
    act: str
    amount_nano_usd: int
    reason: str
    requested_by: str
    requested_at: datetime
    decide_by: datetime
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    carried_out: bool
    """Whether the ledger has the lot or the debit that it was to become."""


# Who dies between an approval and the append leaves one that is approved, and moved nothing.
_CARRIED_OUT = """decision IS NOT DISTINCT FROM 'approved' AND EXISTS (
SELECT FROM events e CROSS JOIN LATERAL (
  SELECT (convert_from(e.state, 'UTF8')::jsonb ->> 'made_id')::uuid AS id) AS made
WHERE e.originator_id = approval_id AND e.originator_version = 1
  AND (EXISTS (SELECT FROM grant_key g WHERE g.lot_id = made.id)
    OR EXISTS (SELECT FROM debit_key d WHERE d.debit_id = made.id)))"""
_COLUMNS = ", ".join(
    _CARRIED_OUT if name == "carried_out" else name for name in ApprovalRow._fields
)
_OPEN = (
    "(decision IS NULL AND decide_by > booking_clock()) "
    f"OR (decision = 'approved' AND NOT ({_CARRIED_OUT}))"
)
_NEWEST = "ORDER BY requested_position DESC LIMIT %s"


def read_approvals(select: Select, *, open_only: bool, limit: int) -> list[ApprovalRow]:
    """The newest requests, or those that can still be decided or are to be carried out yet."""
    if open_only:
        query = f"SELECT {_COLUMNS} FROM {APPROVALS.view} WHERE {_OPEN} {_NEWEST}"
    else:
        query = f"SELECT {_COLUMNS} FROM {APPROVALS.view} {_NEWEST}"
    return [ApprovalRow(*row) for row in select(query, [limit])]
