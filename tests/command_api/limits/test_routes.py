"""Limits over HTTP: seen, lowered, and never raised above the operator's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from command_api.limits.commands import LimitCommands
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.support.harness import RunningGateway, eventually, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

SIX = {
    f"{unit}_per_{span}": 1_000
    for unit in ("requests", "tokens")
    for span in ("minute", "hour", "day")
}


def asked(
    gateway: RunningGateway, user: NewUser, method: str, path: str, body: Any = None
) -> httpx.Response:
    """One request of the user's."""
    with gateway.client(user) as client:
        return client.request(method, path, json=body)


def operator_sets(gateway: RunningGateway, scope: LimitScope, of: str, **limits: int) -> None:
    """As `gatewayz limit set`."""
    commands = LimitCommands(gateway.database, actor="test")
    try:
        commands.set([Target(scope, of, SetBy.OPERATOR)], limits)
    finally:
        commands.close()


def test_a_user_limits_his_keys_and_sees_it(gateway: RunningGateway) -> None:
    """The paths and fields that clients know (rule: contract)."""
    user = gateway.user()
    path = f"/user/rate-limits/{user.key_id}"
    done = asked(gateway, user, "PUT", path, {**SIX, "requests_per_minute": 2})
    assert done.status_code == 200, done.text
    assert done.json()["updated_config"]["requests_per_minute"] == 2
    time.sleep(0.3)
    assert gateway.chat(user, {"max_tokens": 5}).status_code == 200
    (config,) = asked(gateway, user, "GET", "/user/rate-limits").json()["rate_limit_configs"]
    assert config["rate_limit_config"]["tokens_per_day"] == 1_000
    assert config["current_status"]["requests_remaining_minute"] == 1
    assert config["current_status"]["tokens_remaining_hour"] == 1_000 - 15
    own = asked(gateway, user, "GET", "/user/limit").json()
    assert own["current_limits"]["requests_per_minute"] == 2
    assert own["current_usage"]["allowed"] and own["current_usage"]["requests_per_minute"] == 1
    assert 60 <= own["reset_times"]["minute"] <= 61

    def counted() -> bool:
        usage = asked(
            gateway, user, "GET", f"/user/rate-limits/usage/{user.key_id}?time_window=day"
        )
        assert usage.json()["time_window"] == "day"
        return bool(usage.json()["usage_stats"]["total_requests"] == 1)

    eventually(counted)
    assert gateway.chat(user, {"max_tokens": 5}).status_code == 200
    assert gateway.chat(user, {"max_tokens": 5}).status_code == 429
    own = asked(gateway, user, "GET", "/user/limit").json()
    assert own["current_usage"]["reason"] == "Minute request limit exceeded"


def test_all_keys_are_limited_together(gateway: RunningGateway) -> None:
    """Each by the same limits (rule: contract)."""
    user = gateway.user()
    users = gateway.users()
    try:
        users.create_key(user.user_id, "second")
        users.delete_key(users.create_key(user.user_id, "gone")[0])
    finally:
        users.close()
    done = asked(gateway, user, "POST", "/user/rate-limits/bulk-update", SIX)
    assert done.json()["updated_count"] == 2
    assert done.json()["updated_config"] == SIX


def test_nobody_raises_his_own_limits_above_the_operators(gateway: RunningGateway) -> None:
    """Neither a user's nor a key's; the refusal says what there may be (rule: access)."""
    user = gateway.user()
    operator_sets(gateway, LimitScope.USER, user.user_id, requests_per_minute=10)
    operator_sets(gateway, LimitScope.KEY, user.key_id, requests_per_hour=5)
    path = f"/user/rate-limits/{user.key_id}"
    for method, where in (("PUT", path), ("POST", "/user/rate-limits/bulk-update")):
        refused = asked(gateway, user, method, where, {"requests_per_minute": 11})
        assert (refused.status_code, refused.json()["code"]) == (403, "limit_above_ceiling")
        assert refused.json()["ceiling"] == {"requests_per_minute": 10}
    assert asked(gateway, user, "PUT", path, {"requests_per_hour": 6}).status_code == 403
    lower = asked(gateway, user, "PUT", path, {"requests_per_minute": 10, "requests_per_hour": 4})
    assert lower.status_code == 200
    assert lower.json()["updated_config"]["requests_per_hour"] == 4
    back = asked(gateway, user, "PUT", path, {"requests_per_hour": 5})
    assert back.json()["updated_config"]["requests_per_hour"] == 5


def test_the_keys_of_others_are_not_there(gateway: RunningGateway) -> None:
    """A 404, as for a key that never was (rule: access)."""
    user, other = gateway.user(), gateway.user()
    for key_id in (other.key_id, "nonsense", "0" * 300):
        path = f"/user/rate-limits/{key_id}"
        assert asked(gateway, user, "PUT", path, {"burst": 1}).status_code == 404
        usage = asked(gateway, user, "GET", f"/user/rate-limits/usage/{key_id}")
        assert usage.json()["code"] == "key_not_found"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"requests_per_minute": -1},
        {"requests_per_minute": 10**18},
        {"requests_per_minute": 10**40},
        {"requests_per_minute": "5"},
        {"requests_per_minute": 1.5},
        {"requests_per_minute": True},
        {"requests_per_century": 5},
    ],
)
def test_absurd_limits_are_refused(gateway: RunningGateway, body: Any) -> None:
    """With a 400 that says what can be (rule: refuse clearly)."""
    user = gateway.user()
    refused = asked(gateway, user, "PUT", f"/user/rate-limits/{user.key_id}", body)
    assert refused.status_code == 400, refused.text


def test_administrators_routes_are_theirs(gateway: RunningGateway) -> None:
    """A user is refused before anything is read (rule: access)."""
    user = gateway.user()
    for method, path in (
        ("POST", "/admin/limit"),
        ("GET", "/admin/rate-limits/system"),
        ("GET", "/admin/rate-limits/alerts"),
        ("POST", "/admin/clear-rate-limit-cache"),
    ):
        refused = asked(gateway, user, method, path, {} if method == "POST" else None)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_an_administrator_sets_and_sees(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Limits of a key, use of all, refusals by hour (rule: contract)."""
    monkeypatch.setattr("edge.caller.Caller.may", lambda *_: True)
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, limits_refusals_interval_s=1) as gateway:
        admin, user = gateway.user(), gateway.user()
        body = {"api_key": user.api_key, "rate_limits": {**SIX, "requests_per_minute": 1}}
        done = asked(gateway, admin, "POST", "/admin/limit", body)
        assert done.json()["rate_limits"]["requests_per_minute"] == 1
        unknown = asked(gateway, admin, "POST", "/admin/limit", {**body, "api_key": "nobody"})
        assert unknown.status_code == 400
        time.sleep(0.3)
        assert gateway.chat(user, {"max_tokens": 5}).status_code == 200
        assert gateway.chat(user, {"max_tokens": 5}).status_code == 429

        def alerted() -> list[dict[str, Any]]:
            path = f"/admin/rate-limits/alerts?api_key={user.key_id}"
            found: list[dict[str, Any]] = asked(gateway, admin, "GET", path).json()["alerts"]
            return found

        (alert,) = eventually(alerted)
        assert (alert["reason"], alert["count"]) == ("Minute request limit exceeded", 1)
        assert asked(gateway, admin, "GET", "/admin/rate-limits/alerts?limit=0").status_code == 422
        stats = asked(gateway, admin, "GET", "/admin/rate-limits/system").json()["system_stats"]
        assert set(stats) == {"minute", "hour", "day"}
        assert stats["day"]["requests"] == 1
        cleared = asked(gateway, admin, "POST", "/admin/clear-rate-limit-cache")
        assert cleared.json()["status"] == "success"
