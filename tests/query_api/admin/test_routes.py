"""What admins are shown of all customers: right, bounded, and written down."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from domain.events.access import AdminRead
from event_store.beside.users import count_users, read_users
from event_store.log.reading import read_after
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.money import all_statements
from projections.money.all_statements import LinesWanted, read_all_lines
from query_api.admin import transactions as module
from query_api.admin.transactions import STATEMENT
from tests.support import entries
from tests.support.admins import ask, new_admin, told
from tests.support.harness import eventually
from tests.support.history import History
from tests.support.people import Person

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PATHS = ("/admin/balance", "/admin/users", "/admin/monitor", "/admin/credit-transactions")
TRANSACTIONS = PATHS[-1]


def notes(gateway: RunningGateway) -> list[tuple[str | None, str]]:
    """What the log says that admins were shown: of whom, and by which route."""
    with gateway.database.connect() as connection:
        events = [entry.event for entry in read_after(connection, 0, limit=10_000)]
    return [(each.user_id, each.route) for each in events if isinstance(each, AdminRead)]


@pytest.mark.parametrize("path", [*PATHS, "/admin/users/{id}"])
def test_only_admins_are_shown_others_and_it_is_written_down(
    gateway: RunningGateway, path: str
) -> None:
    """Before the reply; a user is refused, and so is who has no key (rule: access, P5)."""
    admin, user = new_admin(gateway), gateway.user()
    asked = path.format(id=user.user_id)
    assert told(ask(gateway, user, asked)) == (403, "forbidden")
    with gateway.client(user) as client:
        assert client.get(asked, headers={"authorization": ""}).status_code == 401
    assert notes(gateway) == []
    assert ask(gateway, admin, asked).status_code == 200
    whose = user.user_id if "{id}" in path else None
    assert notes(gateway) == [(whose, path.replace("{id}", "{user_id}"))]


def test_users_come_in_pages(gateway: RunningGateway) -> None:
    """Each once, in the order of registration; those who left are told apart (rule: contract)."""
    admin = new_admin(gateway)
    customers = [gateway.user(number * 10**9) for number in range(1, 4)]
    person = Person(gateway)
    gone = person.register()
    person.leave(gone["api_key"])
    shown: list[dict[str, Any]] = []
    after = ""
    while True:
        page = ask(gateway, admin, "/admin/users", limit=2, after=after).json()
        shown += page["users"]
        after = page["next_after"]
        if after is None:
            break
    expected = [admin, *customers]
    assert [each["user_id"] for each in shown] == [
        *(each.user_id for each in expected),
        gone["user_id"],
    ]
    assert [each["credits"] for each in shown] == [0, 1, 2, 3, 0]
    assert [each["is_active"] for each in shown] == [True] * 4 + [False]
    assert shown[0]["role"] == "admin"
    assert [each["active_keys"] for each in shown] == [1, 1, 1, 1, 0]
    statistics = page["statistics"]
    assert statistics == {
        "active_users": 4,
        "inactive_users": 1,
        "admin_users": 1,
        "developer_users": 0,
        "regular_users": 4,
        "total_credits": 6.0,
        "average_credits": 1.2,
        "subscription_breakdown": {"basic": 4, "pro": 0, "max": 0},
    }
    balance = ask(gateway, admin, "/admin/balance", limit=1_000).json()
    assert (balance["status"], balance["total_users"]) == ("success", 5)
    assert [each["credits"] for each in balance["users"]] == [0, 1, 2, 3, 0]


def test_a_user_is_shown_with_keys_and_what_happened(gateway: RunningGateway) -> None:
    """Keys masked; calls and grants, newest first (P5, rule: contract)."""
    admin, user, other = new_admin(gateway), gateway.user(), gateway.user()
    for each in (user, other, user):
        assert gateway.chat(each, {}).status_code == 200
    got = ask(gateway, admin, f"/admin/users/{user.user_id}")
    assert user.api_key not in got.text
    found = got.json()
    assert found["user"]["user_id"] == user.user_id
    assert found["user"]["credits"] == pytest.approx(10 - 2 * 0.0000045)
    assert [each["id"] for each in found["api_keys"]] == [user.key_id]
    assert [each["cost"] for each in found["recent_usage"]] == [pytest.approx(0.0000045)] * 2
    assert {each["account_id"] for each in found["recent_usage"]} == {user.account_id}
    assert "credits_granted" in {each["activity"] for each in found["recent_activity"]}
    for unknown in (str(uuid4()), "1", "x" * 900):
        assert told(ask(gateway, admin, f"/admin/users/{unknown}")) == (404, "user_not_found")


def test_the_monitor_counts_everybody(gateway: RunningGateway) -> None:
    """Today's calls, who used most, what happened last (rule: contract)."""
    admin, user, other = new_admin(gateway), gateway.user(), gateway.user()
    for each in (user, other, user):
        assert gateway.chat(each, {}).status_code == 200

    def data() -> dict[str, Any]:
        found: dict[str, Any] = ask(gateway, admin, "/admin/monitor").json()["data"]
        return found

    eventually(lambda: data()["total_requests_today"] == 3)
    found = data()
    assert (found["total_users"], found["active_users_today"]) == (3, 2)
    assert (found["total_tokens_today"], found["total_cost_today"]) == (
        45,
        pytest.approx(0.0000135),
    )
    assert [(each["user_id"], each["requests"]) for each in found["top_users_by_usage"]] == [
        (user.user_id, 2),
        (other.user_id, 1),
    ]
    assert found["system_usage_metrics"]["failed_requests"] == 0


def lines(gateway: RunningGateway, by: Any, **asked: Any) -> dict[str, Any]:
    """What the route of all lines answers."""
    got = ask(gateway, by, TRANSACTIONS, **asked)
    assert got.status_code == 200, got.text
    found: dict[str, Any] = got.json()
    return found


def test_the_lines_of_all_statements_are_found(gateway: RunningGateway) -> None:
    """By user, type, amount and direction; sorted, paged and summed up (rule: contract, P4)."""
    admin, user, other = new_admin(gateway), gateway.user(5 * 10**9), gateway.user(7 * 10**9)
    for each in (user, other):
        assert gateway.chat(each, {}).status_code == 200
    every = lines(gateway, admin)
    assert [each["amount_nano_usd"] for each in every["transactions"]] == [
        *(-4_500, -4_500),
        *(7 * 10**9, 5 * 10**9),
    ]
    assert every["pagination"] == {
        "total": 4,
        "total_is_exact": True,
        "limit": 50,
        "offset": 0,
        "has_more": False,
    }
    summary = every["summary"]
    assert summary["total_transactions"] == 4
    assert summary["total_credits_added"] == 12.0
    assert summary["total_credits_used"] == pytest.approx(0.000009)
    assert summary["transaction_count_by_direction"] == {"credit": 2, "charge": 2}
    assert set(summary["by_type"]) == {"bonus", "api_usage"}
    assert (summary["largest_credit"], summary["largest_charge"]) == (7.0, pytest.approx(4.5e-6))
    mine = lines(gateway, admin, user_id=user.user_id)
    assert {each["user_id"] for each in mine["transactions"]} == {user.user_id}
    assert mine["pagination"]["total"] == 2
    for asked, expected in (
        ({"direction": "charge"}, 2),
        ({"direction": "credit", "min_amount": "6"}, 1),
        ({"min_amount": "-0.0000045", "max_amount": "5"}, 3),
        ({"transaction_type": "bonus"}, 2),
        ({"transaction_type": "nothing"}, 0),
        ({"payment_id": "pi_1"}, 0),
    ):
        assert lines(gateway, admin, **asked)["pagination"]["total"] == expected, asked
    by_amount = lines(gateway, admin, sort_by="amount", sort_order="asc", limit=3)
    amounts = [each["amount_nano_usd"] for each in by_amount["transactions"]]
    assert amounts == [-4_500, -4_500, 5 * 10**9]
    assert by_amount["pagination"]["has_more"]
    rest = lines(gateway, admin, sort_by="amount", sort_order="asc", offset=3)
    assert [each["amount_nano_usd"] for each in rest["transactions"]] == [7 * 10**9]
    assert "summary" not in lines(gateway, admin, include_summary=False)


def test_a_time_is_found_by_halving(database: Database) -> None:
    """Whatever instants are asked for: exactly the lines booked in it (P6)."""
    history = History(database, users=1)
    for _ in range(40):
        history.append(entries.grant(UUID(int=7, version=4), 5))
    with database.connect() as connection:
        Runner(STATEMENT).advance(connection, 10_000)
        select = select_on(connection)

        def read(wanted: LinesWanted) -> list[datetime | None]:
            found = read_all_lines(
                select, wanted, order="created_at", down=False, limit=1_000, offset=0
            )
            return [each.line.booked_at for each in found]

        booked = [each for each in read(LinesWanted()) if each]
        assert len(booked) >= 40
        step = timedelta(microseconds=1)
        for instant in (booked[0] - step, *booked[::7], *(each + step for each in booked[::7])):
            for account in (None, UUID(int=7, version=4)):
                whole = read(LinesWanted(account_id=account))
                since = read(LinesWanted(account_id=account, since=instant))
                until = read(LinesWanted(account_id=account, until=instant))
                assert since == [each for each in whole if each and each >= instant]
                assert until == [each for each in whole if each and each < instant]


def test_too_many_lines_are_neither_summed_nor_sorted(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are shown by time, and the rest is told (rule: bounded)."""
    admin = new_admin(gateway)
    for _ in range(4):
        gateway.user(10**9)
    for each in (module, all_statements):
        monkeypatch.setattr(each, "PERIOD_LINES_MAX", 3)
    found = lines(gateway, admin, limit=2)
    assert found["pagination"]["total"] == 3
    assert not found["pagination"]["total_is_exact"]
    assert found["pagination"]["has_more"]
    assert "summary" not in found
    got = ask(gateway, admin, TRANSACTIONS, sort_by="amount")
    assert told(got) == (400, "period_too_long")


BAD: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("/admin/users", {"limit": 0}, (422, "invalid_page")),
    ("/admin/users", {"limit": 1_001}, (422, "invalid_page")),
    ("/admin/users", {"after": "x"}, (400, "invalid_value")),
    ("/admin/balance", {"limit": -1}, (422, "invalid_page")),
    ("/admin/balance", {"offset": 1}, (400, "unknown_parameter")),
    (TRANSACTIONS, {"limit": 1_001}, (422, "invalid_page")),
    (TRANSACTIONS, {"offset": 10**9}, (422, "invalid_page")),
    (TRANSACTIONS, {"user_id": "x"}, (404, "user_not_found")),
    (TRANSACTIONS, {"user_id": str(uuid4())}, (404, "user_not_found")),
    (TRANSACTIONS, {"from_date": "yesterday"}, (400, "invalid_value")),
    (TRANSACTIONS, {"min_amount": "x"}, (400, "invalid_value")),
    (TRANSACTIONS, {"min_amount": "--1"}, (400, "invalid_value")),
    (TRANSACTIONS, {"max_amount": "1" * 41}, (400, "invalid_value")),
    (TRANSACTIONS, {"max_amount": "1e300"}, (400, "invalid_value")),
    (TRANSACTIONS, {"direction": "up"}, (422, "invalid_request")),
    (TRANSACTIONS, {"sort_by": "id"}, (422, "invalid_request")),
]


def test_what_cannot_be_asked_is_told(gateway: RunningGateway) -> None:
    """In a short message, and nobody was shown anything (rule: refuse clearly)."""
    admin = new_admin(gateway)
    for path, parameters, expected in BAD:
        got = ask(gateway, admin, path, **parameters)
        assert told(got) == expected, (path, parameters)
        assert len(got.text) < 1_000
    assert TRANSACTIONS not in json.dumps(notes(gateway))


def test_users_are_paged_by_their_index(database: Database) -> None:
    """A page far behind reads no more than the first; a count is one pass (rule: bounded)."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO user_secret (user_id, account_id, wrapped_key) "
            "SELECT gen_random_uuid(), gen_random_uuid(), 'x' FROM generate_series(1, 20000)"
        )
        connection.execute("INSERT INTO user_role VALUES (gen_random_uuid(), 'admin', 1)")
        ((middle,),) = connection.execute(
            "SELECT user_id FROM user_secret ORDER BY user_id OFFSET 19000 LIMIT 1"
        ).fetchall()
        page = read_users(connection, after=middle, limit=10)
        assert len(page) == 10
        assert page[0].user_id > middle
        assert count_users(connection).total == 20_000
    with database.connect_as_owner() as connection:
        connection.execute("ANALYZE user_secret")
        plan = connection.execute(
            "EXPLAIN SELECT user_id FROM user_secret WHERE (%(after)s::uuid IS NULL OR "
            "user_id > %(after)s) AND (true OR wrapped_key IS NOT NULL) ORDER BY user_id LIMIT 10",
            {"after": middle},
        ).fetchall()
    assert "Index Cond" in str(plan)
