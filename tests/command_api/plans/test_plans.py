"""Plans at a gateway: assigned by admins, binding calls by day and month, over at their instant."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from projections.hosting.verify import verify
from tests.support.admins import ask, new_admin, told
from tests.support.harness import running_gateway
from tests.support.organisations import with_keys
from tests.support.people import Person

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

NOBODY = "01890000-0000-7000-8000-000000000000"
MANY = {"max_tokens": 16_000}
"""More than half of what the plan `free` allows a day."""


def assign(
    gateway: RunningGateway, admin: NewUser, user: NewUser | str, plan: Any = "free", **more: Any
) -> httpx.Response:
    """What POST /admin/assign-plan gets."""
    user_id = user if isinstance(user, str) else user.user_id
    body = {"user_id": user_id, "plan_id": plan, **more}
    with gateway.client(admin) as client:
        return client.post("/admin/assign-plan", json=body)


def other_key(gateway: RunningGateway, user: NewUser, tag: str = "test") -> NewUser:
    """The same user with a fresh key."""
    body = {"key_name": f"key-{time.time_ns()}", "environment_tag": tag}
    with gateway.client(user) as client:
        made = client.post("/user/api-keys", json=body)
    assert made.status_code == 200, made.text
    return replace(user, api_key=made.json()["api_key"])


def quotas(gateway: RunningGateway, account_id: str) -> list[tuple[Any, ...]]:
    """The quotas of plans on an account."""
    with gateway.database.connect() as connection:
        return connection.execute(
            "SELECT unit, period, quota_limit FROM quota WHERE account_id = %s "
            "AND scope_kind = 'plan' AND NOT removed ORDER BY quota_limit DESC",
            [account_id],
        ).fetchall()


def test_a_plan_binds_calls_at_once(gateway: RunningGateway) -> None:
    """In the process that assigned it; keys that are not live by half (money rule 13)."""
    admin, user = new_admin(gateway), gateway.user()
    test = other_key(gateway, user)
    for key in (user, test):
        assert gateway.chat(key, MANY).status_code == 200
    got = assign(gateway, admin, user, 1)
    assert got.status_code == 200, got.text
    said = got.json()
    assert (said["status"], said["plan_id"], said["duration_months"]) == ("success", "free", 1)
    assert gateway.chat(user, MANY).status_code == 200
    refused = gateway.chat(test, MANY)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["scope"], error["unit"]) == ("quota_exceeded", "plan", "tokens")
    assert (error["window"], error["limit"]) == ("day", 12_500)
    assert int(refused.headers["retry-after"]) > 0
    assert gateway.chat(test, {"max_tokens": 10}).status_code == 200
    usage = ask(gateway, user, "/user/plan/usage").json()
    assert usage["usage"]["daily_requests"] == 2  # One of each key: both count on the whole.
    assert usage["remaining"]["daily_requests"] == 248
    assert ask(gateway, test, "/user/plan/usage").json()["usage"]["daily_requests"] == 1
    gateway.verified()


def test_a_call_too_many_is_refused(gateway: RunningGateway) -> None:
    """Ten at once where one is left: exactly one (money rule 13, P1)."""
    admin, user = new_admin(gateway), gateway.user()
    assign(gateway, admin, user)
    with gateway.database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO quota_window (quota_id, begins, used) SELECT quota_id, "
            "quota_begin(period, zone, booking_clock()), quota_limit - 1 FROM quota "
            "WHERE scope_kind = 'plan' AND unit = 'requests' AND period = 'month'"
        )
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: gateway.chat(user, {"max_tokens": 5}), range(10)))
    assert sorted(each.status_code for each in answers) == [200, *[429] * 9]
    usage = ask(gateway, user, "/user/plan/usage").json()
    assert (usage["remaining"]["monthly_requests"], usage["at_limit"]) == (0, True)


def test_another_plan_counts_on(gateway: RunningGateway) -> None:
    """What was used today stays used, up and down (money rule 13)."""
    admin, user = new_admin(gateway), gateway.user()
    assign(gateway, admin, user)
    assert gateway.chat(user, {}).status_code == 200
    for plan, left in (("dev", 9_999), ("free", 249)):
        assert assign(gateway, admin, user, plan).status_code == 200
        usage = ask(gateway, user, "/user/plan/usage").json()
        assert (usage["plan_name"], usage["remaining"]["daily_requests"]) == (plan, left)
    assert assign(gateway, admin, user, "customize").status_code == 200
    assert quotas(gateway, user.account_id) == []
    assert ask(gateway, user, "/user/plan/usage").json()["limits"]["daily_requests"] is None
    gateway.verified()


def test_a_plan_is_over_at_its_instant(gateway: RunningGateway) -> None:
    """By itself: a key that was looked up before is bound no more (money rule 9, money rule 13)."""
    admin, user = new_admin(gateway), gateway.user()
    assign(gateway, admin, user)
    test = other_key(gateway, user)
    with gateway.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE user_plan SET expires_at = clock_timestamp() + interval '1.5 seconds'"
        )
    assert gateway.chat(test, MANY).status_code == 429
    events = gateway.events()
    time.sleep(1.6)
    assert gateway.chat(test, MANY).status_code == 200
    assert gateway.events() == events + 2
    found = ask(gateway, test, "/user/plan/entitlements").json()
    assert (found["has_plan"], found["plan_expired"], found["plan_name"]) == (False, True, None)
    assert ask(gateway, test, "/user/plan").json()["is_active"] is False


def test_other_processes_hear_of_it(
    gateway: RunningGateway, database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Within a second, though they know the key (money rule 13)."""
    admin, user = new_admin(gateway), gateway.user()
    test = other_key(gateway, user)
    with running_gateway(database, tmp_path / "other", upstream) as other:
        assert other.chat(test, MANY).status_code == 200
        assign(gateway, admin, user)
        until = time.monotonic() + 5
        while other.chat(test, MANY).status_code != 429:
            assert time.monotonic() < until


def test_nobody_raises_their_plan(gateway: RunningGateway) -> None:
    """A key with more requests of its own is bound by the plan all the same (rule: access)."""
    admin, user = new_admin(gateway), gateway.user()
    assign(gateway, admin, user)
    with gateway.client(user) as client:
        body = {"key_name": "more", "environment_tag": "test", "max_requests": 10**9}
        key = client.post("/user/api-keys", json=body).json()["api_key"]
        assert client.post("/admin/assign-plan", json={"user_id": user.user_id}).status_code == 403
    assert gateway.chat(replace(user, api_key=key), MANY).status_code == 429


def test_an_organisation_is_not_bound_by_its_members_plan(gateway: RunningGateway) -> None:
    """A plan is of the user's own account (money rule 14)."""
    admin, user = new_admin(gateway), gateway.user()
    assign(gateway, admin, user)
    _, keys = with_keys(gateway, user, gateway.user())
    assert gateway.chat(replace(user, api_key=keys[0]), {}).status_code == 200
    usage = ask(gateway, user, "/user/plan/usage").json()
    assert usage["usage"]["daily_requests"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"plan_id": "none"}, 404, "plan_not_found"),
        ({"plan_id": 0}, 404, "plan_not_found"),
        ({"plan_id": 10**30}, 404, "plan_not_found"),
        ({"plan_id": ""}, 400, "invalid_type"),
        ({"plan_id": "x" * 65}, 400, "invalid_type"),
        ({"plan_id": None}, 400, "invalid_type"),
        ({"plan_id": 1.5}, 400, "invalid_type"),
        ({"user_id": "nobody"}, 404, "user_not_found"),
        ({"user_id": NOBODY}, 404, "user_not_found"),
        ({"user_id": 7}, 400, "invalid_type"),
        *(({"duration_months": months}, 400, "invalid_value") for months in (0, -1, 121, 10**15)),
        ({"duration_months": "many"}, 400, "invalid_type"),
        ({"months": 5}, 400, "invalid_type"),
    ],
)
def test_what_is_no_assignment_changes_nothing(
    gateway: RunningGateway, body: dict[str, Any], status: int, code: str
) -> None:
    """Named in a short message (rule: refuse clearly)."""
    admin, user = new_admin(gateway), gateway.user(0)
    whole = {"user_id": user.user_id, "plan_id": "dev", **body}
    with gateway.client(admin) as client:
        got = client.post("/admin/assign-plan", json=whole)
    assert told(got) == (status, code)
    assert len(got.text) < 1_000
    assert quotas(gateway, user.account_id) == []


def test_two_at_once_are_one_after_the_other(gateway: RunningGateway) -> None:
    """The plan and its quotas are of one assignment (P3, P8)."""
    admin, user = new_admin(gateway), gateway.user(0)
    plans = ["free", "dev", "team", "customize"] * 2
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda plan: assign(gateway, admin, user, plan), plans))
    assert {each.status_code for each in answers} == {200}
    now = ask(gateway, user, "/user/plan").json()
    limits = [now[name] for name in ("daily_request_limit", "monthly_token_limit")]
    stored = {
        (unit, period): most for unit, period, most in reversed(quotas(gateway, user.account_id))
    }
    found = [stored.get(place) for place in (("requests", "day"), ("tokens", "month"))]
    assert found == limits
    gateway.verified()


def test_without_a_plan_calls_count_on_nothing(gateway: RunningGateway) -> None:
    """Nobody is given quotas who was given no plan (rule: calls first)."""
    user = gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    with gateway.database.connect() as connection:
        (bound,) = connection.execute(
            "SELECT bound FROM credit_account WHERE account_id = %s", [user.account_id]
        ).fetchone() or (None,)
    assert bound is False
    assert told(ask(gateway, user, "/user/plan")) == (404, "plan_not_found")


def test_limits_without_a_plan_are_a_setting(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Who registers has them, and who had a plan; a plan stands in their place (money rule 13)."""
    with running_gateway(database, tmp_path / "home", upstream, planless_limits=True) as gateway:
        person = Person(gateway)
        made = person.register()
        person.login()
        assert [each[2] for each in quotas(gateway, made["account_id"])] == [
            *(15_000_000, 7_500_000, 750_000, 500_000, 375_000, 250_000, 25_000, 12_500)
        ]
        admin = new_admin(gateway)
        user = replace(admin, api_key=made["api_key"], user_id=made["user_id"])
        found = ask(gateway, user, "/user/plan/entitlements").json()
        assert (found["has_plan"], found["daily_request_limit"]) == (False, 25_000)
        assert found["features"] == ["basic_models"]
        signed_in = person.client.get("/user/plan/entitlements").json()
        person.client.close()
        assert signed_in["daily_request_limit"] == 25_000
        other = gateway.user()
        assert ask(gateway, other, "/user/plan/entitlements").json()["daily_request_limit"] is None
        assert assign(gateway, admin, other, "team").status_code == 200
        assert len(quotas(gateway, other.account_id)) == 16
        with database.connect_as_owner() as connection:
            connection.execute("UPDATE user_plan SET expires_at = clock_timestamp()")
        late = other_key(gateway, other)
        assert gateway.chat(late, {"max_tokens": 10}).status_code == 200
        usage = ask(gateway, late, "/user/plan/usage").json()
        assert (usage["limits"]["daily_requests"], usage["usage"]["daily_requests"]) == (12_500, 1)


def test_who_assigned_a_plan_is_in_the_audit(gateway: RunningGateway) -> None:
    """With the reason, for the user to see (rule: access)."""
    admin, user = new_admin(gateway), gateway.user(0)
    assign(gateway, admin, user, "dev", duration_months=None, reason="a present")
    (log,) = ask(gateway, user, "/audit", action="plan.assigned").json()["logs"]
    assert (log["actor"], log["reason"]) == (f"api_key:{admin.key_id}", "a present")
    assert log["after"] == {"plan": "dev", "expires_at": None}
    assert log["user_id"] == user.user_id


def test_a_plan_that_differs_from_the_log_is_found(gateway: RunningGateway) -> None:
    """`ledger verify` compares the table with the events (P8)."""
    admin, user = new_admin(gateway), gateway.user(0)
    assign(gateway, admin, user, "dev")
    with gateway.database.connect_as_owner() as connection:
        connection.execute("UPDATE user_plan SET plan = 'team'")
    (found,) = verify(gateway.database).differences
    assert found.startswith(f"user_plan {user.user_id}")
