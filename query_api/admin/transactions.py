"""Every line of every statement, and its sums, as admins' clients know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edge.replies import usd
from event_store.beside.users import read_user
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.money.all_statements import (
    LinesWanted,
    Owned,
    Summed,
    count_lines,
    read_all_lines,
    read_all_sums,
)
from projections.money.credit_statement import PERIOD_LINES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from event_store.postgres.database import Connects

STATEMENT = projection_named("credit_statement")


class Asked(NamedTuple):
    """A page, and how it is sorted."""

    order: str
    down: bool
    limit: int
    offset: int
    summary: bool


class Found(NamedTuple):
    """A page; how many lines there are, and whether all were counted; their sums."""

    lines: list[dict[str, Any]]
    total: int
    exact: bool
    summary: dict[str, Any] | None


def account_of(database: Connects, user_id: UUID) -> UUID | None:
    """The account of a user; None where there is no such user."""
    with database.connect() as connection:
        found = read_user(connection, user_id=user_id)
    return found and found.account_id


def read_transactions(
    database: Connects, wanted: LinesWanted, asked: Asked, *, wait_s: float
) -> Found:
    """Lines, newest first unless it is asked otherwise.

    Of more than PERIOD_LINES_MAX lines there are no sums, and `total` ends there. Raises
    ProjectionLaggingError, PeriodTooLongError.
    """
    with database.connect() as connection:
        await_own_writes(connection, STATEMENT, wait_s)
        select = select_on(connection)
        total = count_lines(select, wanted)
        exact = total <= PERIOD_LINES_MAX
        lines = read_all_lines(
            select,
            wanted,
            order=asked.order,
            down=asked.down,
            limit=asked.limit,
            offset=asked.offset,
        )
        sums = read_all_sums(select, wanted) if exact and asked.summary else None
    summary = None if sums is None else _summary(sums)
    return Found([_shown(each) for each in lines], min(total, PERIOD_LINES_MAX), exact, summary)


def _shown(owned: Owned) -> dict[str, Any]:
    line = owned.line
    return {
        "id": line.event_id and str(line.event_id),
        "position": line.position,
        "user_id": owned.user_id,
        "account_id": str(owned.account_id),
        "amount": usd(line.amount),
        "amount_nano_usd": line.amount,
        "transaction_type": line.transaction_type,
        "description": line.description,
        "balance_before": usd(line.balance_before),
        "balance_after": usd(line.balance_after),
        "created_at": line.booked_at and to_iso(line.booked_at),
        "payment_id": line.payment_id,
        "metadata": {
            "call_id": line.call_id and str(line.call_id),
            "house_loss_nano_usd": line.house_loss,
        },
    }


def _summary(sums: Sequence[Summed]) -> dict[str, Any]:
    lines, credits_ = sum(each.lines for each in sums), sum(each.credits for each in sums)
    added, taken = sum(each.added for each in sums), sum(each.taken for each in sums)
    net = added + taken
    return {
        "total_transactions": lines,
        "total_credits_added": usd(added),
        "total_credits_used": usd(-taken),
        "net_change": usd(net),
        "by_type": _grouped(sums, lambda each: each.transaction_type),
        "daily_breakdown": [
            {"date": day, **figures}
            for day, figures in _grouped(sums, lambda each: each.day).items()
        ],
        "largest_credit": usd(max([0, *(each.greatest for each in sums)])),
        "largest_charge": usd(-min([0, *(each.least for each in sums)])),
        "average_transaction": usd(net // lines if lines else 0),
        "transaction_count_by_direction": {"credit": credits_, "charge": lines - credits_},
    }


def _grouped(sums: Sequence[Summed], name: Callable[[Summed], str]) -> dict[str, dict[str, Any]]:
    found: dict[str, tuple[int, int, int]] = {}
    for each in sums:
        count, added, taken = found.get(name(each), (0, 0, 0))
        found[name(each)] = (count + each.lines, added + each.added, taken + each.taken)
    return {
        group: {
            "count": count,
            "credits_added": usd(added),
            "credits_used": usd(-taken),
            "net_change": usd(added + taken),
        }
        for group, (count, added, taken) in found.items()
    }
