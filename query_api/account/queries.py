"""Balance and statement of an account, as callers are shown them.

Reads its caller's own writes: it waits, for a bounded time, until the projection has reached
the head that the log had when the request came.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from domain.pricing.money import format_usd
from event_store.beside.quotas import read_trial
from event_store.beside.rate_limits import read_binding_limits
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.money.account_balances import (
    read_account_balance,
    read_lapsed,
    read_lots,
    read_spendable,
)
from projections.money.credit_statement import (
    read_expected,
    read_lines,
    read_period_sums,
    read_sums,
)
from projections.usage.key_usage import read_last_use
from projections.usage.usage_by_hour import Used, read_account_use

if TYPE_CHECKING:
    from domain.limits.rates import RateLimits
    from event_store.postgres.database import Connects
    from projections.usage.usage_by_hour import AccountUse

BALANCES = projection_named("account_balances")
STATEMENT = projection_named("credit_statement")
USAGE = projection_named("usage_by_hour")
KEYS = projection_named("key_usage")


def read_balance(database: Connects, account_id: str, *, wait_s: float) -> dict[str, Any]:
    """What an account holds now; lots that expired unbooked are left out (rule 9)."""
    account = UUID(account_id)
    with database.connect() as connection:
        await_own_writes(connection, BALANCES, wait_s)
        select = select_on(connection)
        figures = read_account_balance(select, account)
        spendable, lots = read_spendable(select, account), read_lots(select, account)
        trial = read_trial(connection, account) if spendable.trial else None
    available, breakage = spendable.available, figures.breakage + spendable.lapsed
    balance = {
        "granted_nano_usd": figures.granted,
        "granted_usd": format_usd(figures.granted),
        "available_nano_usd": available,
        "available_usd": format_usd(available),
        "held_nano_usd": figures.held,
        "held_usd": format_usd(figures.held),
        "settled_nano_usd": figures.settled,
        "settled_usd": format_usd(figures.settled),
        "breakage_nano_usd": breakage,
        "breakage_usd": format_usd(breakage),
        "debited_nano_usd": figures.debited,
        "debited_usd": format_usd(figures.debited),
        "owed_nano_usd": figures.owed,
        "owed_usd": format_usd(figures.owed),
        "position": figures.position,
        "lots": [
            {
                "id": str(lot.lot_id),
                "kind": lot.kind,
                "granted_nano_usd": lot.granted,
                "available_nano_usd": 0 if lot.lapsed else lot.available,
                "expires_at": to_iso(lot.expires_at) if lot.expires_at else None,
            }
            for lot in lots
        ],
    }
    if spendable.trial:
        ends = lots[-1].expires_at
        balance["status"] = "trial"
        balance["trial_end_date"] = to_iso(ends) if ends else None
        balance["tokens_remaining"] = trial.tokens if trial else None
        balance["requests_remaining"] = trial.requests if trial else None
    else:
        balance["status"] = "active"
    return balance


class Monitored(NamedTuple):
    """What an account has, what it used, and what limits its key."""

    available: int
    all: Used
    use: AccountUse
    last: datetime | None
    limits: RateLimits


def read_monitor(
    database: Connects, account_id: str, key_id: str, user_id: str, *, wait_s: float
) -> Monitored:
    """An account since it exists, this month and today (UTC); raises ProjectionLaggingError."""
    account, now = UUID(account_id), datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with database.connect() as connection:
        for projection in (BALANCES, USAGE, KEYS):
            await_own_writes(connection, projection, wait_s)
        select = select_on(connection)
        figures = read_account_balance(select, account)
        return Monitored(
            read_spendable(select, account).available,
            Used(figures.requests, figures.tokens, figures.settled),
            read_account_use(select, account, day=day, month=day.replace(day=1)),
            read_last_use(select, account),
            read_binding_limits(connection, key_id, user_id),
        )


def read_transactions(
    database: Connects,
    account_id: str,
    *,
    limit: int,
    offset: int,
    transaction_type: str | None,
    since: datetime | None = None,
    until: datetime | None = None,
    wait_s: float,
) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """A page of the statement, newest first, the number of all lines, and sums by type.

    Of the whole statement, or of what was booked at `since` or later and before `until`; an
    expiry that is not booked yet counts at its instant. Raises PeriodTooLongError.
    """
    account = UUID(account_id)
    with database.connect() as connection:
        select = select_on(connection)
        await_own_writes(connection, BALANCES, wait_s)
        lapsed = read_lapsed(select, account)
        # Only now, so that the statement has passed whatever the balances showed.
        await_own_writes(connection, STATEMENT, wait_s)
        expected = [
            line
            for line in read_expected(select, account, lapsed)
            if transaction_type in (None, line.transaction_type)
            and _within(line.effective_at, since, until)
        ]
        page = expected[offset : offset + limit]
        page += read_lines(
            select,
            account,
            transaction_type=transaction_type,
            limit=limit - len(page),
            offset=max(0, offset - len(expected)),
            since=since,
            until=until,
        )
        if since is None and until is None:
            sums = read_sums(select, account, transaction_type=transaction_type)
        else:
            sums = read_period_sums(
                select, account, transaction_type=transaction_type, since=since, until=until
            )
    by_type = {each.transaction_type: each.amount for each in sums}
    for line in expected:
        by_type[line.transaction_type] = by_type.get(line.transaction_type, 0) + line.amount
    lines = [
        {
            "id": str(line.event_id) if line.event_id else None,
            "position": line.position,
            "transaction_type": line.transaction_type,
            "amount_nano_usd": line.amount,
            "balance_before_nano_usd": line.balance_before,
            "balance_after_nano_usd": line.balance_after,
            "description": line.description,
            "payment_id": line.payment_id,
            "created_at": to_iso(line.booked_at) if line.booked_at else None,
            "effective_at": to_iso(line.effective_at),
            "metadata": {
                "call_id": str(line.call_id) if line.call_id else None,
                "house_loss_nano_usd": line.house_loss,
            },
        }
        for line in page
    ]
    return lines, sum(each.lines for each in sums) + len(expected), by_type


def _within(instant: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or instant >= since) and (until is None or instant < until)
