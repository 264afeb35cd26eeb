"""Idle connections to upstreams: bounded in time, and in number over all clients of a process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.http1.client import HttpClient
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.adapters.http1.pool import ConnectionRoom
from tests.providers.inference.adapters.http1.test_client import whole
from tests.support.harness import ScriptedUpstream, reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator

    from tests.support.harness import Request

CALLS = 20


@pytest.fixture
def slow() -> Iterator[list[ScriptedUpstream]]:
    """Four upstreams that take a little, so that calls at once need connections of their own."""

    def answer(connection: socket.socket, _: Request) -> None:
        time.sleep(0.1)
        reply(connection, b"{}")

    made = [ScriptedUpstream(answer) for _ in range(4)]
    yield made
    for each in made:
        each.close()


def with_clients(
    upstreams: list[ScriptedUpstream],
    limits: ClientLimits,
    use: Callable[[list[HttpClient]], Coroutine[Any, Any, None]],
) -> None:
    """Run with a client of each upstream."""

    async def run() -> None:
        clients = [HttpClient(each.base_url, limits=limits) for each in upstreams]
        try:
            await use(clients)
        finally:
            for each in clients:
                await each.close()

    asyncio.run(run())


def opened(limits: ClientLimits) -> int:
    """Connections that all clients have."""
    return sum(len(each.open) for each in limits.room.clients)


async def at_once(client: HttpClient, calls: int = CALLS) -> None:
    """Many calls."""
    assert await asyncio.gather(*(whole(client) for _ in range(calls))) == [b"{}"] * calls


def test_idle_connections_are_closed_without_a_next_request(slow: list[ScriptedUpstream]) -> None:
    """Each as its time comes, and used ones only after their last use (rule: bounded)."""
    limits = ClientLimits(idle_connection_s=0.5)

    async def use(clients: list[HttpClient]) -> None:
        for each in clients:
            await at_once(each)
        assert opened(limits) > 0
        for _ in range(4):
            await asyncio.sleep(0.2)
            await whole(clients[0])
        assert opened(limits) == 1
        await asyncio.sleep(0.7)
        assert opened(limits) == 0
        await at_once(clients[1], 2)
        assert opened(limits) == 2

    with_clients(slow, limits, use)


def test_idle_connections_make_room_for_those_of_other_upstreams(
    slow: list[ScriptedUpstream],
) -> None:
    """Those that were idle for longest go first; a call is never refused for it (rule: bounded)."""
    limits = ClientLimits(room=ConnectionRoom(CALLS))

    async def use(clients: list[HttpClient]) -> None:
        for each in clients:
            await at_once(each)
            await asyncio.sleep(0.05)
            assert opened(limits) == CALLS
        assert [len(each.open) for each in limits.room.clients] == [0, 0, 0, CALLS]
        await at_once(clients[0], CALLS - 5)
        assert [len(each.open) for each in limits.room.clients] == [CALLS - 5, 0, 0, 5]
        await asyncio.gather(*(at_once(each) for each in clients))

    with_clients(slow, limits, use)
