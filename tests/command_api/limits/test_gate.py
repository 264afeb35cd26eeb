"""Whole gateways with limits: who is refused, how, and what replies say."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from command_api.limits.commands import SYSTEM, LimitCommands
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    RunningGateway,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    stream,
)
from tests.support.organisations import with_keys
from tests.support.outages import away

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture(params=["redis", "local"])
def limited(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with the shared counters, and one without."""
    url = request.getfixturevalue("empty_redis") if request.param == "redis" else None
    with running_gateway(database, tmp_path / "home", upstream, redis_url=url) as made:
        yield made


def key_of(user: NewUser) -> Target:
    """The user's key, by the operator."""
    return Target(LimitScope.KEY, user.key_id, SetBy.OPERATOR)


def limit(gateway: RunningGateway, target: Target, plan: str | None = None, **limits: int) -> None:
    """Set limits, and wait until the gateway has heard of them."""
    commands = LimitCommands(gateway.database, actor="test")
    try:
        commands.set([target], limits, plan)
    finally:
        commands.close()
    time.sleep(0.3)


def test_a_limit_of_requests_is_exact(limited: RunningGateway) -> None:
    """The refusal says which, and when again; it leaves no event (money rule 13)."""
    user = limited.user()
    limit(limited, key_of(user), requests_per_minute=3)
    answers = [limited.chat(user, {}) for _ in range(3)]
    assert [each.status_code for each in answers] == [200] * 3
    left = [each.headers["x-ratelimit-remaining-requests"] for each in answers]
    assert left == ["2", "1", "0"]
    before = limited.events()
    refused = limited.chat(user, {})
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert error["message"].startswith("Minute request limit exceeded.")
    assert 55 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-gatewayz-call-id"]
    assert ("x-gatewayz-limits" in refused.headers) == (limited.settings.redis.url is None)
    assert limited.events() == before
    assert limited.open_holds() == 0
    assert limited.chat(limited.user(), {}).status_code == 200


def test_who_has_no_limits_is_told_nothing(limited: RunningGateway) -> None:
    """No header, and no limit of another's (rule: contract)."""
    answer = limited.chat(limited.user(), {})
    assert not [name for name in answer.headers if "ratelimit" in name or "limits" in name]


def test_the_sdk_sees_headers_and_the_refusal(limited: RunningGateway) -> None:
    """OpenAI's own client reads both (rule: contract)."""
    user = limited.user()
    limit(limited, key_of(user), requests_per_minute=1, tokens_per_minute=100_000)
    client = openai.OpenAI(base_url=f"{limited.url}/v1", api_key=user.api_key, max_retries=0)
    raw = client.chat.completions.with_raw_response.create(
        model="local/m", messages=[{"role": "user", "content": "Hi"}], max_tokens=10
    )
    assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
    assert raw.headers["x-ratelimit-reset-requests"].startswith("1m")
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(
            model="local/m", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["retry-after"]
    client.close()


def test_streams_and_errors_carry_the_headers(
    limited: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Whatever a limited caller is answered, he reads what is left to him (rule: contract)."""
    user = limited.user()
    limit(limited, key_of(user), requests_per_minute=5)
    upstream.answer = lambda connection, _: stream(connection, chunk({"content": "a"}), USAGE, DONE)
    streamed = limited.chat(user, {"stream": True})
    assert streamed.headers["x-ratelimit-remaining-requests"] == "4"
    unknown = limited.chat(user, {"model": "local/nothing"})
    assert unknown.status_code == 404
    assert unknown.headers["x-ratelimit-remaining-requests"] == "4"
    broken = limited.chat(user, {"messages": 5})
    assert broken.headers["x-ratelimit-remaining-requests"] == "4"
    upstream.answer = lambda connection, _: reply(connection, b"{}", status=500)
    failed = limited.chat(user, {})
    assert failed.status_code >= 500
    assert failed.headers["x-ratelimit-remaining-requests"] == "3"


def test_tokens_are_corrected_to_what_was_used(limited: RunningGateway) -> None:
    """Held is what a call can use; once it ended, what it did (money rule 13)."""
    user = limited.user()
    limit(limited, key_of(user), tokens_per_minute=1_000)
    first = limited.chat(user, {"max_tokens": 500})
    assert first.status_code == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 500
    second = limited.chat(user, {"max_tokens": 500})
    assert second.status_code == 200
    third = limited.chat(user, {"max_tokens": 1_100})
    assert third.status_code == 429
    assert third.json()["error"]["message"].startswith("Minute token limit exceeded.")
    assert "max_tokens" in third.json()["error"]["message"]
    assert "retry-after" not in third.headers
    assert third.headers["x-ratelimit-remaining-tokens"] == str(1_000 - 2 * 15)


def test_calls_under_way_are_limited(limited: RunningGateway, upstream: ScriptedUpstream) -> None:
    """And a call that ended makes room before its caller can ask again (money rule 13)."""
    user = limited.user()
    limit(limited, key_of(user), concurrency=2)

    def slow(connection: Any, _: Any) -> None:
        time.sleep(0.5)
        reply(connection, completion())

    upstream.answer = slow
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: limited.chat(user, {}), range(4)))
    assert sorted(each.status_code for each in answers) == [200, 200, 429, 429]
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.json()["error"]["message"].startswith("Concurrency limit exceeded.")
    upstream.answer = lambda connection, _: reply(connection, completion())
    assert [limited.chat(user, {}).status_code for _ in range(20)] == [200] * 20


def test_a_repeated_key_is_replayed_and_not_counted(limited: RunningGateway) -> None:
    """An answered call is answered again, beyond every limit (P3)."""
    user = limited.user()
    limit(limited, key_of(user), requests_per_minute=2)
    first = limited.chat(user, {}, **{"Idempotency-Key": "one"})
    again = limited.chat(user, {}, **{"Idempotency-Key": "one"})
    assert again.headers["idempotent-replayed"] == "true"
    second = limited.chat(user, {})
    assert second.status_code == 200
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert limited.chat(user, {}).status_code == 429
    last = limited.chat(user, {}, **{"Idempotency-Key": "one"})
    assert (last.status_code, last.content) == (200, first.content)
    other = limited.chat(user, {}, **{"Idempotency-Key": "two"})
    assert other.status_code == 429


def test_the_scopes_of_user_and_system_hold_together(limited: RunningGateway) -> None:
    """Two keys of a user share his limits, and all users the system's (money rule 13)."""
    user, other = limited.user(), limited.user()
    users = limited.users()
    try:
        _, second = users.create_key(user.user_id, "second")
    finally:
        users.close()
    limit(limited, Target(LimitScope.USER, user.user_id, SetBy.OPERATOR), requests_per_minute=2)
    limit(limited, SYSTEM, requests_per_hour=3)
    assert limited.chat(user, {}).status_code == 200
    with httpx.Client(headers={"authorization": f"Bearer {second}"}) as client:
        url = f"{limited.url}/v1/chat/completions"
        assert client.post(url, json=ASK).status_code == 200
        assert client.post(url, json=ASK).status_code == 429
    assert limited.chat(other, {}).status_code == 200
    refused = limited.chat(other, {})
    assert refused.json()["error"]["message"].startswith("Hour request limit exceeded. The whole")
    assert int(refused.headers["retry-after"]) > 3_500


def test_an_organisation_limits_the_keys_of_its_projects_together(
    limited: RunningGateway,
) -> None:
    """Whoever made them, and no other keys of theirs (money rule 13)."""
    ann, bob = limited.user(), limited.user()
    organisation, keys = with_keys(limited, ann, bob)
    target = Target(LimitScope.ORGANISATION, organisation, SetBy.OPERATOR)
    limit(limited, target, requests_per_minute=3)
    found = []
    for key in (*keys, *keys):
        with httpx.Client(headers={"authorization": f"Bearer {key}"}) as client:
            found.append(client.post(f"{limited.url}/v1/chat/completions", json=ASK))
    assert [each.status_code for each in found] == [200, 200, 200, 429]
    assert "This organisation" in found[3].json()["error"]["message"]
    assert limited.chat(ann, {}).status_code == 200


def test_zero_admits_nothing_and_clearing_frees(limited: RunningGateway) -> None:
    """Within a second, also where nobody gave notice (money rule 13)."""
    user = limited.user()
    limit(limited, key_of(user), requests_per_minute=0)
    refused = limited.chat(user, {})
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    with limited.database.connect() as connection:  # No notice goes out with this.
        connection.execute(
            "UPDATE rate_limit SET cleared = true, change = nextval('rate_limit_change')"
        )
    time.sleep(0.9)
    assert limited.chat(user, {}).status_code == 200


def test_a_plan_limits_a_user(limited: RunningGateway) -> None:
    """Its burst too (money rule 13)."""
    user = limited.user()
    target = Target(LimitScope.USER, user.user_id, SetBy.OPERATOR)
    limit(limited, target, "premium", burst=2)
    statuses = [limited.chat(user, {"max_tokens": 5}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_refusals_are_told_to_the_log_once(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """One event a scope and interval, with the count of each reason (rule: observable)."""
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, limits_refusals_interval_s=1) as gateway:
        user = gateway.user()
        limit(gateway, key_of(user), requests_per_minute=0)
        for _ in range(5):
            assert gateway.chat(user, {}).status_code == 429

        def counted() -> int:
            with database.connect() as connection:
                row = connection.execute(
                    "SELECT sum((convert_from(state, 'UTF8')::json->>'count')::int) FROM events "
                    "WHERE topic = 'rate_limits.refused.v1'"
                ).fetchone()
            return int(row[0] or 0) if row else 0

        assert eventually(lambda: counted() == 5)
        metrics = httpx.get(f"{gateway.url}/metrics", timeout=20).text
        line = 'gatewayz_rate_limited_total{reason="Minute request limit exceeded",scope="key"} 5.0'
        assert line in metrics


def test_what_was_refused_is_told_at_the_end(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """A process that stops in order takes no counts with it (rule: observable)."""
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        user = gateway.user()
        limit(gateway, key_of(user), requests_per_minute=0)
        assert gateway.chat(user, {}).status_code == 429
    with database.connect() as connection:
        row = connection.execute(
            "SELECT convert_from(state, 'UTF8')::json->'reasons' FROM events "
            "WHERE topic = 'rate_limits.refused.v1'"
        ).fetchone()
    assert row == ({"Minute request limit exceeded": 1},)


def test_without_the_database_what_is_known_stays_in_force(
    database: Database, server: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """A caller beyond his limits is told so; nobody is let in for want of an answer (P10)."""
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        user, unknown = gateway.user(), gateway.user()
        limit(gateway, key_of(user), requests_per_minute=1)
        assert gateway.chat(user, {}).status_code == 200
        assert gateway.chat(unknown, {}).status_code == 200
        with away(database, server):
            assert gateway.chat(user, {}).status_code in (429, 503)
        eventually(lambda: gateway.chat(unknown, {}).status_code == 200)
        assert gateway.chat(user, {}).status_code == 429
