"""Who guesses keys: what that costs the database, and the others."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING

import httpx
import pytest

from command_api.composition import vault_of
from command_api.identity.key_ring import KeyRing
from edge.errors import ApiError
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from event_store.beside.api_keys import StoredKey
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PER_S = 5
HERE, THERE = "192.0.2.1", "192.0.2.2"


class CountedRing(KeyRing):
    """The real one, which counts how often the database is asked."""

    asked = 0

    async def _read_on_either(self, key_hashes: list[str]) -> StoredKey | None:
        self.asked += 1
        return await super()._read_on_either(key_hashes)


@asynccontextmanager
async def ring_of(
    gateway: RunningGateway, database: Database, per_s: int
) -> AsyncIterator[CountedRing]:
    """A ring that hears of changes."""
    vault = vault_of(gateway.settings, database)
    ring = CountedRing(database, vault, cache_s=0, cache_max=10, wrong_per_s=per_s)
    ring.start()
    while not ring._listening:
        await asyncio.sleep(0.01)
    try:
        yield ring
    finally:
        await ring.stop()


async def status_of(ring: KeyRing, key: str, origin: str = HERE) -> int:
    """What a key gets."""
    try:
        await ring.authenticate(f"Bearer {key}".encode(), origin)
    except ApiError as error:
        return error.status
    return 200


def test_wrong_keys_reach_the_database_so_often_a_second(
    gateway: RunningGateway, database: Database
) -> None:
    """Beyond that they are refused without it, for their address alone; a good key counts for
    nothing, and one that was good a moment ago does not wait (rule: bounded, rule: access).
    """
    good, other = gateway.user().api_key, gateway.user().api_key

    async def run() -> None:
        async with ring_of(gateway, database, PER_S) as ring:
            cold = await asyncio.gather(*(status_of(ring, good) for _ in range(9 * PER_S)))
            assert set(cold) == {200}
            began, asked = time.monotonic(), ring.asked
            got = await asyncio.gather(
                *(status_of(ring, f"gw_live_{number}") for number in range(50))
            )
            assert time.monotonic() - began < 1, "the machine is too slow for this test"
            assert sorted(got) == [401] * PER_S + [429] * (50 - PER_S)
            assert ring.asked - asked == PER_S
            known = f"gw_live_{got.index(401)}"
            assert await status_of(ring, known) == 401  # It is remembered.
            assert await status_of(ring, good) == 200
            assert await status_of(ring, other) == 429
            assert await status_of(ring, other, THERE) == 200
            await asyncio.sleep(1.01)
            assert await status_of(ring, "gw_live_more") == 401

    asyncio.run(run())


def test_a_wrong_key_costs_no_more_than_a_right_one(
    gateway: RunningGateway, database: Database
) -> None:
    """One look-up each, and about the same time (rule: bounded)."""
    good = gateway.user().api_key

    async def run() -> tuple[list[float], list[float]]:
        right, wrong = list[float](), list[float]()
        async with ring_of(gateway, database, 1_000) as ring:
            for number in range(100):
                for key, took in ((good, right), (f"gw_live_{number}", wrong)):
                    asked, began = ring.asked, time.perf_counter()
                    await status_of(ring, key)
                    took.append(time.perf_counter() - began)
                    assert ring.asked == asked + 1
        return right, wrong

    right, wrong = asyncio.run(run())
    assert median(wrong) < 2 * median(right)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/user/balance"])
def test_who_guesses_is_told_to_wait(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, path: str
) -> None:
    """429 with Retry-After on both sides, in the envelope of the path; by the client behind a
    trusted proxy (rule: access, rule: refuse clearly).
    """
    more = {"wrong_keys_per_s": 3, "trusted_proxies": "127.0.0.1"}
    with (
        running_gateway(database, tmp_path, upstream, **more) as gateway,
        httpx.Client(base_url=gateway.url) as client,
    ):

        def guess(number: int, host: str) -> httpx.Response:
            headers = {"authorization": f"Bearer gw_live_{number}", "x-forwarded-for": host}
            method = "POST" if path.startswith("/v1/") else "GET"
            return client.request(method, path, headers=headers)

        found = [guess(number, "2001:db8::1") for number in range(8)]
        assert [each.status_code for each in found] == [401] * 3 + [429] * 5
        last = found[-1]
        told = last.json()["error"] if path.startswith("/v1/") else last.json()
        assert (told["code"], last.headers["retry-after"]) == ("too_many_attempts", "1")
        assert guess(100, "2001:db8::2").status_code == 429  # The same network.
        assert guess(101, "2001:db8:1::1").status_code == 401
