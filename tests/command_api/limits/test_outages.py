"""Redis dies, stands still, comes back empty: callers are limited all the while."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from command_api.limit_counters.scripts import SINCE
from command_api.limit_counters.shared import counts_of
from command_api.limits.commands import LimitCommands
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.command_api.plans.test_plans import assign, other_key
from tests.servers.provide import local_redis
from tests.support.admins import new_admin
from tests.support.harness import ASK, TIMEOUT_S, RunningGateway, eventually, running_gateway
from tests.support.organisations import with_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.servers.local import RedisServer
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def server_of_ours(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may stop, wipe and freeze."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with local_redis(folder) as made:
        yield made


@pytest.fixture
def limited(
    server_of_ours: RedisServer, database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway on it."""
    url = server_of_ours.url
    with running_gateway(database, tmp_path / "home", upstream, redis_url=url) as made:
        yield made


def caller(gateway: RunningGateway, requests_per_minute: int) -> NewUser:
    """A user with a limit, which the gateway has heard of."""
    user = gateway.user()
    commands = LimitCommands(gateway.database, actor="test")
    try:
        target = Target(LimitScope.KEY, user.key_id, SetBy.OPERATOR)
        commands.set([target], {"requests_per_minute": requests_per_minute})
    finally:
        commands.close()
    time.sleep(0.3)
    return user


def called(gateway: RunningGateway, user: NewUser, times: int) -> list[tuple[int, bool]]:
    """The status of each call, and whether this process's own counters decided."""
    found = []
    for _ in range(times):
        answer = gateway.chat(user, {"max_tokens": 5})
        found.append((answer.status_code, "x-gatewayz-limits" in answer.headers))
    return found


def shared_again(gateway: RunningGateway, other: NewUser) -> None:
    """Wait until Redis decides."""
    eventually(lambda: not called(gateway, other, 1)[0][1])


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """It accepts connections and never answers."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_dead_redis_admits_what_is_left_and_the_log_fills_the_next_one(
    limited: RunningGateway, server_of_ours: RedisServer
) -> None:
    """The window goes on: in this process, and in a Redis that begins empty (P12, P8)."""
    user, other = caller(limited, 10), caller(limited, 100_000)
    assert called(limited, user, 4) == [(200, False)] * 4
    server_of_ours.stop()
    assert called(limited, user, 7) == [(200, True)] * 6 + [(429, True)]
    server_of_ours.start()
    shared_again(limited, other)
    # A moment may pass before the log has filled it: nobody waits for that.
    eventually(lambda: called(limited, user, 1) == [(429, False)], 10)


def test_a_redis_that_stands_still_delays_nobody(
    limited: RunningGateway, server_of_ours: RedisServer
) -> None:
    """What was admitted meanwhile is told when it moves again: no window opens anew (P12)."""
    user, other = caller(limited, 10), caller(limited, 100_000)
    assert called(limited, user, 4) == [(200, False)] * 4
    with frozen(server_of_ours):
        began = time.monotonic()
        assert called(limited, user, 3) == [(200, True)] * 3
        assert time.monotonic() - began < 3
    shared_again(limited, other)
    after = called(limited, user, 4)
    # The first request met a Redis that may have counted it once it moved again: that one is twice.
    assert after in ([(200, False)] * 3 + [(429, False)], [(200, False)] * 2 + [(429, False)] * 2)


def test_an_emptied_redis_is_filled_from_the_log(
    limited: RunningGateway, server_of_ours: RedisServer
) -> None:
    """Requests and tokens, of calls that ended what they used, for keys with limits (P8)."""
    user = caller(limited, 5)
    commands = LimitCommands(limited.database, actor="test")
    try:
        target = Target(LimitScope.USER, user.user_id, SetBy.OPERATOR)
        commands.set([target], {"tokens_per_hour": 1_000})
    finally:
        commands.close()
    time.sleep(0.3)
    assert called(limited, user, 5) == [(200, False)] * 5
    with redis.Redis.from_url(server_of_ours.url) as client:
        client.flushall()
        client.script_flush()
        answer, alone = called(limited, user, 1)[0]
        assert not alone
        eventually(lambda: str(client.get(SINCE)).endswith(":1'"), 10)
    with limited.client(user) as asking:
        usage = asking.get("/user/limit").json()["current_usage"]
    used = 6 if answer == 200 else 5
    assert (usage["requests_per_minute"], usage["tokens_per_hour"]) == (5, used * 15)
    assert called(limited, user, 1) == [(429, False)]


def test_an_organisations_counts_are_filled_from_the_log_too(
    limited: RunningGateway, server_of_ours: RedisServer
) -> None:
    """By its account: the calls of all its keys, whoever made them (P8)."""
    organisation, keys = with_keys(limited, limited.user(), limited.user())
    commands = LimitCommands(limited.database, actor="test")
    try:
        target = Target(LimitScope.ORGANISATION, organisation, SetBy.OPERATOR)
        commands.set([target], {"requests_per_hour": 5})
    finally:
        commands.close()
    time.sleep(0.6)

    def calls(count: int) -> list[int]:
        found = []
        for number in range(count):
            headers = {"authorization": f"Bearer {keys[number % 2]}"}
            with httpx.Client(headers=headers, timeout=TIMEOUT_S) as client:
                url = f"{limited.url}/v1/chat/completions"
                found.append(client.post(url, json=ASK).status_code)
        return found

    assert calls(4) == [200] * 4
    with redis.Redis.from_url(server_of_ours.url) as client:
        client.flushall()
        client.script_flush()
        assert calls(1) == [200]
        eventually(lambda: str(client.get(SINCE)).endswith(":1'"), 10)
    assert calls(1) == [429]


def test_a_plans_counts_are_filled_from_the_log_too(
    limited: RunningGateway, server_of_ours: RedisServer
) -> None:
    """Of the user's own account: all its keys, and those of them that are not live (P8)."""
    user, admin = limited.user(), new_admin(limited)
    assert assign(limited, admin, user).status_code == 200
    test = other_key(limited, user)
    _, keys = with_keys(limited, user, limited.user())
    assert called(limited, user, 3) + called(limited, test, 2) == [(200, False)] * 5
    assert called(limited, replace(user, api_key=keys[0]), 1) == [(200, False)]
    with redis.Redis.from_url(server_of_ours.url) as client:
        client.flushall()
        client.script_flush()
        assert called(limited, user, 1) == [(200, False)]
        eventually(lambda: str(client.get(SINCE)).endswith(":1'"), 10)
        names = (f"plan:{user.user_id}", f"plan_not_live:{user.user_id}")
        for key, left in ((user, "53"), (test, "27")):
            answer = limited.chat(key, {"max_tokens": 5})
            assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert all(client.exists(counts_of(name)) for name in names)


def test_a_gateway_without_its_redis_starts(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """And limits by itself (P12)."""
    url = "redis://127.0.0.1:1/0"
    with running_gateway(database, tmp_path / "home", upstream, redis_url=url) as gateway:
        user = caller(gateway, 2)
        assert called(gateway, user, 3) == [(200, True)] * 2 + [(429, True)]
