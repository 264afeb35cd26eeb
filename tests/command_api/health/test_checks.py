"""A check by itself: it costs nothing, and ends, whatever the list answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from command_api.health import checks
from command_api.health.checks import Checker, is_checkable
from tests.providers.inference.asking import load
from tests.support.harness import reply

if TYPE_CHECKING:
    import socket

    from event_store.beside.upkeep.reading import Check
    from tests.support.harness import ScriptedUpstream

GOOD = json.dumps({"data": [{"id": "org/a"}, {"id": "org/b"}]}).encode()


def check_of(upstream: ScriptedUpstream, timeout_s: float = 0.5, times: int = 1) -> list[Check]:
    """What a check of a provider finds, made several times at once."""
    registry = load(None, OPENROUTER_API_KEY="k-secret", OPENROUTER_BASE_URL=upstream.base_url)

    async def run() -> list[Check]:
        checker = Checker(timeout_s=timeout_s)
        try:
            providers = [registry.providers["openrouter"]]
            found = await asyncio.gather(*(checker.check(providers) for _ in range(times)))
            return [each for some in found for each in some]
        finally:
            checker.close()
            await registry.close()

    return asyncio.run(run())


def endless(connection: socket.socket, _: Any) -> str:
    """A list that goes on, a little at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
    with suppress(OSError):
        while True:
            connection.sendall(b'{"id":"m"},')
            time.sleep(0.01)
    return "close"


def huge(connection: socket.socket, _: Any) -> str:
    """A list that is sent as fast as it is read."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
    piece = b'{"id":"m"},' * 10_000
    with suppress(OSError):
        while True:
            connection.sendall(piece)
    return "close"


def silent(*_: Any) -> str:
    """Nothing at all."""
    time.sleep(2)
    return "close"


def bomb(connection: socket.socket, _: Any) -> None:
    """Little that is unpacked to a lot."""
    reply(connection, gzip.compress(b"[" * 64_000_000), headers={"content-encoding": "gzip"})


def says(body: bytes, status: int = 200) -> Any:
    """This answer."""
    return lambda connection, _: reply(connection, body, status=status)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (endless, {"timeout"}),
        (huge, {"list_too_large", "timeout"}),
        (silent, {"timeout"}),
        (bomb, {"list_too_large", "timeout"}),
        (says(b"not json"), {"list_unreadable"}),
        (says(b'{"data": 5}'), {"list_unreadable"}),
        (says(b"[" * 100_000), {"list_unreadable"}),
        (says(b"", 401), {"status_401"}),
        (says(b"x" * 1000, 500), {"status_500"}),
    ],
)
def test_a_hostile_list_stays_within_its_check(
    upstream: ScriptedUpstream, answer: Any, error: set[str]
) -> None:
    """Endless, huge, silent, packed, wrong: an error of a word, in time (rule: bounded)."""
    upstream.answer = answer
    began = time.monotonic()
    (found,) = check_of(upstream)
    assert found.error in error
    assert found.models is None
    assert time.monotonic() - began < 0.5 + checks.READING_S + 2


def test_a_check_asks_for_the_list_once(upstream: ScriptedUpstream) -> None:
    """However many ask at once; it counts the models, and never calls one (P10)."""
    upstream.answer = says(GOOD)
    found = check_of(upstream, 5.0, times=20)
    assert {(each.models, each.error) for each in found} == {(2, None)}
    assert [each.method for each in upstream.requests] == ["GET"]


def test_a_port_where_nobody_listens(upstream: ScriptedUpstream) -> None:
    """Is told as such (rule: refuse clearly)."""
    upstream.close()
    (found,) = check_of(upstream)
    assert found.error == "connect_error"


def test_who_has_no_list_is_not_asked(upstream: ScriptedUpstream) -> None:
    """Nor who is the operator's own (rule: contract)."""
    registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)
    provider = registry.providers["openrouter"]
    assert is_checkable(provider)
    provider.name = "mine"
    assert not is_checkable(provider)
    asyncio.run(registry.close())
