"""max_requests: a quota of the key, made with it, changed with it, and never passed by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.quotas import commands as quota_commands
from command_api.quotas import of_keys
from command_api.quotas.commands import Quotas, Scope
from domain.identity.given_requests import Holding
from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
from domain.quotas.windows import Window
from event_store.log.aggregates import Aggregates
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PATH = "/user/api-keys"
FIGURES = ("max_requests", "requests_used", "requests_remaining", "usage_percentage")
BEYOND = (403, "beyond_own_limits")


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One whose books are compared with the log at the end."""
    with running_gateway(database, tmp_path / "home", upstream) as serving:
        yield serving
        serving.verified()


def asked(
    gateway: RunningGateway, user: NewUser, method: str, path: str = "", **body: Any
) -> httpx.Response:
    """What a request to the routes gets."""
    with gateway.client(user) as client:
        return client.request(method, PATH + path, json=body or None)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code."""
    return answer.status_code, answer.json().get("code", "")


def made(gateway: RunningGateway, user: NewUser, name: str, most: int | None = None) -> NewUser:
    """The user with a new key."""
    got = asked(gateway, user, "POST", key_name=name, max_requests=most)
    assert got.status_code == 200, got.text
    assert got.json()["security_features"]["max_requests"] == most
    return replace(user, key_id=got.json()["key_id"], api_key=got.json()["api_key"])


def figures(gateway: RunningGateway, user: NewUser, path: str = "") -> dict[str, tuple[Any, ...]]:
    """What the lists show of each key by name."""
    keys = asked(gateway, user, "GET", path).json()["keys"]
    return {each["key_name"]: tuple(each[name] for name in FIGURES) for each in keys}


def set_to(gateway: RunningGateway, by: NewUser, key: NewUser, most: Any) -> tuple[int, str]:
    """What a change of a key's limit gets."""
    return told(asked(gateway, by, "PUT", f"/{key.key_id}", max_requests=most))


def test_a_key_makes_so_many_requests_and_no_more(gateway: RunningGateway) -> None:
    """And its list says how many it has made, at once (money rule 13, rule: contract)."""
    user = gateway.user()
    key = made(gateway, user, "three", 3)
    assert figures(gateway, user)["three"] == (3, 0, 3, 0.0)
    answers = [gateway.chat(key, {}) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    error = answers[-1].json()["error"]
    assert (error["code"], error["limit"], error["unit"]) == ("quota_exceeded", 3, "requests")
    for path in ("", "/usage"):
        assert figures(gateway, user, path)["three"] == (3, 3, 0, 100.0)
    assert figures(gateway, user)["primary"] == (None, 0, None, None)
    assert gateway.chat(user, {}).status_code == 200


def test_a_limit_is_changed_and_lifted(gateway: RunningGateway) -> None:
    """It counts at once; what it counted stays, and is told with the key (rule: contract)."""
    user = gateway.user()
    key = made(gateway, user, "key", 1)
    assert [gateway.chat(key, {}).status_code for _ in range(2)] == [200, 429]
    got = asked(gateway, user, "PUT", f"/{key.key_id}", max_requests=4, key_name="more")
    shown = got.json()["updated_key"]
    assert (shown["key_name"], shown["max_requests"], shown["usage_percentage"]) == ("more", 4, 25)
    assert gateway.chat(key, {}).status_code == 200
    assert set_to(gateway, user, key, 1) == (200, "")
    assert figures(gateway, user)["more"] == (1, 2, 0, 200.0)
    assert gateway.chat(key, {}).status_code == 429
    assert set_to(gateway, user, key, "unlimited") == (200, "")
    assert gateway.chat(key, {}).status_code == 200
    assert figures(gateway, user, "/usage")["more"] == (None, 3, None, None)
    assert set_to(gateway, user, key, None)[0] == 400, "null is as if it were not there"
    assert set_to(gateway, user, key, "unlimited") == (200, "")


def test_key_and_limit_are_made_together_or_not_at_all(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the account has no room for a quota, no key is left without (rule: access)."""
    user = gateway.user()
    made(gateway, user, "one", 1)
    monkeypatch.setattr(quota_commands, "QUOTAS_PER_ACCOUNT_MAX", 1)
    got = asked(gateway, user, "POST", key_name="two", max_requests=1)
    assert told(got) == (400, "invalid_value")
    assert list(figures(gateway, user)) == ["primary", "one"]
    key = made(gateway, user, "free")
    assert set_to(gateway, user, key, 5) == (400, "invalid_value")
    assert figures(gateway, user)["free"][0] is None


def test_a_deleted_key_leaves_its_room_to_others(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody uses up the quotas of an account by making keys and deleting them (P10)."""
    monkeypatch.setattr(quota_commands, "QUOTAS_PER_ACCOUNT_MAX", 1)
    user = gateway.user()
    for turn in range(3):
        key = made(gateway, user, f"key {turn}", 5)
        got = asked(gateway, user, "DELETE", f"/{key.key_id}", confirmation="DELETE_KEY")
        assert got.status_code == 200
    with gateway.database.connect() as connection:
        quotas = connection.execute("SELECT removed FROM quota").fetchall()
    assert quotas == [(True,)] * 3


def test_a_limited_key_gives_out_of_what_it_has(gateway: RunningGateway) -> None:
    """What it gives it loses; nothing without a limit, nothing to itself (money rule 13)."""
    user = gateway.user()
    small = made(gateway, user, "small", 10)
    assert gateway.chat(small, {}).status_code == 200
    assert told(asked(gateway, small, "POST", key_name="x")) == BEYOND
    assert told(asked(gateway, small, "POST", key_name="x", max_requests=10)) == BEYOND
    for most in (11, LIMIT_MAX, "unlimited"):
        assert set_to(gateway, small, small, most) == BEYOND
    child = made(gateway, small, "child", 4)
    assert figures(gateway, user)["small"] == (6, 1, 5, 16.67)
    assert set_to(gateway, small, child, 10) == BEYOND
    assert set_to(gateway, small, child, "unlimited") == BEYOND
    assert set_to(gateway, small, child, 9) == (200, "")
    assert figures(gateway, user)["small"] == (1, 1, 0, 100.0)
    assert gateway.chat(small, {}).status_code == 429
    assert set_to(gateway, small, child, 1) == (200, ""), "what is taken away is not its own"
    assert figures(gateway, user)["small"] == (1, 1, 0, 100.0)
    for action in ("rotate", "bulk_rotate"):
        got = asked(gateway, small, "PUT", f"/{user.key_id}", action=action)
        assert told(got) == BEYOND
    assert told(asked(gateway, small, "PUT", f"/{small.key_id}", action="rotate")) == (200, "")
    assert figures(gateway, user)["primary"][0] is None


def test_however_it_asks_a_limited_key_makes_no_more_calls(gateway: RunningGateway) -> None:
    """Eight at once: its own and its children's limits are never more than it had (P10)."""
    user = gateway.user()
    small = made(gateway, user, "small", 12)

    def give(number: int) -> int:
        gateway.chat(small, {})
        return asked(gateway, small, "POST", key_name=f"child {number}", max_requests=3).status_code

    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(give, range(8)))
    found = figures(gateway, user)
    assert set(given) <= {200, 403, 409}
    children = sum(most for name, (most, *_) in found.items() if name.startswith("child"))
    most, used, left, _ = found["small"]
    assert children + most == 12
    assert used + left == most


def test_a_key_with_another_quota_makes_no_keys(gateway: RunningGateway) -> None:
    """They would not be bound by what the operator bound it by (rule: access)."""
    user = gateway.user()
    key = made(gateway, user, "bound")
    scope = Scope(kind=ScopeKind.KEY, scope_id=UUID(key.key_id), account_id=UUID(user.account_id))
    aggregates = Aggregates(gateway.database)
    quotas = Quotas(gateway.database, aggregates, actor="operator:cli")
    quotas.set(scope, Unit.NANO_USD, Window.MONTH, 10**9)
    assert told(asked(gateway, key, "POST", key_name="x", max_requests=1)) == BEYOND
    assert told(asked(gateway, key, "POST", key_name="x")) == BEYOND
    quotas.set(scope, Unit.REQUESTS, Window.TOTAL, 7)
    aggregates.close()
    assert set_to(gateway, user, key, 8) == BEYOND, "the operator's is the most"
    assert set_to(gateway, user, key, "unlimited") == BEYOND
    assert set_to(gateway, user, key, 5) == (200, "")
    assert set_to(gateway, user, key, 7) == (200, "")


@pytest.mark.parametrize("most", [0, -1, 1.5, LIMIT_MAX + 1, 10**40, "5", "none", [], True])
def test_what_is_no_number_of_requests_is_told(gateway: RunningGateway, most: Any) -> None:
    """Where a key is made and where it is changed; nothing is (rule: refuse clearly)."""
    user = gateway.user()
    got = asked(gateway, user, "POST", key_name="x", max_requests=most)
    assert told(got) == (400, "invalid_type")
    assert set_to(gateway, user, user, most) == (400, "invalid_type")
    assert list(figures(gateway, user).values()) == [(None, 0, None, None)]


def test_environments_are_told_with_their_limits(gateway: RunningGateway) -> None:
    """All keys of an environment together; without a limit where one has none (rule: contract)."""
    user = gateway.user()
    for name, most in (("a", 3), ("b", 4)):
        got = asked(
            *(gateway, user, "POST"), key_name=name, max_requests=most, environment_tag="test"
        ).json()
        assert gateway.chat(replace(user, api_key=got["api_key"]), {}).status_code == 200
    with gateway.client(user) as client:
        got = client.get("/user/environment-usage").json()
    assert (got["status"], got["user_id"]) == ("success", user.user_id)
    assert got["environment_usage"] == {
        "live": {"total_requests": 0, "total_max_requests": None, "key_count": 1},
        "test": {"total_requests": 2, "total_max_requests": 7, "key_count": 2},
    }


def test_what_is_used_while_it_is_given_is_not_given(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at again where it is saved, and then neither key nor limit is (P10)."""
    user = gateway.user()
    small = made(gateway, user, "small", 2)
    assert gateway.chat(small, {}).status_code == 200
    stale = Holding(limit=2, left=2)
    monkeypatch.setattr(of_keys, "_holding", lambda *_: stale)
    got = asked(gateway, small, "POST", key_name="child", max_requests=2)
    assert told(got) == (409, "key_changed")
    assert list(figures(gateway, user)) == ["primary", "small"]
    assert figures(gateway, user)["small"] == (2, 1, 1, 50.0)
    assert gateway.chat(small, {}).status_code == 200
