"""Cached replies: the same account's same request, free, encrypted, and only where it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.harness import RunningGateway, completion, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream


@pytest.fixture
def cached(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, empty_redis: str
) -> Iterator[RunningGateway]:
    """A gateway that caches replies in Redis; the upstream numbers its answers."""
    numbers = iter(range(1, 100))

    def answer(connection: socket.socket, _: Request) -> None:
        reply(connection, completion(f"secret answer {next(numbers)}"))

    upstream.answer = answer
    home = tmp_path / "home"
    options = {"response_cache_s": 60.0, "redis_url": empty_redis}
    with running_gateway(database, home, upstream, **options) as made:
        yield made


def test_the_same_request_is_answered_again_for_nothing(
    cached: RunningGateway, upstream: ScriptedUpstream, empty_redis: str
) -> None:
    """One charge, named by each hit; encrypted, for its account alone (P3, P5, rule: access)."""
    user, other = cached.user(), cached.user()
    first = cached.chat(user, {})
    events = cached.events()
    second = cached.chat(user, {})
    assert (first.headers["x-gatewayz-cache"], second.headers["x-gatewayz-cache"]) == (
        "miss",
        "hit",
    )
    assert first.content == second.content
    assert first.headers["x-gatewayz-call-id"] == second.headers["x-gatewayz-call-id"]
    assert len(upstream.requests) == 1
    assert cached.events() == events
    # Another account, another body, or a caller who wants none: a call of its own.
    assert cached.chat(other, {}).content != first.content
    assert cached.chat(user, {"temperature": 1}).content != first.content
    fresh = cached.chat(user, {}, **{"Cache-Control": "no-cache"})
    assert fresh.content != first.content
    assert len(upstream.requests) == 4
    with redis.Redis.from_url(empty_redis) as client:
        kept = b"".join(client.get(name) or b"" for name in client.keys("gatewayz:cache:resp*"))
    assert kept
    assert b"secret" not in kept


def test_nothing_is_cached_unless_it_is_set(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Off by default: every request is a call (rule: contract)."""
    user = gateway.user()
    assert "x-gatewayz-cache" not in gateway.chat(user, {}).headers
    gateway.chat(user, {})
    assert len(upstream.requests) == 2
