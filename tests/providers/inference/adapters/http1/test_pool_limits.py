"""Connections of one client: at most so many, waited for in order, and counted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.http1.client import HttpClient
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.port import UpstreamBusyError, UpstreamConnectError
from tests.providers.inference.adapters.http1.test_client import whole
from tests.support.harness import ScriptedUpstream, reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator

    from providers.inference.adapters.http1.pool import Connections
    from tests.support.harness import Request

PAUSE_S = 0.1


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """It takes a little."""

    def answer(connection: socket.socket, request: Request) -> Any:
        time.sleep(PAUSE_S)
        if request.path.endswith("/close"):
            reply(connection, b"{}", headers={"connection": "close"})
            return "close"
        reply(connection, b"{}")
        return None

    made = ScriptedUpstream(answer)
    yield made
    made.close()


def with_client(
    upstream: ScriptedUpstream,
    use: Callable[[HttpClient, Connections], Coroutine[Any, Any, None]],
    **limits: Any,
) -> Connections:
    """Run with a client of these limits; its connections once it is closed."""
    made = ClientLimits(**limits)

    async def run() -> None:
        client = HttpClient(upstream.base_url, limits=made)
        try:
            await use(client, made.room.clients[0])
        finally:
            await client.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())
    return made.room.clients[0]


def test_calls_beyond_the_most_wait_and_are_answered(upstream: ScriptedUpstream) -> None:
    """On the connections that there are; what became of all is counted (rule: bounded)."""
    most: list[int] = []

    async def use(client: HttpClient, pool: Connections) -> None:
        calls = asyncio.gather(*(whole(client) for _ in range(12)))
        while not calls.done():
            most.append(len(pool.open) + pool.making)
            await asyncio.sleep(PAUSE_S / 5)
        assert await calls == [b"{}"] * 12
        assert (pool.opened, pool.waited, pool.refused) == (3, 9, 0)
        assert (pool.in_use, pool.idle_now, pool.making) == (0, 3, 0)

    pool = with_client(upstream, use, connections_max=3)
    assert max(most) == 3
    assert upstream.connections == 3
    assert dict(pool.closed) == {"stopped": 3}


def test_a_closed_connection_is_room_for_another(upstream: ScriptedUpstream) -> None:
    """A provider that closes each makes each a new one, and nobody waits for ever (P12)."""

    async def use(client: HttpClient, pool: Connections) -> None:
        async def closing() -> bytes:
            answer = await client.request(client.head("POST", "/close"), b"{}")
            try:
                return await answer.whole()
            finally:
                answer.release()

        assert await asyncio.gather(*(closing() for _ in range(6))) == [b"{}"] * 6
        assert pool.opened == 6

    pool = with_client(upstream, use, connections_max=2)
    assert dict(pool.closed) == {"provider": 6}
    assert pool.making == 0


def test_a_call_that_gets_none_in_time_is_refused(upstream: ScriptedUpstream) -> None:
    """Nothing is sent for it, and the place is not lost (rule: refuse clearly, rule: bounded)."""

    async def use(client: HttpClient, pool: Connections) -> None:
        found = await asyncio.gather(*(whole(client) for _ in range(4)), return_exceptions=True)
        assert [type(each) for each in found].count(UpstreamBusyError) == 3
        assert (pool.refused, pool.making, len(pool.waiting)) == (3, 0, 0)
        assert await whole(client) == b"{}"

    with_client(upstream, use, connections_max=1, wait_s=PAUSE_S / 4)
    assert len(upstream.requests) == 2


def test_who_is_cancelled_leaves_his_place_to_the_next(upstream: ScriptedUpstream) -> None:
    """While he waits, and in the moment in which a connection came (rule: bounded)."""

    async def use(client: HttpClient, pool: Connections) -> None:
        first = asyncio.ensure_future(whole(client))
        await asyncio.sleep(PAUSE_S / 4)
        gone, after = (asyncio.ensure_future(whole(client)) for _ in range(2))
        await asyncio.sleep(0)
        waiting = pool.waiting[0]
        waiting.add_done_callback(lambda _: gone.cancel())
        assert [await each for each in (first, after)] == [b"{}"] * 2
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert (pool.making, len(pool.waiting)) == (0, 0)
        assert await whole(client) == b"{}"

    with_client(upstream, use, connections_max=1)


def test_nobody_waits_for_a_client_that_is_closed(upstream: ScriptedUpstream) -> None:
    """He is told so (P12)."""

    async def use(client: HttpClient, pool: Connections) -> None:
        calls = [asyncio.ensure_future(whole(client)) for _ in range(3)]
        await asyncio.sleep(PAUSE_S / 4)
        assert len(pool.waiting) == 2
        await client.close()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in found[1:]] == [UpstreamConnectError] * 2

    with_client(upstream, use, connections_max=1)


def test_no_more_stay_idle_than_may(upstream: ScriptedUpstream) -> None:
    """The others are closed when they become so (rule: bounded)."""

    async def use(client: HttpClient, pool: Connections) -> None:
        await asyncio.gather(*(whole(client) for _ in range(5)))
        await asyncio.sleep(0.02)
        assert (len(pool.open), pool.idle_now) == (2, 2)

    pool = with_client(upstream, use, idle_max=2)
    assert dict(pool.closed) == {"idle": 3, "stopped": 2}
