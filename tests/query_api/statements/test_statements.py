"""Customers' statements: each line once, numbered without gaps, always the same."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from pypdf import PdfReader

from command_api.books.commands import issue_statement
from domain.errors import InvalidCommandError, UnknownAccountError
from event_store.beside.statements import Wanted, issue, read_issued
from event_store.ids import new_uuid7, to_iso
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.money.credit_statement import CreditStatement
from projections.money.monthly import read_part, read_stated
from query_api.statements import documents
from tests.query_api.finance.test_books import accountant, look
from tests.support import entries
from tests.support.admins import told
from tests.support.harness import eventually
from tests.support.history import History

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PATH = "/finance/statements"
NOW = datetime.now(UTC)
THIS = NOW.strftime("%Y-%m")
LAST_DAY = NOW.replace(day=1, hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
LAST = LAST_DAY.strftime("%Y-%m")
BEFORE = (LAST_DAY.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
ISSUER = "Gatewayz"
HARMFUL = '=HYPERLINK("http://x"),\nwith "quotes" and \u20ac'


def post(gateway: RunningGateway, user: NewUser, body: Any) -> tuple[int, dict[str, Any]]:
    """What issuing gets."""
    with gateway.client(user) as client:
        answer = client.post(PATH, json=body)
    return answer.status_code, answer.json()


def wanted(account: UUID, month: str = LAST, zone: str = "UTC") -> Wanted:
    """A statement of an account."""
    return Wanted(ISSUER, account, month, zone, "test")


def told_last_month(gateway: RunningGateway, user: NewUser) -> None:
    """Some lines of an account, as if they had been booked in the last month."""
    account = UUID(user.account_id)
    history = History(gateway.database, users=1)
    history.append(entries.grant(account, 70, kind="purchase"))
    for cost in (5, 0, 12):
        call = new_uuid7()
        history.append(entries.hold(call, account, 20), entries.settle(call, account, cost))
    with gateway.database.connect() as connection:
        count = "SELECT count(*) FROM read_credit_statement WHERE account_id = %s"
        eventually(lambda: connection.execute(count, [account]).fetchone() == (4,))
        connection.execute(
            "UPDATE read_credit_statement_v1 SET booked_at = %s + position * interval '1 ms', "
            "description = CASE WHEN amount > 0 THEN %s ELSE description END "
            "WHERE account_id = %s",
            [LAST_DAY, HARMFUL, account],
        )


@pytest.fixture
def customer(gateway: RunningGateway) -> NewUser:
    """Somebody with four lines in the last month."""
    user = gateway.user(0)
    told_last_month(gateway, user)
    return user


def test_a_statement_adds_up(gateway: RunningGateway, customer: NewUser) -> None:
    """Opening, every line, closing; as JSON, CSV and PDF the same (P4)."""
    finance = accountant(gateway)
    status, issued = post(gateway, finance, {"account_id": customer.account_id, "month": LAST})
    assert (status, issued["number"], issued["new"]) == (200, 1, True)
    path = f"{PATH}/1"
    found = look(gateway, finance, path).json()
    lines = found["lines"]
    assert [each["amount_nano_usd"] for each in lines] == [70, -5, 0, -12]
    assert found["opening_nano_usd"] == 0
    total = sum(each["amount_nano_usd"] for each in lines)
    assert found["closing_nano_usd"] == found["opening_nano_usd"] + total == 53
    assert found["count"] == len(lines)
    text = look(gateway, finance, path, format="csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["transaction_type"] for row in rows] == [
        *("opening", "purchase", "api_usage", "api_usage", "api_usage", "closing"),
    ]
    assert rows[1]["description"].startswith("'=HYPERLINK")
    assert rows[-1]["balance_after_usd"] == "0.000000053" == rows[-2]["balance_after_usd"]
    pdf = look(gateway, finance, path, format="pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    (page,) = PdfReader(io.BytesIO(pdf.content)).pages
    shown = page.extract_text()
    for expected in ("statement 1", customer.account_id, "-0.000000012", "0.000000053"):
        assert expected in shown
    assert look(gateway, finance, path, format="pdf").content == pdf.content


def test_months_meet(gateway: RunningGateway, customer: NewUser) -> None:
    """What one closes with the next opens with, also where nothing happened (P4)."""
    finance = accountant(gateway)
    for month in (LAST, BEFORE):
        assert post(gateway, finance, {"account_id": customer.account_id, "month": month})[0] == 200
    last, before = (look(gateway, finance, f"{PATH}/{number}").json() for number in (1, 2))
    assert before["ends"] == last["begins"]
    assert before["closing_nano_usd"] == last["opening_nano_usd"] == 0
    assert (before["lines"], before["count"]) == ([], 0)


def test_a_statement_is_its_customers(gateway: RunningGateway, customer: NewUser) -> None:
    """Nobody else learns that it is there, but finance (rule: access)."""
    finance, other = accountant(gateway), gateway.user()
    post(gateway, finance, {"account_id": customer.account_id, "month": LAST})
    assert look(gateway, customer, "/user/statements/1").json()["closing_nano_usd"] == 53
    assert len(look(gateway, customer, "/user/statements").json()["statements"]) == 1
    assert look(gateway, other, "/user/statements").json()["statements"] == []
    for path in ("/user/statements/1", "/user/statements/2"):
        assert told(look(gateway, other, path)) == (404, "statement_not_found")
    for path in (PATH, f"{PATH}/1"):
        assert told(look(gateway, customer, path)) == (403, "forbidden")
    assert post(gateway, customer, {"account_id": other.account_id, "month": LAST})[0] == 403


def test_what_cannot_be_issued_or_shown_is_refused(
    gateway: RunningGateway, customer: NewUser
) -> None:
    """And takes no number (rule: refuse clearly, rule: bounded)."""
    finance, account = accountant(gateway), customer.account_id
    bad: list[Any] = [
        {"account_id": account, "month": THIS},
        {"account_id": account, "month": "9998-12"},
        {"account_id": account, "month": "2026-00"},
        {"account_id": account, "month": LAST, "zone": "Mars/Olympus"},
        {"account_id": account, "month": LAST, "zone": "'; DROP TABLE events; --"},
        {"account_id": account, "month": LAST, "zone": "\x00"},
        {"account_id": account, "month": LAST, "zone": "U" * 5_000},
        {"account_id": account},
        {"month": LAST},
        [],
    ]
    for body in bad:
        assert post(gateway, finance, body)[0] in {400, 422}, body
    for account in ("me", str(new_uuid7())):
        assert post(gateway, finance, {"account_id": account, "month": LAST})[0] == 404
    assert (
        post(gateway, finance, {"account_id": customer.account_id, "month": LAST})[1]["number"] == 1
    )
    berlin = {"account_id": customer.account_id, "month": BEFORE, "zone": "Europe/Berlin"}
    assert post(gateway, finance, berlin)[0] == 400
    for number in ("0", "-1", "x", "9" * 40, "2", "1.0"):
        assert look(gateway, finance, f"{PATH}/{number}").status_code == 404
    assert look(gateway, finance, f"{PATH}/1", format="docx").status_code == 422
    for asked in ({"limit": "0"}, {"limit": "1001"}):
        assert look(gateway, finance, PATH, **asked).status_code == 422
    for asked in ({"after": "x"}, {"account_id": "x"}):
        assert look(gateway, finance, PATH, **asked).status_code == 400


def test_a_long_statement_is_no_pdf(
    gateway: RunningGateway, customer: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so, and is there as CSV, part by part (rule: bounded)."""
    monkeypatch.setattr(documents, "PDF_LINES_MAX", 3)
    monkeypatch.setattr(documents, "PART_LINES", 3)
    finance = accountant(gateway)
    post(gateway, finance, {"account_id": customer.account_id, "month": LAST})
    refused = look(gateway, finance, f"{PATH}/1", format="pdf")
    assert told(refused) == (400, "statement_too_long")
    assert len(look(gateway, finance, f"{PATH}/1").json()["lines"]) == 4
    assert look(gateway, finance, f"{PATH}/1", format="csv").text.count("api_usage") == 3


def test_numbers_have_no_gaps_however_many_issue(database: Database) -> None:
    """Twelve at once for three accounts, some of which fail: 1, 2, 3, each once (P2, P3)."""
    history = History(database, users=3)
    accounts = [account for account, _ in history.callers]

    def one(place: int) -> int:
        if place % 4 == 3:
            with pytest.raises(InvalidCommandError):
                issue_statement(database, wanted(accounts[place % 3], THIS))
            return 0
        return issue_statement(database, wanted(accounts[place % 3]))[0].number

    with ThreadPoolExecutor(6) as threads:
        numbers = list(threads.map(one, range(12)))
    assert set(numbers) == {0, 1, 2, 3}
    with database.connect() as connection:
        found = read_issued(connection, ISSUER, limit=10)
        assert [each.number for each in found] == [1, 2, 3]
        with pytest.raises(psycopg.OperationalError), connection.transaction():
            issue(connection, wanted(accounts[0], BEFORE))
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    again, new = issue_statement(database, wanted(accounts[1], BEFORE))
    assert (again.number, new) == (4, True)
    other = wanted(accounts[1])._replace(issuer="Another")
    assert issue_statement(database, other)[0].number == 1
    with pytest.raises(UnknownAccountError):
        issue_statement(database, wanted(new_uuid7()))


@pytest.mark.parametrize(
    ("month", "zone", "begins", "ends"),
    [
        ("2026-03", "Europe/Berlin", "2026-02-28T23:00:00", "2026-03-31T22:00:00"),
        ("2025-10", "Europe/Berlin", "2025-09-30T22:00:00", "2025-10-31T23:00:00"),
        ("2024-02", "UTC", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("2024-02", "Asia/Kathmandu", "2024-01-31T18:15:00", "2024-02-29T18:15:00"),
        ("2025-12", "Pacific/Kiritimati", "2025-11-30T10:00:00", "2025-12-31T10:00:00"),
    ],
)
def test_a_month_is_the_owners(
    database: Database, month: str, zone: str, begins: str, ends: str
) -> None:
    """Where clocks change its ends have other offsets; a leap day is a day (money rule 18)."""
    account, _ = History(database, users=1).callers[0]
    issued, _ = issue_statement(database, wanted(account, month, zone))
    assert to_iso(issued.begins) == f"{begins}.000000Z"
    assert to_iso(issued.ends) == f"{ends}.000000Z"


def test_lines_are_read_part_by_part(database: Database) -> None:
    """None is left out, none comes twice; accounts come in pages (rule: bounded)."""
    history = History(database, users=3)
    history.calls(40)
    begins, ends = NOW - timedelta(days=1), NOW + timedelta(days=1)
    with database.connect() as connection:
        Runner(CreditStatement()).advance(connection, 10_000)
        select = select_on(connection)
        for account, _ in history.callers:
            whole = read_part(select, account, begins, ends, after=0, limit=10_000)
            parts, after = list[Any](), 0
            while part := read_part(select, account, begins, ends, after=after, limit=7):
                parts += part
                after = part[-1].position or 0
            assert parts == whole
            assert len(whole) > 7
        accounts = read_stated(select, after=UUID(int=0), ends=ends, limit=2)
        accounts += read_stated(select, after=accounts[-1], ends=ends, limit=9)
        assert {each for each, _ in history.callers} <= set(accounts)
        assert read_stated(select, after=UUID(int=0), ends=begins, limit=9) == []
