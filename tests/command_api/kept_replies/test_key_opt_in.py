"""A key whose calls use the cache: switched on, changed and switched off by the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.api_keys.test_routes import asked, listed, made, told
from tests.command_api.kept_replies.test_response_cache import answers, result
from tests.support.harness import RunningGateway, ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that would keep a key in its cache for an hour."""
    answers(upstream)
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as serving:
        yield serving
        serving.verified()


def test_a_key_opts_its_calls_in(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Its own calls alone; a request says otherwise for itself (money rule 1, rule: access)."""
    user = gateway.user()
    key = made(gateway, user, "cached", cache={"ttl_s": 60})
    assert listed(gateway, user)["cached"]["cache"] == {"ttl_s": 60}
    assert [result(gateway.chat(key, {})) for _ in range(2)] == ["miss", "hit"]
    assert "x-gatewayz-cache" not in gateway.chat(user, {}).headers
    assert result(gateway.chat(key, {}, **{"x-gatewayz-cache": "off"})) == "bypass"
    assert result(gateway.chat(key, {}, **{"cache-control": "no-store"})) == "bypass"
    assert result(gateway.chat(key, {}, **{"cache-control": "no-cache"})) == "miss"
    assert upstream.calls == 5


def test_a_key_is_switched_on_and_off(gateway: RunningGateway) -> None:
    """At once, an event each, and the members beside it stay (P5, rule: contract)."""
    user = gateway.user()
    key = made(gateway, user, "k", models=["local/*"])
    path = f"/{key.key_id}"
    assert "x-gatewayz-cache" not in gateway.chat(key, {}).headers
    events = gateway.events()
    wish: dict[str, Any] = {"ttl_s": 600, "max_age_s": 0}
    changed = asked(gateway, user, "PUT", path, json={"cache": wish})
    assert changed.json()["updated_key"]["cache"] == wish
    assert gateway.events() - events == 1
    assert result(gateway.chat(key, {})) == "miss"
    again = asked(gateway, user, "PUT", path, json={"cache": wish})
    assert (again.status_code, gateway.events() - events) == (200, 3)
    assert listed(gateway, user)["k"]["models"] == ["local/*"]
    rotated = asked(gateway, user, "PUT", path, json={"action": "rotate"})
    assert rotated.json()["updated_key"]["cache"] == wish
    assert asked(gateway, user, "PUT", path, json={"cache": {}}).status_code == 200
    assert listed(gateway, user)["k"]["cache"] == {}


@pytest.mark.parametrize(
    "cache", [{"ttl_s": 0}, {"ttl_s": "1"}, {"max_age_s": 1}, {"ttl_s": 1, "x": 2}, {"ttl_s": 1e9}]
)
def test_a_wish_that_is_none_changes_nothing(
    gateway: RunningGateway, cache: dict[str, Any]
) -> None:
    """A 400 that names the member, for a new key and an old one (rule: refuse clearly)."""
    user = gateway.user()
    events = gateway.events()
    body = {"key_name": "x", "cache": cache}
    for got in (
        asked(gateway, user, "POST", json=body),
        asked(gateway, user, "PUT", f"/{user.key_id}", json={"cache": cache}),
    ):
        assert told(got) == (400, "invalid_value"), got.text
        assert "cache" in got.json()["detail"].lower()
    assert gateway.events() == events
