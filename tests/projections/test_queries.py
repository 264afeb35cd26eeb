"""What the read models answer, checked against the events themselves."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis

from domain.events.ledger import HoldPlaced, HoldResolved, HoldSettled
from event_store.ids import now_iso
from event_store.log.reading import read_after
from projections.all import PROJECTIONS
from projections.catalog.provider_health import read_provider_health
from projections.engine.projection import select_on
from projections.engine.redis_sink import RedisSink, sinks_of
from projections.engine.runner import Runner
from projections.hosting.install import install
from projections.money.journal import read_postings, read_trial_balance
from projections.usage.activity_log import read_activity
from projections.usage.key_usage import read_key_usage
from projections.usage.rate_limit_counters import RATE_LIMIT_COUNTER, RateLimitCounters, read_window
from projections.usage.usage_by_hour import read_usage
from tests.support.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from event_store.postgres.database import Database

DAY = timedelta(days=1)


class Read:
    """A history, projected, with its ends of calls."""

    def __init__(self, database: Database) -> None:
        """Project everything."""
        self.history = History(database)
        self.history.calls(150)
        self.connection = database.connect()
        for projection in PROJECTIONS:
            Runner(projection).advance(self.connection, 10_000)
        self.events = [each.event for each in read_after(self.connection, 0, 10_000)]
        self.ends = [each for each in self.events if isinstance(each, HoldResolved)]
        self.charged = [each for each in self.ends if isinstance(each, HoldSettled)]
        self.select = select_on(self.connection)


@pytest.fixture
def read(database: Database) -> Iterator[Read]:
    """A projected history."""
    made = Read(database)
    yield made
    made.connection.close()


def test_usage_sums_to_the_events(read: Read) -> None:
    """By hour, model and account: requests, tokens, money, errors, percentiles (P8)."""
    now = datetime.now(UTC)
    window = {"since": now - DAY, "until": now + DAY}
    for by in ("hour", "model", "account_id", "key_id", "provider"):
        rows = read_usage(read.select, by=by, **window)  # type: ignore[arg-type]
        assert sum(each["requests"] for each in rows) == len(read.ends)
        assert sum(each["errors"] for each in rows) == len(read.ends) - len(read.charged)
        for ours, theirs in (("input_tokens",) * 2, ("output_tokens",) * 2):
            told = sum(each.usage[theirs] for each in read.charged)
            assert sum(each[ours] for each in rows) == told
        assert sum(each["charged_nano_usd"] for each in rows) == sum(
            each.settled_nano_usd for each in read.charged
        )
        assert sum(each["margin_nano_usd"] for each in rows) == sum(
            each.settled_nano_usd - each.cost_nano_usd for each in read.charged
        )
        firsts = [a for e in read.charged for a in e.attempts if "first_output_ms" in a]
        assert sum(each["first_outputs"] for each in rows) == len(firsts)
    whole = read_usage(read.select, by="hour", **window)  # type: ignore[arg-type]
    times = sorted(each.attempts[-1]["duration_ms"] for each in read.ends)
    if len(whole) == 1:
        assert whole[0]["latency_ms_p50"] >= times[len(times) // 2 - 1]
    account = str(read.history.callers[0][0])
    mine = read_usage(read.select, by="hour", account_id=account, **window)
    assert sum(each["requests"] for each in mine) == sum(e.account_id == account for e in read.ends)


def test_activity_is_paged_newest_first(read: Read) -> None:
    """Every end, grant and key of the account, once each, over pages (P7)."""
    account = str(read.history.callers[0][0])
    seen: list[dict[str, Any]] = []
    before = None
    while page := read_activity(read.select, account, limit=7, before=before):
        seen += page
        before = page[-1]["position"]
    positions = [each["position"] for each in seen]
    assert positions == sorted(set(positions), reverse=True)
    kinds = Counter(each["activity"] for each in seen)
    assert kinds["credits_granted"] == 2
    assert kinds["user_registered"] == 1
    assert kinds["api_key_created"] == 2
    assert kinds["hold_settled"] == sum(each.account_id == account for each in read.charged)


def test_keys_health_and_books(read: Read) -> None:
    """Use of keys, attempts at providers, and a trial balance of zero (P4, P8)."""
    account, key = read.history.callers[0]
    (used,) = read_key_usage(read.select, str(account))
    assert used["key_id"] == str(key)
    assert used["requests"] == sum(each.account_id == str(account) for each in read.ends)
    assert used["first_used_at"] <= used["last_used_at"]
    health = read_provider_health(read.select, since=datetime.now(UTC) - DAY)
    assert sum(each["attempts"] for each in health) == len(read.ends)
    failed = len(read.ends) - len(read.charged)
    lost = sum(e["attempts"] - e["attempts"] * e["success_ppm"] // 10**6 for e in health)
    assert failed <= lost <= failed + len(health)
    assert any(each["last_error"] == "upstream said no" for each in health)
    assert sum(read_trial_balance(read.select).values()) == 0
    postings = read_postings(read.select, str(account), limit=1_000)
    assert postings
    assert sum(row[3] for row in postings) == 0


def test_windows_count_alike_in_both_stores(
    read: Read, database: Database, empty_redis: str
) -> None:
    """Requests begun and tokens charged today, of a key and of its account (P8)."""
    account, key = read.history.callers[0]
    began = sum(
        isinstance(each, HoldPlaced) and each.account_id == str(account) for each in read.events
    )
    tokens = sum(
        each.usage["input_tokens"] + each.usage["output_tokens"]
        for each in read.charged
        if each.account_id == str(account)
    )

    def from_tables(table: object, starts_at: str, span: str) -> list[tuple[Any, ...]]:
        assert table is RATE_LIMIT_COUNTER
        return read.select(
            "SELECT starts_at, span, scope, scope_id, requests, tokens "
            "FROM read_rate_limit_counter WHERE starts_at = %s AND span = %s",
            [starts_at, span],
        )

    sink = RedisSink(redis.Redis.from_url(empty_redis, decode_responses=True))
    leads: list[Callable[..., Any]] = [
        from_tables,
        lambda table, *lead: sink.leading(table, 2, *lead),
    ]
    for turn, leading in enumerate(leads):
        if turn:
            install(database, sinks_of(empty_redis))
        for scope in (account, key):
            found = read_window(leading, at=now_iso(), span="day", scope_id=str(scope))
            assert found == (began, tokens)
        assert read_window(leading, at=now_iso(), span="hour", scope_id="nobody") == (0, 0)
    assert RateLimitCounters().in_redis
