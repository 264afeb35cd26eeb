"""A user's own keys over HTTP: made, changed, rotated, deleted; and nobody else's."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from command_api.api_keys.schemas import BODY_BYTES_MAX
from command_api.identity import key_ring
from domain.identity.key_format import is_key, mask_key
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PATH = "/user/api-keys"
DELETE = {"confirmation": "DELETE_KEY"}


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that would keep a key in its cache for an hour; five keys are the most of a user."""
    with running_gateway(
        database, tmp_path / "home", upstream, key_cache_s=3600, keys_per_user_max=5
    ) as serving:
        yield serving
        serving.verified()


def asked(
    gateway: RunningGateway, user: NewUser, method: str, path: str = "", **more: Any
) -> httpx.Response:
    """What a request to the routes gets."""
    with gateway.client(user, **more.pop("headers", {})) as client:
        return client.request(method, PATH + path, **more)


def made(gateway: RunningGateway, user: NewUser, name: str, **body: Any) -> NewUser:
    """The user with a new key, by the route."""
    got = asked(gateway, user, "POST", json={"key_name": name, **body})
    assert got.status_code == 200, got.text
    return replace(user, key_id=got.json()["key_id"], api_key=got.json()["api_key"])


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code."""
    return answer.status_code, answer.json().get("code", "")


def listed(gateway: RunningGateway, user: NewUser) -> dict[str, dict[str, Any]]:
    """The user's keys by name."""
    got = asked(gateway, user, "GET").json()
    assert got["status"] == "success"
    assert got["total_keys"] == len(got["keys"])
    return {each["key_name"]: each for each in got["keys"]}


def test_a_key_is_made_and_listed_masked(gateway: RunningGateway) -> None:
    """With the members that clients know; whole only where it is made (rule: contract, P5)."""
    user = gateway.user()
    body = {
        "key_name": "ci",
        "environment_tag": "test",
        "scope_permissions": {"read": ["*"], "write": ["chat"]},
        "expiration_days": 30,
        "max_requests": None,
        "ip_allowlist": ["127.0.0.0/8"],
        "domain_referrers": ["Example.com"],
        "models": ["local/*"],
        "providers": ["local", "hug"],
        "action": "create",
    }
    got = asked(gateway, user, "POST", json=body)
    assert got.status_code == 200, got.text
    said = got.json()
    assert is_key(said["api_key"])
    assert said["api_key"].startswith("gw_test_")
    assert said["security_features"] == {
        "ip_allowlist": ["127.0.0.0/8"],
        "domain_referrers": ["Example.com"],
        "expiration_days": 30,
        "max_requests": None,
        "audit_logging": True,
        "last_used_tracking": True,
    }
    keys = listed(gateway, user)
    assert [each["is_primary"] for each in keys.values()] == [True, False]
    shown = keys["ci"]
    assert shown["api_key"] == mask_key(said["api_key"])
    assert shown["scope_permissions"]["write"] == ["chat"]
    assert "usage" in shown["scope_permissions"]["read"]
    assert shown["domain_referrers"] == ["example.com"]
    assert shown["providers"] == ["huggingface", "local"]
    assert shown["days_remaining"] == 29
    assert (shown["environment_tag"], shown["is_active"]) == ("test", True)
    assert shown["created_at"] == shown["updated_at"]
    assert said["api_key"] not in asked(gateway, user, "GET").text
    key = replace(user, api_key=said["api_key"])
    headers = {"referer": "https://example.com/"}
    assert gateway.chat(key, {}, **headers).status_code == 200
    assert told(asked(gateway, key, "GET")) == (403, "referrer_not_allowed")
    assert told(asked(gateway, key, "POST", json={"key_name": "x"}, headers=headers)) == (
        403,
        "insufficient_scope",
    )


def test_use_is_told_with_the_keys(gateway: RunningGateway) -> None:
    """Of each key its own, counted when asked (P6, rule: contract)."""
    user = gateway.user()
    other = made(gateway, user, "other")
    for key in (user, other, other):
        assert gateway.chat(key, {}).status_code == 200
    got = asked(gateway, user, "GET", "/usage").json()
    assert (got["user_id"], got["total_keys"], got["audit_logging"]) == (user.user_id, 2, True)
    assert {each["key_name"]: each["requests_used"] for each in got["keys"]} == {
        "primary": 1,
        "other": 2,
    }
    assert all(each["last_used_at"] > each["created_at"] for each in got["keys"])
    assert {each["max_requests"] for each in got["keys"]} == {None}


@pytest.fixture
def deaf(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunningGateway]:
    """One that keeps keys for an hour, hears of no change, and looks for none."""
    monkeypatch.setattr(key_ring, "KEYS_CHANNEL", "nobody_speaks_here")
    monkeypatch.setattr(key_ring, "POLL_S", 3_600)
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as serving:
        yield serving


def test_a_change_is_in_force_with_its_reply(deaf: RunningGateway) -> None:
    """In the process that made it, whatever was cached and nobody tells (rule: access)."""
    gateway, user = deaf, deaf.user()
    other = made(gateway, user, "other")
    for turn in range(3):
        assert gateway.chat(other, {}).status_code == 200
        got = asked(gateway, user, "PUT", f"/{other.key_id}", json={"is_active": False})
        assert got.json()["updated_key"]["is_active"] is False, turn
        refused = gateway.chat(other, {})
        assert refused.status_code == 401
        assert "is switched off" in refused.json()["error"]["message"]
        got = asked(gateway, user, "PUT", f"/{other.key_id}", json={"is_active": True})
        assert got.json()["status"] == "success"
    body = {"key_name": "new", "models": ["local/free"], "expiration_days": 1}
    shown = asked(gateway, user, "PUT", f"/{other.key_id}", json=body).json()["updated_key"]
    assert (shown["key_name"], shown["models"], shown["days_remaining"]) == (
        *("new", ["local/free"]),
        0,
    )
    assert gateway.chat(other, {}).status_code == 403
    body = {"models": [], "scope_permissions": {}}
    assert asked(gateway, user, "PUT", f"/{other.key_id}", json=body).status_code == 200
    assert gateway.chat(other, {}).status_code == 200


def test_a_key_is_rotated(gateway: RunningGateway) -> None:
    """The old writing is refused with the reply, or after the grace asked for (rule: access)."""
    user = gateway.user()
    other = made(gateway, user, "other")
    assert gateway.chat(other, {}).status_code == 200
    got = asked(gateway, user, "PUT", f"/{other.key_id}", json={"action": "rotate"}).json()
    assert got["updated_key"]["api_key"] == mask_key(got["api_key"])
    assert gateway.chat(other, {}).status_code == 401
    new = replace(other, api_key=got["api_key"])
    body = {"action": "rotate", "grace_hours": 1}
    got = asked(gateway, new, "PUT", f"/{other.key_id}", json=body).json()
    assert gateway.chat(new, {}).status_code == 200
    assert gateway.chat(replace(other, api_key=got["api_key"]), {}).status_code == 200


def test_all_other_keys_are_rotated(gateway: RunningGateway) -> None:
    """All but the one that asks, or those of an environment (rule: access)."""
    user = gateway.user()
    live, test = made(gateway, user, "a"), made(gateway, user, "b", environment_tag="test")
    body = {"action": "bulk_rotate", "environment_tag": "test"}
    got = asked(gateway, user, "PUT", f"/{user.key_id}", json=body).json()
    assert (got["rotated_count"], got["new_keys"][0]["key_id"]) == (1, test.key_id)
    assert [gateway.chat(each, {}).status_code for each in (user, live, test)] == [200, 200, 401]
    got = asked(gateway, user, "PUT", f"/{live.key_id}", json={"action": "bulk_rotate"}).json()
    assert [each["key_name"] for each in got["new_keys"]] == ["a", "b"]
    assert gateway.chat(live, {}).status_code == 401
    assert gateway.chat(replace(live, api_key=got["new_keys"][0]["api_key"]), {}).is_success
    assert gateway.chat(user, {}).status_code == 200


def test_a_key_is_deleted(gateway: RunningGateway) -> None:
    """Confirmed, never the last one; then it is nowhere (rule: access)."""
    user = gateway.user()
    assert told(asked(gateway, user, "DELETE", f"/{user.key_id}", json=DELETE)) == (409, "last_key")
    other = made(gateway, user, "other")
    for body in ({"confirmation": "yes"}, {"confirmation": "delete_key"}):
        got = asked(gateway, user, "DELETE", f"/{user.key_id}", json=body)
        assert told(got) == (400, "confirmation_needed")
    assert told(asked(gateway, user, "DELETE", f"/{user.key_id}"))[0] == 400
    got = asked(gateway, user, "DELETE", f"/{user.key_id}", json=DELETE).json()
    assert (got["status"], got["deleted_key_id"]) == ("success", user.key_id)
    assert gateway.chat(user, {}).status_code == 401
    keys = listed(gateway, other)
    assert [(name, each["is_primary"]) for name, each in keys.items()] == [("other", True)]
    for method, body in (("PUT", {"key_name": "x"}), ("DELETE", DELETE)):
        got = asked(gateway, other, method, f"/{user.key_id}", json=body)
        assert told(got) == (404, "api_key_not_found")
    assert made(gateway, other, "primary").key_id != user.key_id


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nobody_reaches_the_keys_of_others(gateway: RunningGateway, method: str) -> None:
    """They are not there for them, as those that never were (rule: access)."""
    user, other = gateway.user(), gateway.user()
    for key in (other.key_id, str(uuid4()), "1", "x" * 900, other.api_key[:20]):
        for body in (DELETE,) if method == "DELETE" else ({"action": "rotate"}, {"key_name": "x"}):
            got = asked(gateway, user, method, f"/{key}", json=body)
            assert told(got) == (404, "api_key_not_found")
    assert gateway.chat(other, {}).status_code == 200


def test_a_limited_key_gives_no_more_than_it_has(gateway: RunningGateway) -> None:
    """Neither to others, nor to itself; nor does it write a wider one anew (rule: access)."""
    user = gateway.user()
    scopes = {"read": ["api_keys"], "write": ["api_keys"]}
    small = made(gateway, user, "small", scope_permissions=scopes)
    refused = (403, "beyond_own_limits")
    wider: list[dict[str, Any]] = [{}, {"scope_permissions": {"write": ["*"]}}]
    for body in (*wider, {"scope_permissions": {}}):
        got = asked(gateway, small, "POST", json={"key_name": "more", **body})
        assert told(got) == refused
        if body:
            assert told(asked(gateway, small, "PUT", f"/{small.key_id}", json=body)) == refused
    for action in ("rotate", "bulk_rotate"):
        body = {"action": action}
        assert told(asked(gateway, small, "PUT", f"/{user.key_id}", json=body)) == refused
    made(gateway, small, "less", scope_permissions={"read": ["api_keys"]})
    assert gateway.chat(user, {}).status_code == 200


def test_a_key_that_would_shut_itself_out_is_refused_while_it_is_the_only_one(
    gateway: RunningGateway,
) -> None:
    """With another one it is the user's own business (rule: access)."""
    user = gateway.user()
    shut: list[dict[str, Any]] = [
        {"ip_allowlist": ["203.0.113.1"]},
        {"domain_referrers": ["example.com"]},
        {"scope_permissions": {"read": ["*"]}},
        {"is_active": False},
    ]
    for body in shut:
        got = asked(gateway, user, "PUT", f"/{user.key_id}", json=body)
        assert told(got) == (409, "last_key")
    other = made(gateway, user, "other", ip_allowlist=["127.0.0.1"])
    assert asked(gateway, user, "PUT", f"/{user.key_id}", json=shut[0]).status_code == 200
    assert told(asked(gateway, user, "GET")) == (403, "ip_not_allowed")
    assert len(listed(gateway, other)) == 2
    wider = {"ip_allowlist": ["127.0.0.0/8"]}
    got = asked(gateway, other, "PUT", f"/{other.key_id}", json=wider)
    assert told(got) == (403, "beyond_own_limits")
    alone = gateway.user()
    here = {"ip_allowlist": ["127.0.0.1"]}
    assert asked(gateway, alone, "PUT", f"/{alone.key_id}", json=here).status_code == 200


def test_of_many_requests_for_one_name_one_is_served(gateway: RunningGateway) -> None:
    """And of many for different ones as many as a user may have (rule: two commands)."""
    user = gateway.user()

    def create(name: str) -> tuple[int, str]:
        return told(asked(gateway, user, "POST", json={"key_name": name}))

    with ThreadPoolExecutor(8) as threads:
        same = list(threads.map(create, ["same"] * 8))
        more = list(threads.map(create, [f"key {n}" for n in range(8)]))
    assert sorted(same) == [(200, ""), *[(400, "key_name_taken")] * 7]
    assert sorted(more) == [*[(200, "")] * 3, *[(400, "too_many_keys")] * 5]
    assert len(listed(gateway, user)) == 5


BAD: list[tuple[Any, int, str]] = [
    ({}, 400, "missing_required_parameter"),
    ({"key_name": 1}, 400, "invalid_type"),
    ({"key_name": ""}, 400, "invalid_value"),
    ({"key_name": "x" * 101}, 400, "invalid_value"),
    ({"key_name": "a\u0000b"}, 400, "invalid_text"),
    ({"key_name": "a\r\nset-cookie: x"}, 400, "invalid_value"),
    ({"key_name": "primary"}, 400, "key_name_taken"),
    ({"key_name": "x", "max_requests": "unlimited"}, 400, "invalid_type"),
    ({"key_name": "x", "action": "rotate"}, 400, "invalid_type"),
    ({"key_name": "x", "environment_tag": "prod"}, 400, "invalid_type"),
    ({"key_name": "x", "expiration_days": 0}, 400, "invalid_type"),
    ({"key_name": "x", "expiration_days": -1}, 400, "invalid_type"),
    ({"key_name": "x", "expiration_days": 10**30}, 400, "invalid_type"),
    ({"key_name": "x", "expiration_days": 1.5}, 400, "invalid_type"),
    ({"key_name": "x", "ip_alowlist": ["127.0.0.1"]}, 400, "invalid_type"),
    ({"key_name": "x", "ip_allowlist": ["10.0.0.1/8"]}, 400, "invalid_value"),
    ({"key_name": "x", "ip_allowlist": [5]}, 400, "invalid_type"),
    ({"key_name": "x", "ip_allowlist": ["1.1.1.1"] * 10_000}, 400, "invalid_value"),
    ({"key_name": "x", "ip_allowlist": ["1.1.1.1"] * 100_000}, 413, "request_too_large"),
    ({"key_name": "x", "domain_referrers": ["https://a.com"]}, 400, "invalid_value"),
    ({"key_name": "x", "models": ["*"]}, 400, "invalid_value"),
    ({"key_name": "x", "providers": ["no provider"]}, 400, "invalid_value"),
    ({"key_name": "x", "scope_permissions": {"read": []}}, 400, "invalid_value"),
    ({"key_name": "x", "scope_permissions": {"root": ["*"]}}, 400, "invalid_value"),
    ({"key_name": "x", "scope_permissions": {"read": ["x"]}}, 400, "invalid_value"),
    ([], 400, "invalid_type"),
    ("x" * (BODY_BYTES_MAX + 1), 413, "request_too_large"),
]


def test_what_makes_no_key_is_told(gateway: RunningGateway) -> None:
    """In a message of a bounded size, and nothing is made (rule: refuse clearly, rule: bounded)."""
    user = gateway.user()
    for body, status, code in BAD:
        got = asked(gateway, user, "POST", json=body)
        assert told(got) == (status, code), str(body)[:100]
        assert len(got.text) < 1_000
    assert told(asked(gateway, user, "POST", content=b"{")) == (400, "invalid_json")
    assert list(listed(gateway, user)) == ["primary"]


def test_what_changes_nothing_sensible_is_told(gateway: RunningGateway) -> None:
    """An action beside members, another environment, nothing at all (rule: refuse clearly)."""
    user = gateway.user()
    for body in (
        {},
        {"action": "update"},
        {"action": "rotate", "key_name": "x"},
        {"environment_tag": "test"},
        {"key_name": None, "ip_allowlist": None},
    ):
        got = asked(gateway, user, "PUT", f"/{user.key_id}", json=body)
        assert told(got) == (400, "invalid_value"), body
    for bad in ({"environment": "x"}, {"action": "create"}, {"grace_hours": -1}):
        got = asked(gateway, user, "PUT", f"/{user.key_id}", json=bad)
        assert told(got) == (400, "invalid_type"), bad


def test_the_document_describes_the_bodies(gateway: RunningGateway) -> None:
    """So that a client can be made of it (rule: contract)."""
    with gateway.client(gateway.user()) as client:
        document = client.get("/openapi.json").json()
    asked = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schemas = document["components"]["schemas"]
    body = schemas[asked["$ref"].rpartition("/")[2]]
    assert {"key_name", "ip_allowlist", "scope_permissions"} <= body["properties"].keys()
    assert body["required"] == ["key_name"]
    for name in re.findall(r"'#/components/schemas/([^']+)'", str(document)):
        assert name in schemas
