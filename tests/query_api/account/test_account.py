"""GET /user/balance and /user/credit-transactions: the caller's own account."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from command_api.limits.commands import SYSTEM, LimitCommands
from domain.ledger.lots import TRIAL_REQUESTS_MAX, TRIAL_TOKENS_MAX
from domain.limits.rates import LimitScope, RateLimits, SetBy
from domain.limits.settings import Target
from event_store.ids import new_uuid7, to_iso
from projections.engine.freshness import ProjectionLaggingError
from projections.engine.runner import Runner
from projections.money.account_balances import LOTS_SHOWN_MAX
from query_api.account.queries import BALANCES, STATEMENT, read_balance, read_transactions
from tests.support import entries
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.append.entries import Entry
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
SOON = to_iso(datetime.now(UTC) + timedelta(days=1))
PAST = to_iso(datetime.now(UTC) - timedelta(seconds=1))


def test_the_balance_shows_a_call_at_once(gateway: RunningGateway) -> None:
    """Right after a call, balance and statement include it (rule: calls first)."""
    user = gateway.user()
    for number in range(1, 6):
        gateway.chat(user, {})
        assert gateway.balance(user)["settled_nano_usd"] == 4_500 * number
    with gateway.client(user) as client:
        page = client.get("/user/credit-transactions", params={"limit": 2}).json()
        text = client.get("/user/balance").text
    assert page["total"] == 6
    assert [line["transaction_type"] for line in page["transactions"]] == ["api_usage"] * 2
    assert page["transactions"][0]["amount_nano_usd"] == -4_500
    assert page["transactions"][0]["amount"] == pytest.approx(-0.0000045)
    assert '"credits":9.9999775' in text
    assert "..." in json.loads(text)["api_key"]


def test_the_shape_of_a_balance_and_a_line(gateway: RunningGateway) -> None:
    """The members of both, in their order (rule: contract)."""
    user = gateway.user()
    gateway.chat(user, {})
    amounts = ("granted", "available", "held", "settled", "breakage", "debited", "owed")
    assert list(gateway.balance(user)) == [
        *("api_key", "user_id", "credits"),
        *(f"{name}_{unit}" for name in amounts for unit in ("nano_usd", "usd")),
        *("position", "lots", "status"),
    ]
    with gateway.client(user) as client:
        page = client.get("/user/credit-transactions", params={"offset": 1}).json()
        usage = client.get("/user/credit-transactions?transaction_type=api_usage").json()
    assert list(page) == ["transactions", "summary", "total", "limit", "offset"]
    (line,) = page["transactions"]
    assert list(line) == [
        *("id", "position", "transaction_type", "amount_nano_usd", "balance_before_nano_usd"),
        *("balance_after_nano_usd", "description", "payment_id", "created_at", "effective_at"),
        *("metadata", "amount", "balance_before", "balance_after"),
    ]
    assert (line["transaction_type"], line["amount"], page["total"]) == ("bonus", 10.0, 2)
    assert set(page["summary"]["by_type"]) == {"api_usage", "bonus"}
    assert usage["summary"] == {
        "by_type": {"api_usage": pytest.approx(-0.0000045)},
        "net_change": pytest.approx(-0.0000045),
    }
    assert usage["transactions"][0]["metadata"]["house_loss_nano_usd"] == 0


def projected(database: Database, *batch: Entry) -> None:
    """Append, and advance what the account's routes read."""
    History(database, users=1).append(*batch)
    with database.connect() as connection:
        for projection in (BALANCES, STATEMENT):
            Runner(projection).advance(connection, 10_000)


def test_a_trial_says_what_is_left_of_it(database: Database) -> None:
    """Requests, tokens and its end, until credits of another kind come (money rule 9)."""
    call = new_uuid7()
    limits = {"requests": TRIAL_REQUESTS_MAX, "tokens": TRIAL_TOKENS_MAX}
    projected(
        database,
        entries.grant(ACCOUNT, 50, kind="trial", expires_at=SOON, limits=limits),
        entries.hold(call, ACCOUNT, 20),
        entries.settle(call, ACCOUNT, 20),
    )
    found = read_balance(database, str(ACCOUNT), wait_s=0)
    assert (found["status"], found["trial_end_date"]) == ("trial", SOON)
    assert found["requests_remaining"] == TRIAL_REQUESTS_MAX - 1
    assert found["tokens_remaining"] == TRIAL_TOKENS_MAX - 20
    projected(database, entries.grant(ACCOUNT, 5, kind="purchase"))
    assert read_balance(database, str(ACCOUNT), wait_s=0)["status"] == "active"


def test_a_lot_whose_time_is_up_cannot_be_spent(database: Database) -> None:
    """It shows as breakage at once, also before that is booked (money rule 9)."""
    projected(
        database,
        entries.grant(ACCOUNT, 50, expires_at=PAST),
        entries.grant(ACCOUNT, 7),
    )
    found = read_balance(database, str(ACCOUNT), wait_s=0)
    assert (found["granted_nano_usd"], found["available_nano_usd"]) == (57, 7)
    assert (found["breakage_nano_usd"], found["breakage_usd"]) == (50, "0.000000050")
    assert [each["available_nano_usd"] for each in found["lots"]] == [0, 7]


def test_a_statement_ends_with_what_can_be_spent(database: Database) -> None:
    """An expiry stands in it before it is booked, and once afterwards (money rule 9)."""
    other = to_iso(datetime.now(UTC) - timedelta(days=1))
    projected(
        database,
        entries.grant(ACCOUNT, 7, kind="purchase"),
        entries.grant(ACCOUNT, 50, expires_at=PAST),
        entries.grant(ACCOUNT, 3, expires_at=other),
    )

    def ask(limit: int = 10, offset: int = 0, **more: Any) -> tuple[list[Any], int, dict[str, int]]:
        more.setdefault("transaction_type", None)
        return read_transactions(
            database, str(ACCOUNT), limit=limit, offset=offset, wait_s=0, **more
        )

    def figures(lines: list[Any]) -> list[tuple[int, int]]:
        names = ("amount_nano_usd", "balance_after_nano_usd")
        return [(each[names[0]], each[names[1]]) for each in lines]

    before = ask()
    expected = [(-50, 7), (-3, 57), (3, 60), (50, 57), (7, 7)]
    assert figures(before[0]) == expected
    assert (before[1], sum(before[2].values())) == (5, 7)
    assert before[0][0]["effective_at"] == PAST
    assert [before[0][0][name] for name in ("id", "position", "created_at")] == [None] * 3
    pages = [ask(limit=2, offset=offset)[0] for offset in (0, 2, 4)]
    assert figures([line for page in pages for line in page]) == expected
    assert ask(limit=1, offset=1)[0] == before[0][1:2]
    kinds = [ask(transaction_type=kind) for kind in ("breakage", "purchase")]
    assert [(len(each[0]), each[1], each[2]) for each in kinds] == [
        (2, 2, {"breakage": -53}),
        (1, 1, {"purchase": 7}),
    ]
    day = datetime.now(UTC) - timedelta(hours=12)
    assert figures(ask(until=day)[0]) == [(-3, 57)]
    assert figures(ask(since=day)[0]) == [expected[0], *expected[2:]]
    projected(database, entries.hold(new_uuid7(), ACCOUNT, 1))
    after = ask()
    assert (after[1], after[2]) == (before[1], before[2])
    assert after[0][0]["balance_after_nano_usd"] == 7
    assert all(each["created_at"] for each in after[0])


def test_a_balance_shows_so_many_lots(database: Database) -> None:
    """Those that can be spent first, then the newest of the others; the sums are of all of them
    (rule: bounded).
    """
    oldest = entries.grant(ACCOUNT, 5)
    lapsed = [entries.grant(ACCOUNT, 1, expires_at=PAST) for _ in range(LOTS_SHOWN_MAX)]
    projected(database, oldest, *lapsed, entries.grant(ACCOUNT, 7))
    found = read_balance(database, str(ACCOUNT), wait_s=0)
    assert found["granted_nano_usd"] == LOTS_SHOWN_MAX + 12
    assert (found["available_nano_usd"], found["breakage_nano_usd"]) == (12, LOTS_SHOWN_MAX)
    lots = [each["available_nano_usd"] for each in found["lots"]]
    assert lots == [5, *[0] * (LOTS_SHOWN_MAX - 2), 7]


def test_a_read_model_that_lags_is_told(database: Database) -> None:
    """No old balance is given for a present one; the error says its lag (rule: refuse clearly)."""
    History(database, users=1)
    with pytest.raises(ProjectionLaggingError, match=r"account_balances is \d+ positions"):
        read_balance(database, str(ACCOUNT), wait_s=0)
    with database.connect() as connection:
        Runner(BALANCES).advance(connection, 10_000)
    with pytest.raises(ProjectionLaggingError, match="credit_statement"):
        read_transactions(
            database, str(ACCOUNT), limit=1, offset=0, transaction_type=None, wait_s=0
        )


def test_a_statement_by_dates(gateway: RunningGateway) -> None:
    """From an instant or a day, to another; sums and number are of that time (rule: contract)."""
    user = gateway.user()
    for _ in range(3):
        gateway.chat(user, {})
    headers = {"Authorization": f"Bearer {user.api_key}"}

    def ask(**query: str) -> httpx.Response:
        url = f"{gateway.url}/user/credit-transactions"
        return httpx.get(url, params=query, headers=headers, timeout=20)

    whole = ask().json()
    assert whole["total"] == 4
    second = whole["transactions"][1]["created_at"]
    late, early = ask(**{"from": second}).json(), ask(to=second).json()
    assert late["transactions"] + early["transactions"] == whole["transactions"]
    assert (late["total"], early["total"]) == (2, 2)
    assert late["summary"]["by_type"].keys() == {"api_usage"}
    today = datetime.now(UTC).date()
    assert ask(**{"from": today.isoformat()}).json()["total"] in (0, 4)  # Midnight may pass.
    assert ask(to=(today - timedelta(days=1)).isoformat()).json()["total"] == 0
    assert ask(**{"from": second, "transaction_type": "trial"}).json()["total"] == 0
    for value in ("yesterday", "2026-13-01", "", "0001-01-01T00:00:00+23:59"):
        refused = ask(**{"from": value})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_value"), value


def test_the_monitor_says_what_was_used(gateway: RunningGateway) -> None:
    """Charged calls at once, of this account alone; what limits the key (P6, rule: contract)."""
    user, other = gateway.user(), gateway.user()
    with gateway.client(user) as client:
        before = client.get("/user/monitor").json()
    assert before["usage_metrics"]["last_request_time"] is None
    assert before["usage_metrics"]["most_used_model"] is None
    for each in (user, other, user):
        assert gateway.chat(each, {}).status_code == 200
    limits = LimitCommands(gateway.database, actor="test")
    key = Target(LimitScope.KEY, user.key_id, SetBy.OWNER)
    limits.set([key], {"requests_per_hour": 70})
    limits.set([SYSTEM], {"requests_per_hour": 50, "burst": 9})
    limits.close()
    with gateway.client(user) as client:
        text = client.get("/user/monitor").text
    found = json.loads(text)
    assert found["status"] == "success"
    assert found["current_credits"] == pytest.approx(10 - 2 * 0.0000045)
    metrics = found["usage_metrics"]
    assert metrics.pop("last_request_time") > before["timestamp"]
    assert metrics == {
        **{f"{each}": 2 for each in ("total_requests", "requests_today", "requests_this_month")},
        **{f"{each}": 30 for each in ("total_tokens", "tokens_today", "tokens_this_month")},
        **{
            each: pytest.approx(0.000009)
            for each in ("total_cost", "cost_today", "cost_this_month")
        },
        "average_tokens_per_request": 15,
        "most_used_model": "local/m",
    }
    assert found["rate_limits"] == {
        **dict.fromkeys(RateLimits._fields),
        "requests_per_hour": 50,
        "burst": 9,
    }
    assert user.api_key not in text
