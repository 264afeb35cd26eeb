"""All trials counted: how many are under way, over, or were followed by a purchase."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.ledger.lots import GrantKind
from projections.money.account_balances import ACCOUNT_BALANCE, CREDIT_LOT

if TYPE_CHECKING:
    from projections.engine.projection import Select


class Trials(NamedTuple):
    """Each trial is one of three; money in nano-USD.

    `used` is what their accounts were charged, of each at most what its trial gave, for a trial is
    spent before everything else.
    """

    total: int
    active: int
    expired: int
    converted: int
    granted: int
    used: int


def read_trials(select: Select) -> Trials:
    """One pass over all lots, which a statement's time-out bounds."""
    (row,) = select(
        "SELECT count(*), count(*) FILTER (WHERE NOT bought AND NOT over), "
        "count(*) FILTER (WHERE NOT bought AND over), count(*) FILTER (WHERE bought), "
        "coalesce(sum(granted), 0)::bigint, coalesce(sum(used), 0)::bigint FROM ("
        "SELECT t.granted, least(t.granted, b.settled) AS used, "
        "coalesce(t.expires_at <= booking_clock(), false) AS over, EXISTS ("
        f"SELECT FROM {CREDIT_LOT.view} p WHERE p.account_id = t.account_id AND p.kind = ANY (%s)) "
        f"AS bought FROM {CREDIT_LOT.view} t JOIN {ACCOUNT_BALANCE.view} b USING (account_id) "
        "WHERE t.kind = %s) AS trial",
        [[GrantKind.PURCHASE, GrantKind.ALLOWANCE], GrantKind.TRIAL],
    )
    return Trials(*row)
