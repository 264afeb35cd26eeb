"""Balance and statement of an account, from the `account_balances` projection.

Reads its caller's own writes: it waits, for a bounded time, until the projection has reached
the head that the log had when the request came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.ledger.lots import TRIAL_REQUESTS_MAX, TRIAL_TOKENS_MAX
from domain.pricing.money import format_usd
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes

if TYPE_CHECKING:
    from event_store.postgres.database import Connects

BALANCES = projection_named("account_balances")
STATEMENT = projection_named("credit_statement")


def read_balance(database: Connects, account_id: str, *, wait_s: float) -> dict[str, Any]:
    """What an account holds now; lots that expired unbooked are left out (rule 9)."""
    account = UUID(account_id)
    with database.connect() as connection:
        await_own_writes(connection, BALANCES, wait_s)
        row = connection.execute(
            "SELECT granted, held, settled, breakage, requests, tokens, position "
            "FROM read_account_balance WHERE account_id = %s",
            [account],
        ).fetchone()
        lots = connection.execute(
            "SELECT lot_id, kind, granted, available, granted_at, expires_at, "
            "coalesce(expires_at <= booking_clock(), false) FROM read_credit_lot "
            "WHERE account_id = %s ORDER BY granted_at",
            [account],
        ).fetchall()
    granted, held, settled, breakage, requests, tokens, position = row or (0,) * 7
    lapsed = sum(lot[3] for lot in lots if lot[6])
    available = sum(lot[3] for lot in lots if not lot[6])
    balance = {
        "granted_nano_usd": granted,
        "granted_usd": format_usd(granted),
        "available_nano_usd": available,
        "available_usd": format_usd(available),
        "held_nano_usd": held,
        "held_usd": format_usd(held),
        "settled_nano_usd": settled,
        "settled_usd": format_usd(settled),
        "breakage_nano_usd": breakage + lapsed,
        "breakage_usd": format_usd(breakage + lapsed),
        "position": position,
        "lots": [
            {
                "id": str(lot[0]),
                "kind": lot[1],
                "granted_nano_usd": lot[2],
                "available_nano_usd": 0 if lot[6] else lot[3],
                "expires_at": to_iso(lot[5]) if lot[5] else None,
            }
            for lot in lots
        ],
    }
    trial = [lot for lot in lots if lot[1] == "trial"]
    if trial and len(trial) == len(lots):
        balance["status"] = "trial"
        balance["trial_end_date"] = to_iso(trial[-1][5]) if trial[-1][5] else None
        balance["tokens_remaining"] = max(0, TRIAL_TOKENS_MAX - tokens)
        balance["requests_remaining"] = max(0, TRIAL_REQUESTS_MAX - requests)
    else:
        balance["status"] = "active"
    return balance


def read_transactions(
    database: Connects,
    account_id: str,
    *,
    limit: int,
    offset: int,
    transaction_type: str | None,
    wait_s: float,
) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """A page of the statement, newest first, the number of all lines, and sums by type."""
    account = UUID(account_id)
    with database.connect() as connection:
        await_own_writes(connection, STATEMENT, wait_s)
        rows = connection.execute(
            "SELECT position, event_id, transaction_type, amount, balance_before, balance_after, "
            "house_loss, description, call_id, payment_id, booked_at, effective_at "
            "FROM read_credit_statement "
            "WHERE account_id = %s AND (%s::text IS NULL OR transaction_type = %s) "
            "ORDER BY position DESC LIMIT %s OFFSET %s",
            [account, transaction_type, transaction_type, limit, offset],
        ).fetchall()
        sums = connection.execute(
            "SELECT transaction_type, count(*), sum(amount)::bigint FROM read_credit_statement "
            "WHERE account_id = %s AND (%s::text IS NULL OR transaction_type = %s) GROUP BY 1",
            [account, transaction_type, transaction_type],
        ).fetchall()
    lines = [
        {
            "id": str(row[1]),
            "position": row[0],
            "transaction_type": row[2],
            "amount_nano_usd": row[3],
            "balance_before_nano_usd": row[4],
            "balance_after_nano_usd": row[5],
            "description": row[7],
            "payment_id": row[9],
            "created_at": to_iso(row[10]),
            "effective_at": to_iso(row[11]),
            "metadata": {
                "call_id": str(row[8]) if row[8] else None,
                "house_loss_nano_usd": row[6],
            },
        }
        for row in rows
    ]
    return lines, sum(row[1] for row in sums), {row[0]: row[2] for row in sums}
