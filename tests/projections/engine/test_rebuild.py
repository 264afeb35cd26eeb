"""Rebuild equals live, beside it, with no reader disturbed (P8)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from domain.books.chart import class_of, line_of
from projections.all import PROJECTIONS, projection_named
from projections.engine.comparison import compare
from projections.engine.rebuild import RebuildError, rebuild
from projections.engine.register import read_status
from projections.engine.runner import Runner
from projections.hosting.follower import follow
from projections.hosting.install import install
from projections.money.account_balances import AccountBalances
from projections.money.credit_statement import CreditStatement
from projections.money.journal import Journal
from projections.usage.usage_by_hour import UsageByHour
from tests.support.harness import eventually
from tests.support.history import History, insert_raw

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def catch_up(database: Database) -> None:
    """Advance every projection to the head."""
    with database.connect() as connection:
        for projection in PROJECTIONS:
            runner = Runner(projection)
            while runner.advance(connection, 5_000)[0]:
                pass


def digests(database: Database) -> dict[str, tuple[int, str]]:
    """What the live tables hold."""
    _, found = compare(database, PROJECTIONS)
    assert [text for each in found for text in each.differences] == []
    return {table.table: (table.rows, table.live) for each in found for table in each.tables}


def test_every_projection_rebuilds_to_the_same_rows(database: Database) -> None:
    """The same digest of each table before and after, one version later (P8)."""
    history = History(database)
    history.calls(200)
    catch_up(database)
    before = digests(database)
    assert before["read_journal_posting"][0] > 800
    assert all(rows for rows, _ in before.values())
    for projection in PROJECTIONS:
        assert rebuild(database, projection) == 2
    assert digests(database) == before
    with database.connect() as connection:
        assert {each.version for each in read_status(connection)} == {2}
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'read\\_%\\_v1'"
        ).fetchall()
    assert left == []


def test_a_rebuild_under_load_disturbs_nobody(database: Database) -> None:
    """Readers see the old rows or the new, at a position that never goes back; hosts go on (P8)."""
    history = History(database)
    history.calls(300)
    stop, failures, reads = threading.Event(), [], [0]

    def read() -> None:
        last = 0
        with database.connect() as connection:
            while not stop.is_set():
                try:
                    row: Any = connection.execute(
                        "SELECT count(*), coalesce(sum(amount), 0) FROM read_credit_statement"
                    ).fetchone()
                    total: Any = connection.execute(
                        "SELECT coalesce(sum(posted), 0) FROM read_statement_balance"
                    ).fetchone()
                except Exception as error:  # noqa: BLE001  any failure of a reader fails the test
                    failures.append(repr(error))
                    return
                if row[0] < last or not total[0]:
                    failures.append(f"{row[0]} lines after {last}, total {total[0]}")
                last, reads[0] = row[0], reads[0] + 1

    follower = threading.Thread(target=follow, args=(database, stop))
    follower.start()
    eventually(lambda: _position(database, "credit_statement") > 0)
    reader = threading.Thread(target=read)
    reader.start()

    def write() -> None:
        for _ in range(8):
            history.calls(40)

    writer = threading.Thread(target=write)
    writer.start()
    versions = [rebuild(database, CreditStatement()) for _ in range(3)]
    writer.join()
    head = _head(database)
    eventually(lambda: _position(database, "credit_statement") == head)
    stop.set()
    reader.join()
    follower.join()
    assert failures == []
    assert reads[0] > 10
    assert versions == [2, 3, 4]
    digests(database)


def _position(database: Database, name: str) -> int:
    with database.connect() as connection:
        return {each.name: each.position for each in read_status(connection)}[name]


def _head(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
    assert row is not None
    return int(row[0])


def test_a_rebuild_that_meets_poison_leaves_the_live_version(database: Database) -> None:
    """The error names the event; readers keep what they had (P8)."""
    history = History(database)
    history.calls(10)
    poison = insert_raw(database, "ledger.unheard_of.v1", {"id": "x"})
    with pytest.raises(RebuildError, match=f"position {poison}"):
        rebuild(database, Journal())
    with database.connect() as connection:
        assert {each.version for each in read_status(connection)} == {1}
        connection.execute("SELECT FROM read_journal_posting").fetchall()


def test_the_number_of_partitions_changes_by_a_rebuild(database: Database) -> None:
    """Eight partitions hold the rows that one held, and the follower can host them too (P8)."""
    history = History(database, users=9)
    history.calls(100)
    catch_up(database)
    before = digests(database)
    for projection in PROJECTIONS:
        rebuild(database, projection, partitions=8)
    assert digests(database) == before
    history.calls(50)
    catch_up(database)
    digests(database)
    with database.connect() as connection:
        assert {(each.partitions, each.lag_events) for each in read_status(connection)} == {(8, 0)}


def test_a_new_revision_is_rebuilt_by_the_migration(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that changes a fold brings its rows along (P8)."""
    History(database).calls(10)
    assert install(database) == []
    monkeypatch.setattr(UsageByHour, "revision", UsageByHour.revision + 1)
    assert install(database) == ["usage_by_hour"]
    assert install(database) == []
    with database.connect() as connection:
        found = {each.name: each for each in read_status(connection)}
        assert (found["usage_by_hour"].version, found["usage_by_hour"].lag_events) == (2, 0)
        assert found["journal"].version == 1


def test_verification_names_what_differs(database: Database) -> None:
    """A row that somebody changed, one that is missing, and one too many (P8)."""
    History(database).calls(30)
    catch_up(database)
    with database.connect() as connection:
        connection.execute(
            "UPDATE read_account_balance_v1 SET settled = settled + 1 "
            "WHERE account_id = (SELECT min(account_id::text)::uuid FROM read_account_balance_v1)"
        )
        connection.execute(
            "DELETE FROM read_credit_statement_v1 "
            "WHERE position = (SELECT min(position) FROM read_credit_statement_v1)"
        )
        connection.execute(
            "INSERT INTO read_journal_posting_v1 "
            "SELECT position, 99, ledger_account, 1, 1, account_id, booked_at, dated_at "
            "FROM read_journal_posting_v1 "
            "ORDER BY position DESC LIMIT 1"
        )
    _, found = compare(database, PROJECTIONS)
    wrong = {each.name: each.differences for each in found if each.differences}
    assert set(wrong) == {"account_balances", "credit_statement", "journal"}
    assert len(wrong["account_balances"]) == 1
    assert len(wrong["credit_statement"]) == len(wrong["journal"]) == 1
    assert "stored None" in wrong["credit_statement"][0]
    assert "the log says None" in wrong["journal"][0]


def test_the_journal_balances_and_keeps_to_the_chart(database: Database) -> None:
    """The postings of every position sum to zero, and each account is in the chart (P4)."""
    History(database).calls(60)
    catch_up(database)
    with database.connect() as connection:
        odd = connection.execute(
            "SELECT position FROM read_journal_posting GROUP BY position "
            "HAVING sum(amount_nano_usd) <> 0"
        ).fetchall()
        total = connection.execute("SELECT sum(balance_nano_usd) FROM read_trial_balance")
        assert total.fetchone() == (0,)
        accounts = connection.execute(
            "SELECT ledger_account, coalesce(account_id::text, '-') FROM read_trial_balance"
        ).fetchall()
    assert odd == []
    for account, customer in accounts:
        assert line_of(class_of(account, customer)).customers is (customer != "-"), account


def test_projections_have_names_for_people() -> None:
    """An unknown name is told those there are; each table and projection says what it is
    (rule: refuse clearly, rule: docs).
    """
    with pytest.raises(ValueError, match="account_balances, credit_statement"):
        projection_named("balances")
    assert projection_named("account_balances").tables == AccountBalances.tables
    assert all(each.about and all(t.about for t in each.tables) for each in PROJECTIONS)
