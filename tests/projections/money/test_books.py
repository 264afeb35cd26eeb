"""What the read models of money answer, checked against the events themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain.events.ledger import CreditsGranted, HoldResolved, MoneyEvent
from event_store.ids import new_uuid7, to_iso
from projections.engine.runner import Runner
from projections.money import credit_statement
from projections.money.account_balances import AccountBalances, read_account_balance, read_lots
from projections.money.credit_statement import (
    PeriodTooLongError,
    read_lines,
    read_period,
    read_period_sums,
    read_sums,
)
from tests.support import entries

if TYPE_CHECKING:
    from tests.support.projected import Projected


def test_the_trial_balance_is_zero(projected: Projected) -> None:
    """Over all ledger accounts, and over the postings of one customer's events (P4)."""
    assert projected.select("SELECT sum(balance_nano_usd) FROM read_trial_balance", []) == [(0,)]
    ((lines, total),) = projected.select(
        "SELECT count(*), sum(amount_nano_usd) FROM read_journal_posting WHERE account_id = %s",
        [projected.account],
    )
    assert lines > 0
    assert total == 0


def test_a_balance_is_what_the_events_add_up_to(projected: Projected) -> None:
    """Granted, settled and held as in the log, and the last event of the account (P8)."""
    account = str(projected.account)
    mine = [
        each
        for each in projected.entries
        if isinstance(each.event, MoneyEvent) and each.event.account_id == account
    ]
    found = read_account_balance(projected.select, projected.account)
    grants = [each.event for each in mine if isinstance(each.event, CreditsGranted)]
    ends = [each.event for each in mine if isinstance(each.event, HoldResolved)]
    assert found.granted == sum(each.amount_nano_usd for each in grants)
    assert found.settled == sum(each.settled_nano_usd for each in ends)
    assert (found.held, found.breakage) == (0, 0)
    assert found.requests == sum(each.account_id == account for each in projected.charged)
    assert found.position == mine[-1].position
    lots = read_lots(projected.select, projected.account)
    assert [(str(each.lot_id), each.kind) for each in lots] == [
        (each.lot_id, each.kind) for each in grants
    ]
    assert sum(each.available for each in lots) == found.granted - found.settled


def test_an_account_without_events_has_nothing(projected: Projected) -> None:
    """Nought, at position 0; no lots and no lines (P8)."""
    nobody = new_uuid7()
    assert set(read_account_balance(projected.select, nobody)) == {0}
    assert read_lots(projected.select, nobody) == []
    assert read_sums(projected.select, nobody, transaction_type=None) == []


def test_a_lot_lapses_when_its_time_is_up(projected: Projected) -> None:
    """At once, before its expiry is booked (money rule 9)."""
    account = new_uuid7()
    past = to_iso(datetime.now(UTC) - timedelta(seconds=1))
    projected.history.append(entries.grant(account, 5, expires_at=past), entries.grant(account, 7))
    Runner(AccountBalances()).advance(projected.connection)
    lots = read_lots(projected.select, account)
    assert [(each.granted, each.lapsed) for each in lots] == [(5, True), (7, False)]


def test_a_statement_is_read_by_pages_and_types(projected: Projected) -> None:
    """Each balance follows from the one before; pages meet; sums are of the whole (P4)."""
    select, account = projected.select, projected.account
    whole = read_lines(select, account, transaction_type=None, limit=1_000, offset=0)
    assert [each.balance_before + each.amount for each in whole] == [
        each.balance_after for each in whole
    ]
    assert [each.balance_before for each in whole] == [
        *(each.balance_after for each in whole[1:]),
        0,
    ]
    pages = [
        line
        for offset in range(0, len(whole), 7)
        for line in read_lines(select, account, transaction_type=None, limit=7, offset=offset)
    ]
    assert pages == whole
    sums = {
        each.transaction_type: each for each in read_sums(select, account, transaction_type=None)
    }
    assert sum(each.lines for each in sums.values()) == len(whole)
    assert sum(each.amount for each in sums.values()) == whole[0].balance_after
    usage = read_lines(select, account, transaction_type="api_usage", limit=1_000, offset=0)
    assert len(usage) == sums["api_usage"].lines
    assert all(each.call_id for each in usage)
    assert read_sums(select, account, transaction_type="api_usage") == [sums["api_usage"]]


def test_totals_are_those_of_the_lines(projected: Projected) -> None:
    """No page adds the past up anew, and yet its sums are of the whole (P8)."""
    for account, _ in projected.history.callers:
        rows = projected.select(
            "SELECT transaction_type, count(*), sum(amount) FROM read_credit_statement "
            "WHERE account_id = %s GROUP BY 1 ORDER BY 1",
            [account],
        )
        assert read_sums(projected.select, account, transaction_type=None) == rows
        assert len(rows) > 1


def test_periods_meet(projected: Projected) -> None:
    """What one closes with the next opens with; both together are the whole (P6)."""
    select, account = projected.select, projected.account
    whole = read_lines(select, account, transaction_type=None, limit=1_000, offset=0)[::-1]
    cut, end = whole[len(whole) // 2].booked_at, whole[-1].booked_at
    assert cut is not None
    assert end is not None
    first = read_period(select, account, since=None, until=cut)
    second = read_period(select, account, since=cut, until=None)
    assert first.lines + second.lines == whole
    assert (first.opening, first.closing) == (0, second.opening)
    assert second.closing == whole[-1].balance_after
    later = end + timedelta(seconds=1)
    assert read_period(select, account, since=later, until=None) == (
        second.closing,
        second.closing,
        [],
    )
    before = whole[0].booked_at
    assert read_period(select, account, since=None, until=before) == (0, 0, [])
    page = read_lines(
        select, account, transaction_type=None, limit=3, offset=1, since=cut, until=later
    )
    assert page == whole[::-1][1:4]
    sums = read_period_sums(select, account, transaction_type=None, since=None, until=cut)
    assert sum(each.amount for each in sums) == first.closing
    assert sum(each.lines for each in sums) == len(first.lines)


def test_a_period_has_a_maximum(projected: Projected, monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer one says where the next part may begin (rule: bounded)."""
    monkeypatch.setattr(credit_statement, "PERIOD_LINES_MAX", 5)
    select, account = projected.select, projected.account
    whole = read_lines(select, account, transaction_type=None, limit=1_000, offset=0)[::-1]
    with pytest.raises(PeriodTooLongError) as caught:
        read_period(select, account, since=None, until=None)
    assert caught.value.booked_at == whole[5].booked_at
    with pytest.raises(PeriodTooLongError):
        read_period_sums(select, account, transaction_type=None, since=None, until=None)
    only = read_period_sums(
        select, account, transaction_type=whole[0].transaction_type, since=None, until=None
    )
    assert [each.lines for each in only] == [1]


@pytest.mark.parametrize("kind", [None, "api_usage", "purchase"])
def test_a_page_passes_over_an_index_alone(projected: Projected, kind: str | None) -> None:
    """Which lines are on it needs neither a sort nor the rows before it (rule: bounded)."""
    queries: list[tuple[str, Any]] = []

    def select(query: str, values: Any) -> list[Any]:
        queries.append((query, values))
        return []

    read_lines(select, projected.account, transaction_type=kind, limit=50, offset=100)
    projected.connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    ((query, values),) = queries
    inner = query[query.index("(SELECT position") + 1 : query.rindex(") ORDER BY")]
    plan = "\n".join(
        row[0] for row in projected.connection.execute(f"EXPLAIN {inner}", values).fetchall()
    )
    assert "Sort" not in plan
    assert "account_id" in plan
    if kind is None:
        assert "Index Only Scan" in plan
