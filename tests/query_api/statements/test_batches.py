"""All statements of a month, by few questions: the same bytes as one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from command_api.books.commands import issue_statement, issue_statements
from domain.errors import InvalidCommandError
from event_store.beside.statements import Issued, read_issued
from event_store.ids import new_uuid7
from projections.engine.runner import Runner
from projections.money.credit_statement import CreditStatement
from query_api.statements import batches, documents
from tests.query_api.statements.test_statements import BEFORE, HARMFUL, ISSUER, LAST, wanted
from tests.support import entries
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from event_store.postgres.database import Database

CALLS = (0, 1, 7, 3, 12, 2, 0, 5)
"""Of each account, so that groups end in every way."""
TEXTS = ("", HARMFUL, "-1", "a,b", 'say "x"', "two\r\nlines", "=1+1", " +x", "\u20ac")


def told(database: Database) -> list[UUID]:
    """Accounts with lines in three months, some harmful, some negative; two have none."""
    history = History(database, users=len(CALLS))
    accounts = [account for account, _ in history.callers]
    for account, calls in zip(accounts, CALLS, strict=True):
        for number in range(calls):
            if number % 3 == 0:
                history.append(entries.grant(account, 10**10 + number, kind="purchase"))
            call = new_uuid7()
            history.append(entries.hold(call, account, 20), entries.settle(call, account, number))
    with database.connect() as connection:
        runner = Runner(CreditStatement())
        while runner.advance(connection, 1_000)[0]:
            pass
        begin = datetime.fromisoformat(f"{LAST}-01T00:00:00+00:00") - timedelta(days=2)
        connection.execute(
            "UPDATE read_credit_statement_v1 SET booked_at = %s + position * interval '9 hours', "
            "description = (%s::text[])[1 + position %% %s], "
            "payment_id = CASE WHEN amount > 0 THEN 'pi_' || position END",
            [begin, list(TEXTS), len(TEXTS)],
        )
    return accounts


def one_by_one(database: Database, issued: Issued) -> tuple[str, bytes]:
    """A statement as CSV and JSON, as it is written by itself."""
    ends = documents.ends_of(database, issued)
    parts = list(documents.parts_of(database, issued))
    csv = documents.csv_head(issued, ends) + "".join(map(documents.csv_part, parts))
    json = documents.json_head(issued, ends)
    for place, part in enumerate(parts):
        json += documents.json_part(part, first=place == 0)
    return csv + documents.csv_tail(issued, ends), json + documents.JSON_TAIL


def all_at_once(database: Database, issued: Sequence[Issued]) -> list[tuple[str, bytes]]:
    """The same of all."""
    csv = ["".join(pieces) for _, pieces in batches.csv_of_all(database, issued)]
    json = [b"".join(pieces) for _, pieces in batches.json_of_all(database, issued)]
    return list(zip(csv, json, strict=True))


@pytest.mark.parametrize(("at_once", "lines"), [(500, 20_000), (3, 8), (2, 5), (1, 1)])
def test_all_are_the_same_as_one_by_one(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int, lines: int
) -> None:
    """However many are read together, with whatever text (P4, P8)."""
    accounts = told(database)
    monkeypatch.setattr(batches, "AT_ONCE", at_once)
    monkeypatch.setattr(batches, "LINES_AT_ONCE", lines)
    assert issue_statements(database, wanted(accounts[0]), accounts) == len(accounts)
    with database.connect() as connection:
        issued = read_issued(connection, ISSUER, month=LAST, limit=100)
    assert [each.account_id for each in issued] == accounts
    expected = [one_by_one(database, each) for each in issued]
    assert sum(csv.count("\n") for csv, _ in expected) > 40
    assert all_at_once(database, issued) == expected
    assert all_at_once(database, issued[::-1]) == expected[::-1]
    assert all_at_once(database, []) == []


def test_many_are_issued_as_one_by_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers without a gap, what was issued before stays, and nothing of a bad month (P2, P3)."""
    monkeypatch.setattr("command_api.books.commands.ISSUED_AT_ONCE", 3)
    accounts = [account for account, _ in History(database, users=8).callers]
    assert issue_statement(database, wanted(accounts[5]))[0].number == 1
    assert issue_statements(database, wanted(accounts[0]), accounts) == 7
    assert issue_statements(database, wanted(accounts[0]), accounts) == 0
    with database.connect() as connection:
        found = read_issued(connection, ISSUER, limit=100)
        order = [accounts[5], *accounts[:5], *accounts[6:]]
        assert [(each.number, each.account_id) for each in found] == list(enumerate(order, 1))
        again, new = issue_statement(database, wanted(accounts[2]))
        assert (again, new) == (found[3], False)
        first, like = found[0], found[1]
        assert first[3:7] == like[3:7] and first.issued_by == like.issued_by
    this = datetime.now(UTC).strftime("%Y-%m")
    with pytest.raises(InvalidCommandError, match="is not over"):
        issue_statements(database, wanted(accounts[0], this), accounts)
    with pytest.raises(InvalidCommandError, match="are of months in UTC"):
        issue_statements(database, wanted(accounts[0], BEFORE, "Europe/Berlin"), accounts)
    assert issue_statements(database, wanted(accounts[0], BEFORE), accounts[:1]) == 1
    with database.connect() as connection:
        (last,) = read_issued(connection, ISSUER, account_id=accounts[0], month=BEFORE)
    assert last.number == 9
