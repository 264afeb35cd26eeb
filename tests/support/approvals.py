"""Requests for tests: as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.approvals.requests import (
    Act,
    Order,
    decide_approval,
    replay_approval,
    request_approval,
)
from domain.events.base import By
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ASKED, DECIDED = By(None, "", "test"), By("ann", "origin-0012", "seen")
DECIDE_BY = "2090-01-01T00:00:00.000000Z"


def tell_approvals(database: Database, account_id: str) -> None:
    """One that is open, one approved, one declined."""
    aggregates = Aggregates(database)
    try:
        for approve in (None, True, False):
            order = Order(
                act=Act.GRANT, account_id=account_id, amount=5, kind="bonus", made_id=new_uuid7()
            )
            stamp = new_envelope("operator:cli")
            asked = request_approval(None, order, ASKED, stamp, DECIDE_BY)
            aggregates.append(asked)
            if approve is not None:
                known, stamp = replay_approval(asked), new_envelope("user:ann")
                now = stamp["effective_at"]
                aggregates.append(decide_approval(known, DECIDED, stamp, now, approve=approve))
    finally:
        aggregates.close()
