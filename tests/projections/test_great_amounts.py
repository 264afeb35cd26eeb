"""Amounts and reports of tokens that no 64 bits hold together stop no read model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from query_api.account.queries import read_balance, read_transactions
from query_api.rankings.queries import read_app_ranking, read_model_ranking
from query_api.traffic.queries import read_traffic
from tests.projections.engine.test_refused_rows import SETTLED, insert_like, parked
from tests.projections.engine.test_runner import differences
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database

GREAT = 9 * 10**18
"""Two of it are beyond a bigint."""
UINT64_MAX = 2**64 - 1
USAGE = {
    "input_tokens": UINT64_MAX,
    "output_tokens": 10**18,
    "cached_input_tokens": UINT64_MAX,
    "reasoning_tokens": 10**18,
}


def test_sums_have_no_limit(database: Database) -> None:
    """Three of the greatest settlements and grants, and a count of -1 read as unsigned: every read
    model passes them, and their readers answer (P7, P8, rule: bounded).
    """
    history = History(database)
    history.calls(20)
    account = str(history.callers[0][0])
    for _ in range(3):
        insert_like(database, "ledger.credits_granted", amount_nano_usd=GREAT, account_id=account)
        insert_like(
            database,
            SETTLED,
            account_id=account,
            settled_nano_usd=GREAT,
            cost_nano_usd=GREAT,
            usage=USAGE,
            model="org/large",
            provider="openrouter",
            app="https://example.org",
        )
    with database.connect() as connection:
        for projection in PROJECTIONS:
            runner = Runner(projection)
            while runner.advance(connection, 10_000)[0]:
                pass
    assert parked(database) == {}
    assert differences(database) == []
    balance = read_balance(database, account, wait_s=1)
    assert balance["granted_nano_usd"] == 3 * GREAT + 2 * 10**12
    assert balance["settled_nano_usd"] >= 3 * GREAT
    assert type(balance["granted_nano_usd"]) is int
    lines, total, sums = read_transactions(
        database, account, limit=2, offset=0, transaction_type="api_usage", wait_s=1
    )
    assert lines[0]["amount_nano_usd"] <= -GREAT
    assert total >= 3
    assert sums["api_usage"] <= -3 * GREAT
    assert read_traffic(database, "24h").total.tokens >= 3 * UINT64_MAX
    models = read_model_ranking(database, {}, days=1, order="tokens", limit=5)
    apps = read_app_ranking(database, {}, days=1, order="tokens", limit=5)
    assert models[0]["tokens"] >= 3 * 10**9
    assert apps[0]["tokens"] >= 3 * 10**9
