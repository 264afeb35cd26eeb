"""The journal as documents: whole, bounded in memory, and right by programs that are not ours."""

from __future__ import annotations

import csv
import io
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from beancount import loader
from hypothesis import given
from hypothesis import strategies as st

from event_store.ids import new_uuid7, to_iso
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.money.as_of import Time
from projections.money.journal import Journal
from query_api.finance import exports, plain_text
from query_api.finance.exports import Format, Period, export
from query_api.finance.plain_text import name_of
from tests.query_api.finance.test_books import accountant, look
from tests.support import entries
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

TODAY = datetime.now(UTC).date()
BEGINS, ENDS = ((TODAY + timedelta(days=days)).isoformat() for days in (-1, 2))
FORMATS: tuple[Format, ...] = ("csv", "parquet", "beancount", "ledger")


def random_history(database: Database) -> int:
    """A house with customers, expiries and losses; returns a position in its midst."""
    history = History(database, users=4)
    history.calls(40)
    account = new_uuid7()
    past = to_iso(datetime.now(UTC) - timedelta(days=40))
    history.append(entries.grant(account, 70, kind="purchase", expires_at=past))
    history.append(entries.grant(account, 5, kind="bonus"), entries.hold(new_uuid7(), account, 1))
    with database.connect() as connection:
        Runner(Journal()).advance(connection, 10_000)
        row = connection.execute("SELECT max(position) FROM read_journal_posting").fetchone()
    assert row is not None
    middle = int(row[0])
    history.calls(40)
    call = new_uuid7()
    history.append(entries.hold(call, account, 3))
    history.append(entries.settle(call, account, 99))
    with database.connect() as connection:
        Runner(Journal()).advance(connection, 10_000)
    return middle


def written(database: Database, since: int, form: Format) -> bytes:
    """The document of what was booked after a position."""
    period = Period(Time(since), Time(), BEGINS, ENDS)
    return b"".join(export(database, period, form, wait_s=0))


def rows_of(database: Database, since: int) -> list[tuple[Any, ...]]:
    """What the journal itself has."""
    with database.connect() as connection:
        return select_on(connection)(
            "SELECT position, line, ledger_account, amount_nano_usd FROM read_journal_posting "
            "WHERE position > %s ORDER BY position, line",
            [since],
        )


@pytest.mark.parametrize("part", [2_000, 7])
def test_beancount_finds_nothing_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Its own checker: every event sums to zero, every account closes as the books say (P4)."""
    monkeypatch.setattr(exports, "PART_LINES", part)
    monkeypatch.setattr(plain_text, "ACCOUNTS_PAGE", part)
    middle, text = random_history(database), ""
    for since in (0, middle):
        text = written(database, since, "beancount").decode()
        directives, errors, _ = loader.load_string(text)
        assert errors == []
        kinds = [type(each).__name__ for each in directives]
        events = {row[0] for row in rows_of(database, since)}
        assert kinds.count("Transaction") == len(events) + text.count('"Opening balance"')
        assert kinds.count("Balance") > 10
        assert ('"Opening balance"' in text) == (since > 0)
    place = text.rindex(" ~ 0 USD")
    broken = f"{text[: place - 1]}{(int(text[place - 1]) + 1) % 10}{text[place:]}"
    assert loader.load_string(broken)[1] != []


def test_the_text_for_ledger_balances(database: Database) -> None:
    """Each transaction is zero, and what its accounts sum to is what is asserted (P4)."""
    middle = random_history(database)
    sums: dict[str, Decimal] = {}
    asserted: dict[str, Decimal] = {}
    for block in written(database, middle, "ledger").decode().split("\n\n"):
        total = Decimal(0)
        for line in block.splitlines():
            if not line.startswith("    ") or line.startswith("    ;"):
                continue
            name, _, amount = line.strip().partition("  ")
            if "=" in amount:
                asserted[name] = Decimal(amount.partition("= ")[2].removesuffix(" USD"))
            elif amount:
                value = Decimal(amount.removesuffix(" USD"))
                sums[name] = sums.get(name, Decimal(0)) + value
                total += value
        assert total == 0
    assert len(asserted) > 10
    assert {name: sums.get(name, Decimal(0)) for name in asserted} == asserted


def test_csv_and_parquet_have_every_line(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each, in order, with amounts as they are (P4)."""
    monkeypatch.setattr(exports, "PART_LINES", 11)
    middle = random_history(database)
    expected = rows_of(database, middle)
    text = written(database, middle, "csv").decode()
    assert [
        (int(row["position"]), int(row["line"]), row["account"], int(row["amount_nano_usd"]))
        for row in csv.DictReader(io.StringIO(text))
    ] == expected
    table = pq.read_table(io.BytesIO(written(database, middle, "parquet")))
    assert [
        (row["position"], row["line"], row["account"], int(row["amount_nano_usd"]))
        for row in table.to_pylist()
    ] == expected
    assert str(table.schema.field("booked_at").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_period(
    database: Database, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    """Four times the lines take no more than half as much again (rule: bounded)."""
    monkeypatch.setattr(exports, "PART_LINES", 50)
    monkeypatch.setattr(plain_text, "EVENTS_PIECE", 10)
    history = History(database, users=2)
    peaks = []
    for calls in (60, 240):
        history.calls(calls)
        with database.connect() as connection:
            Runner(Journal()).advance(connection, 10_000)
        period = Period(Time(0), Time(), BEGINS, ENDS)
        for _ in export(database, period, form, wait_s=0):  # What is loaded once is loaded.
            pass
        tracemalloc.start()
        for _ in export(database, period, form, wait_s=0):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


@given(st.text(min_size=1, max_size=40).filter(lambda text: ":" not in text))
def test_every_provider_has_a_name_for_beancount(provider: str) -> None:
    """Whatever an operator calls it (rule: wire)."""
    name = name_of(f"payable:{provider}", "payable:x")
    text = f'1970-01-01 open {name} USD\n1970-01-01 open Equity:X USD\n\n1970-01-02 * "x"\n'
    _, errors, _ = loader.load_string(f"{text}  {name}  1 USD\n  Equity:X  -1 USD\n")
    assert errors == [], name


def test_a_month_is_exported_over_http(gateway: RunningGateway) -> None:
    """Streamed in every form; one that is not over, or none, is refused (rule: refuse clearly)."""
    finance = accountant(gateway)
    History(gateway.database, users=1).calls(5)
    path = "/finance/export"
    for form in FORMATS:
        answer = look(gateway, finance, path, month="2026-01", format=form)
        assert answer.status_code == 200
        assert f"journal-2026-01.{form}" in answer.headers["content-disposition"]
        if form == "beancount":
            assert loader.load_string(answer.text)[1] == []
    this = datetime.now(UTC).strftime("%Y-%m")
    for month in (this, "9998-12", "2026-13", "", "x" * 900):
        assert look(gateway, finance, path, month=month).status_code == 400
    assert look(gateway, finance, path).status_code == 422
    assert look(gateway, finance, path, month="2026-01", format="xlsx").status_code == 422
    assert look(gateway, gateway.user(), path, month="2026-01").status_code == 403
