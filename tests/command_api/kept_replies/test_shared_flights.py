"""Equal calls at several gateways that share Redis: one asks the provider."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import redis

from command_api.kept_replies import shared_flights
from command_api.kept_replies.shared_flights import ALONE, NAMED
from providers.redis.leases import PREFIX, LeasesAwayError, RedisLeases
from tests.command_api.kept_replies.test_coalescing import Gated, asked, waited_for
from tests.command_api.kept_replies.test_response_cache import ON, result, text_of
from tests.support.harness import (
    TIMEOUT_S,
    RunningGateway,
    ScriptedUpstream,
    eventually,
    running_gateway,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database

LEASES = f"{PREFIX}{NAMED}*"
LIFE_S = 1.0


@pytest.fixture
def gated() -> Gated:
    """Who answers."""
    return Gated()


@pytest.fixture
def pair(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    gated: Gated,
    empty_redis: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[RunningGateway, RunningGateway]]:
    """Two gateways of one database and one Redis, whose leases are short."""
    monkeypatch.setattr(shared_flights, "LIFE_S", LIFE_S)
    upstream.answer = gated.answer
    options = {"redis_url": empty_redis, "response_cache_wait_s": TIMEOUT_S}
    with (
        running_gateway(database, tmp_path / "one", upstream, **options) as one,
        running_gateway(database, tmp_path / "two", upstream, **options) as two,
    ):
        yield one, two
        gated.let.set()
        eventually(lambda: one.open_holds() == 0)
        one.verified()


def leases(url: str) -> list[bytes]:
    """Who leads what."""
    with redis.Redis.from_url(url) as client:
        return list(client.scan_iter(LEASES))


def test_one_of_two_gateways_calls(
    pair: tuple[RunningGateway, RunningGateway], gated: Gated, empty_redis: str
) -> None:
    """Whole and streamed ones get its answer, for nothing; longer than a lease lives
    (P3, money rule 1).
    """
    one, two = pair
    user = one.user()
    with ThreadPoolExecutor(6) as pool:
        first = asked(pool, one, user, 1)
        waited_for(one, 1)
        eventually(lambda: gated.calls == 1)
        others = asked(pool, two, user, 2) + asked(pool, two, user, 1, stream=True)
        waited_for(two, 3)
        time.sleep(2 * LIFE_S)
        gated.let.set()
        told = [each.result() for each in first + others]
    assert {text_of(each) for each in told} == {"One answer"}
    assert [result(each) for each in told] == ["miss", "hit", "hit", "hit"]
    assert gated.calls == 1
    charged = [one.story(user, each)["charged_nano_usd"] for each in told]
    assert charged[0] > 0
    assert charged[1:] == [0, 0, 0]
    eventually(lambda: leases(empty_redis) == [])


def test_another_leads_when_one_fails(
    pair: tuple[RunningGateway, RunningGateway], gated: Gated
) -> None:
    """The other gateway's call is made next, and is answered (P2)."""
    one, two = pair
    user, gated.failures = one.user(), 1
    with ThreadPoolExecutor(2) as pool:
        first = asked(pool, one, user, 1)
        eventually(lambda: gated.calls == 1)
        second = asked(pool, two, user, 1)
        waited_for(two, 1)
        gated.let.set()
        assert first[0].result().status_code >= 500
        told = second[0].result()
    assert (told.status_code, result(told), gated.calls) == (200, "miss", 2)


def test_a_gateway_that_died_holds_nobody_up(
    pair: tuple[RunningGateway, RunningGateway], gated: Gated, empty_redis: str
) -> None:
    """Its lease ends by itself, and the call is made (P2, P12)."""
    one, _ = pair
    user = one.user()
    gated.let.set()
    assert result(one.chat(user, {}, **ON)) == "miss"
    eventually(lambda: leases(empty_redis) == [])
    with redis.Redis.from_url(empty_redis) as client:
        (kept,) = client.scan_iter("gatewayz:cache:response:*")
        name = kept.decode().removeprefix("gatewayz:cache:")
        client.delete(kept)
        client.set(f"{PREFIX}{NAMED}{name}", b"of the dead", px=int(LIFE_S * 1_000))
    began = time.monotonic()
    assert result(one.chat(user, {}, **ON)) == "miss"
    assert LIFE_S / 2 < time.monotonic() - began < TIMEOUT_S
    assert gated.calls == 2


def test_an_answer_for_its_caller_alone_is_not_waited_for(
    pair: tuple[RunningGateway, RunningGateway], gated: Gated, empty_redis: str
) -> None:
    """Who finds the note makes a call of its own at once (rule: bounded)."""
    one, _ = pair
    user = one.user()
    gated.let.set()
    assert result(one.chat(user, {}, **ON)) == "miss"
    with redis.Redis.from_url(empty_redis) as client:
        (kept,) = client.scan_iter("gatewayz:cache:response:*")
        client.delete(kept)
        name = kept.decode().removeprefix("gatewayz:cache:")
        client.set(f"{PREFIX}{NAMED}{name}", ALONE, ex=int(TIMEOUT_S))
    began = time.monotonic()
    assert result(one.chat(user, {}, **ON)) == "miss"
    assert time.monotonic() - began < TIMEOUT_S / 2
    assert gated.calls == 2


def test_a_lease_is_its_owner_s(empty_redis: str) -> None:
    """Nobody renews or gives back that of another (rule: access)."""

    async def run() -> None:
        held = RedisLeases(empty_redis)
        assert await held.take("x", b"one", 5.0)
        assert not await held.take("x", b"two", 5.0)
        assert not await held.renew("x", b"two", 5.0)
        await held.leave("x", b"two")
        assert await held.holder("x") == b"one"
        assert await held.renew("x", b"one", 5.0)
        await held.leave("x", b"one", b"note", 5.0)
        assert await held.holder("x") == b"note"
        await held.close()

    asyncio.run(run())


def test_without_redis_each_leads() -> None:
    """At once, and without an error (P12)."""

    async def run() -> None:
        away = RedisLeases("redis://127.0.0.1:1")
        with pytest.raises(LeasesAwayError):
            await away.holder("x")
        flights = shared_flights.SharedFlights(away)
        lead = await flights.lead("x")
        assert lead is not None
        lead.end()
        lead.end(alone=True)
        assert not await flights.alone("x")
        await flights.close()

    asyncio.run(run())
