"""The calls of an account that ended, page by page, from the activity log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.pricing.money import format_usd
from event_store.ids import to_iso
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.usage.activity_log import read_recent
from query_api.calls.queries import ACTIVITY

if TYPE_CHECKING:
    from event_store.postgres.database import Connects
    from projections.usage.activity_log import Happened


def page_of_calls(
    database: Connects,
    account_id: str,
    *,
    limit: int,
    before: int | None,
    own_key: bool | None,
    wait_s: float,
) -> dict[str, Any]:
    """The account's calls that ended, the newest first, as OpenAI writes a list.

    One that is under way is not among them. `own_key` asks for those alone that went with an own
    provider key, or that did not. Raises ProjectionLaggingError.
    """
    with database.connect() as connection:
        await_own_writes(connection, ACTIVITY, wait_s)
        rows = read_recent(
            select_on(connection),
            UUID(account_id),
            limit=limit + 1,
            calls=True,
            own_key=own_key,
            before=before,
        )
    shown = rows[:limit]
    return {
        "object": "list",
        "data": [_ended(each) for each in shown],
        "has_more": len(rows) > limit,
        "next_before": shown[-1].position if len(rows) > limit else None,
    }


def _ended(row: Happened) -> dict[str, Any]:
    """One end of a call; its story has the rest."""
    return {
        "id": str(row.call_id),
        "object": "call.end",
        "status": row.activity.removeprefix("hold_"),
        "provider": row.provider,
        "model": row.model,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "posted_nano_usd": row.amount_nano_usd,
        "posted_usd": format_usd(row.amount_nano_usd),
        "own_key": row.own_key or None,
        "own_key_cost_nano_usd": row.own_key_cost_nano_usd or 0,
        "duration_ms": row.duration_ms,
        "position": row.position,
        "booked_at": to_iso(row.booked_at),
    }
