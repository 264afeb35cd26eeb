"""The books as finance reads them: right as of any time, and told of in lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from command_api.roles.commands import Actor, give_role
from domain.ledger.state import LedgerState
from event_store.ids import new_uuid7, to_iso
from event_store.log.reading import read_after
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.money.as_of import Time, find_times
from projections.money.books import read_account_books
from projections.money.journal import Journal
from tests.support import entries
from tests.support.admins import new_admin, told
from tests.support.harness import eventually
from tests.support.history import History

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PATHS = (
    "/finance/trial-balance",
    "/finance/journal",
    "/finance/revenue",
    "/finance/margin",
    "/finance/deferred-revenue",
    "/finance/receivables",
    "/finance/aging",
    "/finance/periods",
)
FUTURE = to_iso(datetime.now(UTC) + timedelta(days=400))


def accountant(gateway: RunningGateway) -> NewUser:
    """A user with the role of finance."""
    user = gateway.user()
    operator = Actor("operator:cli")
    give_role(gateway.database, UUID(user.user_id), "finance", actor=operator, reason="books")
    return user


def look(gateway: RunningGateway, user: NewUser, path: str, **asked: str) -> httpx.Response:
    """What a GET gets."""
    with gateway.client(user) as client:
        return client.get(path, params=asked)


def figures(found: dict[str, Any]) -> dict[str, int]:
    """The balances of an answer by class."""
    return {each["account"]: each["balance_nano_usd"] for each in found["accounts"]}


MOVES_MONEY = ("ledger.", "payment.", "payout.", "subscription.")
"""Families of events that have postings."""


@pytest.fixture
def books(gateway: RunningGateway) -> NewUser:
    """Finance, of a house with a history."""
    History(gateway.database, users=3).calls(40)
    return accountant(gateway)


def test_the_books_are_for_finance_and_admins(gateway: RunningGateway) -> None:
    """A user is refused, and so is who has no key; finance sees no more (rule: access)."""
    user, finance, admin = gateway.user(), accountant(gateway), new_admin(gateway)
    for path in PATHS:
        assert told(look(gateway, user, path)) == (403, "forbidden")
        with gateway.client(user) as client:
            assert client.get(path, headers={"authorization": ""}).status_code == 401
        for allowed in (finance, admin):
            assert look(gateway, allowed, path).status_code == 200
    assert told(look(gateway, finance, "/admin/users")) == (403, "forbidden")


def test_the_trial_balance_is_zero_as_of_every_position(
    gateway: RunningGateway, books: NewUser
) -> None:
    """And is what a replay of the log up to there says of every customer (P4, P8)."""
    with gateway.database.connect() as connection:
        log = read_after(connection, 0, limit=10_000)
    state, now = LedgerState(), dict[str, int]()
    head = log[-1].position
    for entry in log:
        state.apply(entry.event, entry.position)
        if entry.position % 17 and entry.position != head:
            continue
        found = look(gateway, books, PATHS[0], as_of=str(entry.position)).json()
        assert found["total_nano_usd"] == 0
        assert found["debit_nano_usd"] == found["credit_nano_usd"]
        now = figures(found)
        for bucket in ("available", "held"):
            held = sum(getattr(account, bucket) for account in state.accounts.values())
            of = f"customer:{bucket}:"
            assert sum(amount for name, amount in now.items() if name.startswith(of)) == held
        lost = sum(account.house_loss for account in state.accounts.values())
        assert now.get("house_loss", 0) == -lost
    assert now["revenue:usage:trial"] > 0


def test_every_figure_is_the_sum_of_the_lines_it_leads_to(
    gateway: RunningGateway, books: NewUser
) -> None:
    """By the link that stands beside it, page by page, each line with its event (P8)."""
    with gateway.database.connect() as connection:
        ids = {e.position: e.event.id for e in read_after(connection, 0, limit=10_000)}
    half = sorted(ids)[len(ids) // 2]
    reports = [
        look(gateway, books, PATHS[0]).json(),
        look(gateway, books, PATHS[0], as_of=str(half)).json(),
        look(gateway, books, "/finance/revenue").json(),
        look(gateway, books, "/finance/margin", **{"from": str(half)}).json(),
        look(gateway, books, "/finance/deferred-revenue", by="effective").json(),
    ]
    with gateway.client(books) as client:
        for report in reports:
            assert report["accounts"]
            for each in report["accounts"]:
                lines: list[dict[str, Any]] = []
                cursor: str | None = "0:0"
                while cursor is not None:
                    url = each["journal"] + f"&limit=37&cursor={cursor}"
                    page = client.get(url if lines else each["journal"] + "&limit=37").json()
                    lines += page["lines"]
                    cursor = page["next_cursor"]
                assert sum(line["amount_nano_usd"] for line in lines) == each["balance_nano_usd"]
                assert len(lines) == each["postings"]
                assert all(ids[line["position"]] == line["event_id"] for line in lines)
                assert all(line["event_type"].startswith(MOVES_MONEY) for line in lines)


def test_revenue_and_margin_add_up(gateway: RunningGateway, books: NewUser) -> None:
    """Trial credits earn nothing: what they paid is an expense at its use (money rule 18)."""
    found = look(gateway, books, "/finance/revenue").json()
    moved = figures(found)
    assert moved["revenue:usage:trial"] == -moved["promotion:trial"] > 0
    usage = sum(amount for name, amount in moved.items() if name.startswith("revenue:"))
    assert found["usage_nano_usd"] == usage
    assert found["net_revenue_nano_usd"] == sum(moved.values())
    assert found["usage_usd"].count(".") == 1
    costs = look(gateway, books, "/finance/margin").json()
    left = costs["net_revenue_nano_usd"] - costs["provider_cost_nano_usd"] - costs["fees_nano_usd"]
    assert costs["margin_nano_usd"] == left
    assert costs["fees_nano_usd"] > 0
    assert costs["margin_basis_points"] is None


def test_a_call_costs_what_its_provider_says(gateway: RunningGateway) -> None:
    """By the attempt that the event names (money rule 18)."""
    finance, user = accountant(gateway), gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    eventually(lambda: gateway.balance(user)["settled_nano_usd"])
    found = look(gateway, finance, "/finance/margin").json()
    assert found["providers"] == [
        {"provider": "local", "cost_nano_usd": 4_500, "cost_usd": "0.000004500"}
    ]


WRONG: list[tuple[str, dict[str, str]]] = [
    *((path, {"as_of": "yesterday"}) for path in (PATHS[0], *PATHS[4:7])),
    *((path, {"as_of": FUTURE}) for path in (PATHS[0], *PATHS[4:7])),
    *((path, {"as_of": "9" * 19}) for path in (PATHS[0], *PATHS[4:7])),
    (PATHS[0], {"as_of": "9" * 400}),
    (PATHS[0], {"as_of": "-1"}),
    (PATHS[0], {"as_of": "1.5"}),
    (PATHS[0], {"as_of": "٣"}),
    (PATHS[0], {"as_of": ""}),
    (PATHS[0], {"as_of": "5", "by": "effective"}),
    (PATHS[0], {"as_of": "2026-02-30"}),
    (PATHS[0], {"as_of": "2026-01-01T00:00:00 02:00"}),
    (PATHS[2], {"from": "2026-02-01", "to": "2026-01-01"}),
    (PATHS[2], {"from": "9", "to": "5"}),
    (PATHS[2], {"to": FUTURE}),
    (PATHS[2], {"month": "2026-13"}),
    (PATHS[2], {"month": "2026-1"}),
    (PATHS[2], {"month": "9999-12"}),
    (PATHS[2], {"month": "2026-01", "from": "2026-01-01"}),
    (PATHS[3], {"month": "1999-12"}),
    (PATHS[1], {"account": "revenue"}),
    (PATHS[1], {"account": "customer:" + "0" * 36 + ":available:trial"}),
    (PATHS[1], {"account": f"house_loss:{UUID(int=7)}"}),
    (PATHS[1], {"account_id": "me"}),
    (PATHS[1], {"cursor": "5"}),
    (PATHS[1], {"cursor": "5:"}),
    (PATHS[1], {"cursor": "-5:0"}),
    (PATHS[1], {"cursor": "9" * 19 + ":0"}),
    (PATHS[1], {"cursor": "5:99999"}),
    (PATHS[1], {"cursor": "9" * 90 + ":0"}),
    (PATHS[5], {"cursor": "5"}),
]


def test_what_cannot_be_asked_is_refused(gateway: RunningGateway) -> None:
    """An answer of nought would look as if nothing had been booked (rule: refuse clearly)."""
    finance = accountant(gateway)
    found = {
        (path, str(asked)): told(look(gateway, finance, path, **asked)) for path, asked in WRONG
    }
    assert {asked: each for asked, each in found.items() if each != (400, "invalid_value")} == {}


def test_a_page_has_a_size(gateway: RunningGateway) -> None:
    """None is endless (rule: bounded)."""
    finance = accountant(gateway)
    for path in (PATHS[1], *PATHS[5:7]):
        for limit in ("0", "-1", "1001", "9" * 30, "many"):
            assert look(gateway, finance, path, limit=limit).status_code == 422


def test_before_the_beginning_there_is_nothing(gateway: RunningGateway, books: NewUser) -> None:
    """Nought, and zero in all; of a customer whom nobody knows there are no lines (P4)."""
    for early in ("2020-01-01", "0001-01-01T00:00:00Z", "0"):
        found = look(gateway, books, PATHS[0], as_of=early).json()
        assert (found["accounts"], found["total_nano_usd"]) == ([], 0)
    page = look(gateway, books, PATHS[1], account_id=str(uuid4())).json()
    assert (page["lines"], page["next_cursor"]) == ([], None)


def test_an_instant_is_the_same_in_every_zone(gateway: RunningGateway, books: NewUser) -> None:
    """With an offset, in UTC by a Z, and in UTC by silence (rule: contract)."""
    now = datetime.now(UTC).replace(tzinfo=None)
    east = (now + timedelta(hours=5, minutes=45)).isoformat() + "+05:45"
    answers = [
        look(gateway, books, PATHS[0], as_of=text).json()
        for text in (now.isoformat() + "Z", now.isoformat(), east)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["accounts"]


def test_a_late_line_is_dated_by_its_effect(gateway: RunningGateway) -> None:
    """An expiry that is booked later counts, by effective time, where it was (money rule 9)."""
    finance, account = accountant(gateway), new_uuid7()
    History(gateway.database, users=1)
    ended = datetime.now(UTC) - timedelta(days=40)
    history = History(gateway.database, users=1)
    history.append(entries.grant(account, 70, kind="purchase", expires_at=to_iso(ended)))
    history.append(entries.grant(account, 5, kind="bonus"))
    history.append(entries.hold(new_uuid7(), account, 1))
    before, after = to_iso(ended - timedelta(days=1)), to_iso(ended + timedelta(days=1))
    name = "breakage:purchase"
    for as_of, by, expected in (
        (before, "effective", 0),
        (after, "effective", 70),
        (after, "booked", 0),
        (to_iso(datetime.now(UTC)), "booked", 70),
        (to_iso(datetime.now(UTC)), "effective", 70),
    ):
        found = look(gateway, finance, PATHS[0], as_of=as_of, by=by).json()
        assert figures(found).get(name, 0) == expected, (as_of, by)
        assert found["total_nano_usd"] == 0
        lines = look(gateway, finance, PATHS[1], account=name, to=as_of, by=by).json()["lines"]
        assert sum(line["amount_nano_usd"] for line in lines) == expected
    (line,) = look(gateway, finance, PATHS[1], account=name, by="effective").json()["lines"]
    assert line["dated_at"] == to_iso(ended)
    assert line["booked_at"] > after


def test_a_customers_accounts_are_read_without_their_lines(database: Database) -> None:
    """The balance under the last line before a position is that of all lines up to it (P8)."""
    history = History(database, users=2)
    history.calls(40)
    with database.connect() as connection:
        Runner(Journal()).advance(connection, 10_000)
        select = select_on(connection)
        head = select("SELECT max(position) FROM read_journal_posting", [])[0][0]
        for account, _ in history.callers:
            for position in range(1, head + 1, 13):
                (at,) = find_times(connection, Journal(), (Time(position),), wait_s=0)
                rows = select(
                    "SELECT ledger_account, sum(amount_nano_usd) FROM read_journal_posting "
                    "WHERE account_id = %s AND position <= %s "
                    "AND ledger_account LIKE 'customer:%%' GROUP BY 1",
                    [account, position],
                )
                assert read_account_books(select, at, account) == dict(rows)


def test_what_customers_owe_is_shown_as_of_any_time(gateway: RunningGateway) -> None:
    """By customer and by age, the newest debits first, in pages (money rule 15)."""
    finance, history = accountant(gateway), History(gateway.database, users=1)
    accounts = sorted(new_uuid7() for _ in range(3))
    for number, account in enumerate(accounts, 1):
        history.append(entries.grant(account, 10, kind="purchase"))
        history.append(entries.debit(account, 10 + number, kind="refund"))
    with gateway.database.connect() as connection:
        row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
    assert row is not None
    then = str(row[0])
    history.append(entries.grant(accounts[2], 2, kind="bonus"), entries.grant(accounts[0], 50))
    for asked, owed in (({"as_of": then}, [1, 2, 3]), ({}, [2, 1])):
        found, cursor = list[dict[str, Any]](), "0" * 32
        while cursor:
            more = {**asked, "limit": "1", "cursor": cursor}
            page = look(gateway, finance, "/finance/aging", **more).json()
            found += [each for each in page["accounts"] if UUID(each["account_id"]) in accounts]
            cursor = page["next_cursor"]
        assert [each["owed_nano_usd"] for each in found] == owed
        for each in found:
            ages = {name: age["owed_nano_usd"] for name, age in each["ages"].items()}
            assert ages.pop("days_0_to_30") == each["owed_nano_usd"]
            assert set(ages.values()) == {0}
            with gateway.client(finance) as client:
                lines = client.get(each["journal"]).json()["lines"]
            assert sum(line["amount_nano_usd"] for line in lines) == -each["owed_nano_usd"]
        whole = look(gateway, finance, "/finance/receivables", **asked).json()
        assert whole["total_nano_usd"] == sum(each["owed_nano_usd"] for each in whole["accounts"])
    spent = figures(look(gateway, finance, PATHS[0]).json())
    assert spent["promotion:bonus"] < 0
    assert spent["returned:refund"] > 0
