"""What is shown of plans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.admins import ask, new_admin, told
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

LIMITS = ("daily_request", "monthly_request", "daily_token", "monthly_token")


def test_anybody_sees_the_plans(gateway: RunningGateway) -> None:
    """All of them, and one by number or name (rule: contract)."""
    found = httpx.get(f"{gateway.url}/plans").json()
    assert [(each["id"], each["plan_type"]) for each in found] == [
        *((1, "free"), (2, "dev"), (3, "team"), (4, "customize"))
    ]
    assert found[1]["price_per_month"] == 19.0
    assert [found[1][f"{each}_limit"] for each in LIMITS] == [10_000, 200_000, 10**6, 2 * 10**7]
    assert found[3]["daily_token_limit"] is None
    for path in ("2", "dev"):
        assert httpx.get(f"{gateway.url}/plans/{path}").json() == found[1]
    for path in ("0", "5", "none", "-1", "x" * 900):
        got = httpx.get(f"{gateway.url}/plans/{path}")
        assert told(got) == (404, "plan_not_found")
        assert len(got.text) < 500


def test_the_trial_is_told_as_it_is_given(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """From the one place that the settings are (money rule 10)."""
    wanted = {"trial_days": 5, "trial_usd": "2.5", "trial_requests": 7, "trial_tokens": 70}
    with running_gateway(database, tmp_path / "home", upstream, **wanted) as gateway:
        found = httpx.get(f"{gateway.url}/subscription/plans").json()
    assert found["trial_info"] == {
        "trial_days": 5,
        "trial_credits": 2.5,
        "trial_tokens": 70,
        "trial_requests": 7,
        "trial_plan": "free",
    }
    assert [each["name"] for each in found["plans"] if each["trial_eligible"]] == ["free"]


def test_the_trial_of_no_setting_is_the_houses(gateway: RunningGateway) -> None:
    """3 days, 10 USD, 1,000 requests, 100,000 tokens (money rule 10)."""
    found = httpx.get(f"{gateway.url}/subscription/plans").json()["trial_info"]
    assert list(found.values()) == [3, 10.0, 100_000, 1_000, "free"]


def test_a_caller_sees_the_own_plan(gateway: RunningGateway) -> None:
    """With the limits of the key that asks, and what it may (rule: contract)."""
    admin, user = new_admin(gateway), gateway.user(0)
    body = {"user_id": user.user_id, "plan_id": 2, "duration_months": 2}
    with gateway.client(admin) as client:
        assert client.post("/admin/assign-plan", json=body).status_code == 200
    found = ask(gateway, user, "/user/plan").json()
    assert (found["plan_id"], found["plan_name"], found["is_active"]) == (2, "dev", True)
    assert found["user_id"] == user.user_id
    assert found["start_date"] < found["end_date"]
    assert found["daily_request_limit"] == 10_000
    with gateway.client(user) as client:
        made = client.post("/user/api-keys", json={"key_name": "t", "environment_tag": "staging"})
    test = replace(user, api_key=made.json()["api_key"])
    assert ask(gateway, test, "/user/plan").json()["daily_request_limit"] == 5_000
    for feature, may in ((None, True), ("advanced_models", True), ("custom_limits", False)):
        asked = {} if feature is None else {"feature": feature}
        found = ask(gateway, user, "/user/plan/entitlements", **asked).json()
        assert found["can_access_feature"] is may
    assert (found["has_plan"], found["plan_name"], found["plan_expired"]) == (True, "dev", False)
    assert found["features"] == ["basic_models", "advanced_models"]
    usage = ask(gateway, user, "/user/plan/usage").json()
    assert usage["usage"] == dict.fromkeys(usage["limits"], 0)
    assert usage["remaining"] == usage["limits"]
    assert usage["at_limit"] is False


@pytest.mark.parametrize("path", ["/user/plan", "/user/plan/usage", "/user/plan/entitlements"])
def test_nobody_else_does(gateway: RunningGateway, path: str) -> None:
    """Without a key there is nothing (rule: access)."""
    assert httpx.get(f"{gateway.url}{path}").status_code == 401


def test_without_a_plan_use_is_told_all_the_same(gateway: RunningGateway) -> None:
    """Without limits, as the calls were charged (rule: contract)."""
    user = gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    usage = ask(gateway, user, "/user/plan/usage").json()
    assert usage["plan_name"] is None
    assert (usage["usage"]["daily_requests"], usage["usage"]["monthly_tokens"]) == (1, 15)
    assert set(usage["limits"].values()) == set(usage["remaining"].values()) == {None}
    assert usage["at_limit"] is False
    found = ask(gateway, user, "/user/plan/entitlements").json()
    assert (found["has_plan"], found["plan_expires"]) == (False, None)
