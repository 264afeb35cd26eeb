"""How fast a plan lets its user call: at whole gateways, together, while it lasts."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import redis

from domain.limits.rates import RateLimits
from domain.plans.catalog import PLANS
from tests.command_api.plans.test_plans import assign, other_key
from tests.support.admins import ask, new_admin
from tests.support.harness import completion, eventually, reply, running_gateway
from tests.support.organisations import with_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

FEW = {"max_tokens": 5}
AT_ONCE = 5
"""Calls under way with the plan `free`."""
HEARD_S = 1.0
"""Within which every process has heard of a plan, seconds."""


class Door:
    """A provider that answers nobody until it is opened."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        """It is closed."""
        self._open, self._lock = threading.Event(), threading.Lock()
        self.inside = 0
        """Calls that came to it since it was closed."""
        upstream.answer = self._answer

    def _answer(self, connection: Any, _: Any) -> None:
        with self._lock:
            self.inside += 1
        self._open.wait(20)
        reply(connection, completion())

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nobody is answered within the block."""
        self.inside = 0
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def at_once(self, *calls: tuple[RunningGateway, NewUser, int]) -> list[list[int]]:
        """The statuses of so many calls of each under way together, sorted."""
        total = sum(count for *_, count in calls)
        with ThreadPoolExecutor(total) as pool, self.closed():
            begun = [
                [pool.submit(gateway.chat, user, FEW) for _ in range(count)]
                for gateway, user, count in calls
            ]
            every = list(itertools.chain(*begun))
            eventually(lambda: self.inside + sum(each.done() for each in every) == total)
            self._open.set()
            return [sorted(each.result().status_code for each in of) for of in begun]


@pytest.fixture
def door(upstream: ScriptedUpstream) -> Door:
    """The provider of the gateways."""
    return Door(upstream)


@pytest.fixture(params=["redis", "local"])
def limited(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with the shared counters, and one without."""
    url = request.getfixturevalue("empty_redis") if request.param == "redis" else None
    with running_gateway(database, tmp_path / "home", upstream, redis_url=url) as made:
        yield made


def test_a_plan_limits_calls_under_way(limited: RunningGateway, door: Door) -> None:
    """Of all keys of its user together; the refusal names the plan, and costs no event (P1)."""
    user = limited.user()
    second = other_key(limited, user, "live")
    assert door.at_once((limited, user, AT_ONCE + 1)) == [[200] * (AT_ONCE + 1)]
    assign(limited, new_admin(limited), user)
    time.sleep(HEARD_S)
    with ThreadPoolExecutor(AT_ONCE) as pool, door.closed():
        for _ in range(AT_ONCE):
            pool.submit(limited.chat, user, FEW)
        eventually(lambda: door.inside == AT_ONCE)
        refused = limited.chat(second, FEW)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert error["message"] == (
        "Concurrency limit exceeded. With the plan free a user may have 5 calls under way: "
        "try again in 1 s."
    )
    assert refused.headers["retry-after"] == "1"
    assert limited.chat(second, FEW).status_code == 200
    limited.verified()


def test_two_gateways_count_together(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, empty_redis: str, door: Door
) -> None:
    """Also one that knew the key before; within a second (money rule 13)."""
    with (
        running_gateway(database, tmp_path / "a", upstream, redis_url=empty_redis) as one,
        running_gateway(database, tmp_path / "b", upstream, redis_url=empty_redis) as two,
    ):
        admin, user = new_admin(one), one.user()
        assert door.at_once((one, user, 4), (two, user, 4)) == [[200] * 4] * 2
        assign(one, admin, user)
        time.sleep(HEARD_S)
        found = door.at_once((one, user, 4), (two, user, 4))
        assert sorted([*found[0], *found[1]]) == [200] * AT_ONCE + [429] * 3
        assert assign(one, admin, user, "dev").status_code == 200
        time.sleep(HEARD_S)
        assert door.at_once((one, user, 4), (two, user, 4)) == [[200] * 4] * 2


def test_keys_that_are_not_live_get_half(limited: RunningGateway, door: Door) -> None:
    """Together, rounded down, and what they use counts on the whole plan (money rule 13)."""
    user = limited.user()
    assign(limited, new_admin(limited), user)
    test, staging = other_key(limited, user), other_key(limited, user, "staging")
    time.sleep(HEARD_S)
    found = door.at_once((limited, test, 2), (limited, staging, 2))
    assert sorted([*found[0], *found[1]]) == [200, 200, 429, 429]
    with ThreadPoolExecutor(AT_ONCE) as pool, door.closed():
        for _ in range(2):
            pool.submit(limited.chat, test, FEW)
        eventually(lambda: door.inside == 2)
        refused = limited.chat(staging, FEW)
        for _ in range(3):
            pool.submit(limited.chat, user, FEW)
        eventually(lambda: door.inside == AT_ONCE)
        whole = limited.chat(user, FEW)
    assert "With the plan free a user may have 5 calls under way" in whole.text
    assert "With the plan free all keys that are not live together may have 2 calls" in refused.text


def test_a_plan_that_ends_limits_no_more(limited: RunningGateway, door: Door) -> None:
    """By itself, at its instant, also in a process that knew it (money rule 9, money rule 13)."""
    user = limited.user()
    assign(limited, new_admin(limited), user)
    key = other_key(limited, user)
    with limited.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE user_plan SET expires_at = clock_timestamp() + interval '4 seconds'"
        )
    assert door.at_once((limited, key, 3)) == [[200, 200, 429]]
    before = limited.events()
    time.sleep(4.1)
    assert door.at_once((limited, key, 6)) == [[200] * 6]
    assert limited.events() == before + 12
    assert ask(limited, user, "/user/rate-limits").json()["rate_limit_configs"][0]["plan"] is None


def test_a_plan_is_looked_for_where_no_notice_came(limited: RunningGateway, door: Door) -> None:
    """Within a second all the same (rule: bounded)."""
    user = limited.user()
    assert door.at_once((limited, user, 6)) == [[200] * 6]
    with limited.database.connect_as_owner() as connection:  # No notice goes out with this.
        connection.execute(
            "INSERT INTO user_plan SELECT user_id, account_id, 1, 'free', clock_timestamp(), NULL, "
            "(SELECT max(notification_id) FROM events) FROM user_secret WHERE user_id = %s",
            [user.user_id],
        )
    time.sleep(HEARD_S)
    assert door.at_once((limited, user, 6)) == [[200] * AT_ONCE + [429]]


def test_who_has_no_plan_is_not_even_counted(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, empty_redis: str
) -> None:
    """Though others have one: Redis hears of nobody else, replies say nothing (rule: bounded)."""
    with running_gateway(database, tmp_path / "home", upstream, redis_url=empty_redis) as gateway:
        admin, user, other = new_admin(gateway), gateway.user(), gateway.user()
        assign(gateway, admin, user)
        organisation, keys = with_keys(gateway, user, other)
        free = gateway.chat(other, {})
        member = gateway.chat(replace(user, api_key=keys[0]), {})
        for answer in (free, member):
            assert answer.status_code == 200
            assert not [name for name in answer.headers if "ratelimit" in name]
        with redis.Redis.from_url(empty_redis) as client:
            assert client.keys() == []
            bound = gateway.chat(user, {})
            assert bound.headers["x-ratelimit-limit-requests"] == "60"
            counted = [key.decode() for key in client.scan_iter()]
        assert any(user.user_id in key for key in counted)
        assert not [key for key in counted if other.user_id in key or organisation in key]


def configs(gateway: RunningGateway, user: NewUser) -> dict[str, dict[str, Any]]:
    """By the key's environment what GET /user/rate-limits says of it."""
    told = ask(gateway, user, "/user/rate-limits").json()["rate_limit_configs"]
    return {each["api_key"].split("_")[1]: each for each in told}


def left(gateway: RunningGateway, user: NewUser) -> dict[str, int]:
    """By the key's environment how many requests the counters leave of a minute."""
    return {
        name: each["current_status"]["requests_remaining_minute"]
        for name, each in configs(gateway, user).items()
    }


def test_nobody_sets_his_own_limits_above_the_plans(gateway: RunningGateway) -> None:
    """What he set before is capped, for the time of the plan (rule: access)."""
    user = gateway.user()
    test = other_key(gateway, user)
    high = {"requests_per_minute": 1_000, "concurrency": 100}

    def put(gateway_path: str, limits: dict[str, int], method: str = "PUT") -> Any:
        with gateway.client(user) as client:
            return client.request(method, f"/user/rate-limits/{gateway_path}", json=limits)

    assert put("bulk-update", high, "POST").status_code == 200
    assert {each["plan"] for each in configs(gateway, user).values()} == {None}
    admin = new_admin(gateway)
    assign(gateway, admin, user)
    eventually(lambda: left(gateway, user) == {"live": 60, "test": 30})
    told = configs(gateway, user)
    for name, rate, calls in (("live", 60, 5), ("test", 30, 2)):
        config = told[name]["rate_limit_config"]
        assert (config["requests_per_minute"], config["concurrency"]) == (rate, calls)
        assert config["tokens_per_day"] is None
        assert told[name]["plan"]["name"] == "free"
        assert told[name]["plan"]["rate_limits"]["concurrency"] == calls
    key_id, test_id = told["live"]["key_id"], told["test"]["key_id"]
    refused = put(key_id, {"requests_per_minute": 61, "concurrency": 5})
    assert (refused.status_code, refused.json()["code"]) == (403, "limit_above_ceiling")
    assert (refused.json()["ceiling"], refused.json()["plan"]) == (
        {"requests_per_minute": 60},
        "free",
    )
    assert "The plan free allows this key requests_per_minute 60." in refused.json()["detail"]
    assert put(test_id, {"concurrency": 3}).json()["ceiling"] == {"concurrency": 2}
    assert put("bulk-update", {"concurrency": 5}, "POST").status_code == 403
    lower = put(key_id, {"requests_per_minute": 60, "tokens_per_minute": 10**9})
    assert lower.status_code == 200
    assert lower.json()["updated_config"]["concurrency"] == 5
    own = ask(gateway, test, "/user/limit").json()["current_limits"]
    assert (own["requests_per_minute"], own["concurrency"]) == (30, 2)
    monitor = ask(gateway, test, "/user/monitor").json()["rate_limits"]
    assert (monitor["requests_per_minute"], monitor["concurrency"]) == (30, 2)
    assert assign(gateway, admin, user, "customize").status_code == 200
    config = configs(gateway, user)["test"]["rate_limit_config"]
    assert (config["requests_per_minute"], config["concurrency"]) == (1_000, 100)


def test_routes_tell_the_rates(gateway: RunningGateway) -> None:
    """Of every plan, and of the caller's own by the key that asks (rule: contract)."""
    user = gateway.user()
    plans = ask(gateway, user, "/plans").json()
    told: Sequence[Any] = [each["max_concurrent_requests"] for each in plans]
    assert told == [each.rates.concurrency for each in PLANS.values()]
    assert plans[1]["rate_limits"]["tokens_per_minute"] == 250_000
    none = ask(gateway, user, "/user/plan/entitlements").json()
    assert none["max_concurrent_requests"] is None
    assert set(none["rate_limits"].values()) == {None}
    assign(gateway, new_admin(gateway), user, "dev")
    test = other_key(gateway, user)
    for key, calls, tokens in ((user, 25, 250_000), (test, 12, 125_000)):
        found = ask(gateway, key, "/user/plan/entitlements").json()
        assert found["max_concurrent_requests"] == calls
        assert found["rate_limits"]["tokens_per_minute"] == tokens


def test_tokens_of_a_minute_are_limited(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a plan names them; a request that alone is more says so (money rule 13)."""
    slow = replace(PLANS["free"], rates=RateLimits(tokens_per_minute=1_000))
    monkeypatch.setitem(PLANS, "free", slow)
    user = gateway.user()
    assign(gateway, new_admin(gateway), user)
    key = other_key(gateway, user)
    refused = gateway.chat(key, {"max_tokens": 600})
    assert refused.status_code == 429
    assert "Minute token limit exceeded. With the plan free all keys that" in refused.text
    assert "may use 500 tokens a minute" in refused.text
    assert "retry-after" not in refused.headers
    assert gateway.chat(key, {"max_tokens": 400}).status_code == 200
    assert gateway.chat(user, {"max_tokens": 900}).status_code == 200
    left = gateway.chat(user, FEW).headers["x-ratelimit-remaining-tokens"]
    assert 900 < int(left) < 1_000 - 2 * 15
