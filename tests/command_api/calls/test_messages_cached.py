"""Cached replies of Messages: by the body, and by what its headers ask of Anthropic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.command_api.calls.messages import ask, call, message, says, serving

if TYPE_CHECKING:
    import pytest

    from event_store.postgres.database import Database


def test_a_cached_message_is_the_same_bytes(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another beta is another request; chat's replies are not Messages' (P3, rule: wire)."""
    with serving(server, tmp_path_factory, response_cache_s=60) as served:
        served.upstream.answer = says(message())
        user = served.user()
        first, again = call(served, user, ask()), call(served, user, ask())
        assert [each.headers["x-gatewayz-cache"] for each in (first, again)] == ["miss", "hit"]
        assert again.content == first.content == message()
        other = call(served, user, ask(), anthropic_beta="a-1")
        assert other.headers["x-gatewayz-cache"] == "miss"
