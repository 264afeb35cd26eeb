"""What a caller is told whose call a quota refuses, or whose trial has ended."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.money.grants import Grant, Grants
from command_api.quotas.refusals import DatabaseFigures, QuotaRefusals
from domain.ledger.lots import GrantKind
from event_store.ids import to_iso
from event_store.postgres.database import Database
from tests.support.harness import USD, completion, reply, running_gateway, stream
from tests.support.harness import chunk as piece_of
from tests.support.quotas import set_quota

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway, ScriptedUpstream

TOKENS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that answers every call."""
    upstream.answer = lambda connection, _: reply(connection, completion(usage=TOKENS))
    with running_gateway(database, tmp_path, upstream) as running:
        yield running


def limit(gateway: RunningGateway, user: NewUser, unit: str, window: str, most: int) -> None:
    """A quota of the user's key."""
    account, key = UUID(user.account_id), UUID(user.key_id)
    set_quota(gateway.database, account, "key", key, unit, window, most)


def trial(gateway: RunningGateway, user: NewUser, **more: Any) -> None:
    """A trial, smaller than the real one."""
    given: dict[str, Any] = {
        "amount": USD,
        "expires_at": to_iso(datetime.now(UTC) + timedelta(days=1)),
        "limits": {"requests": 2, "tokens": 5_000},
        **more,
    }
    grant = Grant(
        account_id=UUID(user.account_id), kind=GrantKind.TRIAL, reason="trial credits", **given
    )
    asyncio.run(Grants(gateway.database, actor="test").give(grant))


def test_a_day_that_is_used_up_says_so(gateway: RunningGateway) -> None:
    """Unit, limit, used, held, when it resets, and Retry-After (money rule 13)."""
    user = gateway.user()
    limit(gateway, user, "requests", "day", 2)
    assert [gateway.chat(user, {}).status_code for _ in range(3)] == [200, 200, 429]
    refused = gateway.chat(user, {})
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "quota_exceeded")
    assert "2 requests a day" in error["message"]
    figures = {name: error[name] for name in ("unit", "limit", "used", "held", "overrun")}
    assert figures == {"unit": "requests", "limit": 2, "used": 2, "held": 0, "overrun": 0}
    left_s = (datetime.fromisoformat(error["resets_at"]) - datetime.now(UTC)).total_seconds()
    assert 0 < left_s <= 86_400
    assert abs(int(refused.headers["retry-after"]) - left_s) < 5
    assert refused.headers["x-gatewayz-call-id"]
    gateway.verified()


def test_a_quota_in_all_never_resets(gateway: RunningGateway) -> None:
    """No Retry-After, and a key that it refuses may be used again (money rule 13, P3)."""
    user = gateway.user()
    limit(gateway, user, "tokens", "total", 30)
    keyed = {"Idempotency-Key": "again"}
    refused = gateway.chat(user, {"max_tokens": 50}, **keyed)
    assert (refused.status_code, refused.json()["error"]["resets_at"]) == (429, None)
    assert "retry-after" not in refused.headers
    events = gateway.events()
    assert gateway.chat(user, {"max_tokens": 50}, **keyed).status_code == 429
    assert gateway.events() == events
    limit(gateway, user, "tokens", "total", 200)
    answered = gateway.chat(user, {"max_tokens": 50}, **keyed)
    assert answered.status_code == 200
    assert answered.headers.get("idempotent-replayed") is None


def test_quotas_of_money_count_what_was_charged(gateway: RunningGateway) -> None:
    """The hold reserves the most that it can cost (money rule 13)."""
    user = gateway.user()
    limit(gateway, user, "nano_usd", "month", 40_000)
    first = gateway.chat(user, {"max_tokens": 50})
    assert first.status_code == 200
    charged = gateway.story(user, first)["settled_nano_usd"]
    error = gateway.chat(user, {"max_tokens": 100}).json()["error"]
    assert (error["code"], error["used"], error["held"]) == ("quota_exceeded", charged, 0)
    assert "0.000040000 USD a month" in error["message"]
    gateway.verified()


def test_a_trial_at_its_limit_says_what_is_left(gateway: RunningGateway) -> None:
    """As it always did: 429 and three headers; then purchased credits pay (money rule 10)."""
    user = gateway.user(grant=0)
    trial(gateway, user)
    assert [gateway.chat(user, {"max_tokens": 50}).status_code for _ in range(2)] == [200, 200]
    refused = gateway.chat(user, {"max_tokens": 50})
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.headers["x-trial-remaining-requests"] == "0"
    assert refused.headers["x-trial-remaining-tokens"] == str(5_000 - 2 * 15)
    assert refused.headers["x-trial-remaining-credits"].startswith("0.99999")
    grant = Grant(
        account_id=UUID(user.account_id), amount=USD, kind=GrantKind.PURCHASE, reason="bought"
    )
    asyncio.run(Grants(gateway.database, actor="test").give(grant))
    assert gateway.chat(user, {"max_tokens": 50}).status_code == 200
    gateway.verified()


def test_a_trial_that_ended_says_so(gateway: RunningGateway) -> None:
    """403 with its end; who has had other credits, or no trial, gets a 402 (money rule 10)."""
    user, other = gateway.user(grant=0), gateway.user(grant=0)
    for each in (user, other):
        trial(gateway, each, expires_at=to_iso(datetime.now(UTC) + timedelta(seconds=0.2)))
    grant = Grant(account_id=UUID(other.account_id), amount=1, kind=GrantKind.BONUS, reason="more")
    asyncio.run(Grants(gateway.database, actor="test").give(grant))
    time.sleep(0.3)
    for key in ({}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "a"}):
        refused = gateway.chat(user, {}, **key)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "trial_expired"
        assert refused.headers["x-trial-expired"] == "true"
        assert refused.headers["x-trial-end-date"].endswith("Z")
    assert gateway.chat(other, {}).status_code == 402
    assert gateway.chat(gateway.user(grant=0), {}).status_code == 402


def test_a_stream_that_a_quota_does_not_cover_ends_there(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The chunk says so, and what was made is charged (money rule 13, money rule 2)."""
    user = gateway.user()
    words = [piece_of({"content": "word " * 200}) for _ in range(60)]
    upstream.answer = lambda connection, _: stream(connection, *words)
    limit(gateway, user, "tokens", "day", 6_000)
    answered = gateway.chat(user, {"stream": True})
    assert answered.status_code == 200
    assert '"code":"quota_exceeded"' in answered.text
    assert gateway.open_holds() == 0
    gateway.verified()


def test_without_figures_the_refusal_goes_out_all_the_same() -> None:
    """In a short time, with the status and the code (P12)."""
    away = Database("host=127.0.0.1 port=1 dbname=none", "host=127.0.0.1 port=1 dbname=none")

    async def ask() -> list[Any]:
        figures = DatabaseFigures(away)
        refusals = QuotaRefusals(figures)
        try:
            account = UUID(int=1).bytes
            return [await refusals.exceeded(account, 5), await refusals.trial_ended(account)]
        finally:
            await figures.close()

    began = time.monotonic()
    exceeded, ended = asyncio.run(ask())
    assert (exceeded.status, exceeded.code, ended) == (429, "quota_exceeded", None)
    assert time.monotonic() - began < 8
