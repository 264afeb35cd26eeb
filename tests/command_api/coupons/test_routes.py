"""Coupons over HTTP: made, changed, redeemed once, and refused for each reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.admins import ask, new_admin, told
from tests.support.coupons import new_coupon, redeem, wanted
from tests.support.people import Person

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

PATH = "/admin/coupons"
SOON = timedelta(days=1)


def act(
    gateway: RunningGateway, by: NewUser, method: str, path: str, **body: Any
) -> httpx.Response:
    """What a request below /admin/coupons gets."""
    with gateway.client(by) as client:
        return client.request(method, path, json=body or None)


def later(**more: float) -> str:
    """An instant ahead, or behind."""
    return (datetime.now(UTC) + timedelta(**more)).isoformat()


def test_a_coupon_is_redeemed_once(gateway: RunningGateway) -> None:
    """To the last nano-USD, however the code is written; the books agree (P1, P4)."""
    admin, user = new_admin(gateway), gateway.user(0)
    made = new_coupon(gateway, admin, code="Hello-1", value_usd="2.000000001")
    assert (made["code"], made["value_usd"], made["times_used"]) == ("HELLO-1", 2.000000001, 0)
    assert (made["created_by"], made["created_by_type"]) == (admin.user_id, "admin")
    got = redeem(gateway, user, " hello-1 ").json()
    assert {**got, "message": ""} == {
        "success": True,
        "message": "",
        "coupon_code": "HELLO-1",
        "coupon_value": 2.000000001,
        "previous_balance": 0.0,
        "new_balance": 2.000000001,
        "error_code": None,
    }
    again = redeem(gateway, user, "HELLO-1")
    assert told(again) == (400, "coupon_already_redeemed")
    said = again.json()
    assert (said["success"], said["error_code"]) == (False, "ALREADY_REDEEMED")
    assert (said["coupon_code"], said["new_balance"]) == ("HELLO-1", None)
    assert gateway.balance(user)["available_nano_usd"] == 2_000_000_001
    (line,) = ask(gateway, user, "/user/credit-transactions").json()["transactions"]
    assert (line["transaction_type"], line["description"]) == ("bonus", "coupon HELLO-1")
    gateway.verified()


def test_who_redeemed_is_in_the_audit(gateway: RunningGateway) -> None:
    """By the key, with a stand-in for the address, never the address itself (P5)."""
    admin, user = new_admin(gateway), gateway.user(0)
    code = new_coupon(gateway, admin)["code"]
    assert redeem(gateway, user, code).status_code == 200
    (log,) = ask(gateway, user, "/audit", action="coupon.redeemed").json()["logs"]
    assert log["actor"] == f"api_key:{user.key_id}"
    assert log["after"]["value_nano_usd"] == 5 * 10**9
    with gateway.database.connect() as connection:
        (state,) = connection.execute(
            "SELECT convert_from(state, 'UTF8') FROM events WHERE topic LIKE '%coupon.redeemed%'"
        ).fetchone() or ("",)
    assert '"origin":"' in state
    assert "127.0.0.1" not in state


def test_each_refusal_has_its_code(gateway: RunningGateway) -> None:
    """As clients know them, with HTTP 400 and the same members (rule: contract)."""
    admin, user, other = new_admin(gateway), gateway.user(0), gateway.user(0)

    def code(**more: Any) -> str:
        return str(new_coupon(gateway, admin, **more)["code"])

    ended, over = new_coupon(gateway, admin), new_coupon(gateway, admin)
    assert act(gateway, admin, "DELETE", f"{PATH}/{ended['id']}").json()["success"] is True
    with gateway.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE coupon SET valid_until = booking_clock() WHERE coupon_id = %s", [over["id"]]
        )
    used = code(max_uses=1)
    assert redeem(gateway, other, used).status_code == 200
    mine = {"coupon_scope": "user_specific", "max_uses": 1, "assigned_to_user_id": other.user_id}
    for text, expected in (
        ("NOBODY-1", "COUPON_NOT_FOUND"),
        (ended["code"], "COUPON_INACTIVE"),
        (over["code"], "COUPON_EXPIRED"),
        (code(valid_from=later(hours=1)), "COUPON_NOT_YET_ACTIVE"),
        (code(**mine), "COUPON_NOT_ASSIGNED"),
        (used, "MAX_USES_EXCEEDED"),
        *((text, "VALIDATION_FAILED") for text in ("", "ab", "x" * 51, "SАLE", "a\nb")),
    ):
        got = redeem(gateway, user, text)
        assert (got.status_code, got.json()["error_code"]) == (400, expected), text
        assert {"detail", "code", "message", "coupon_value", "success"} <= got.json().keys()
    assert gateway.balance(user)["granted_nano_usd"] == 0


def test_a_coupon_for_one_user_is_that_users(gateway: RunningGateway) -> None:
    """Assigned, used once, and seen by nobody else (rule: access)."""
    admin, user, other = new_admin(gateway), gateway.user(0), gateway.user(0)
    made = new_coupon(
        gateway,
        admin,
        coupon_scope="user_specific",
        max_uses=1,
        assigned_to_user_id=user.user_id.upper(),
    )
    assert made["assigned_to_user_id"] == user.user_id
    codes = [
        [each["code"] for each in ask(gateway, by, "/coupons/available").json()]
        for by in (user, other)
    ]
    assert made["code"] in codes[0]
    assert made["code"] not in codes[1]
    assert redeem(gateway, user, made["code"]).status_code == 200
    gateway.verified()


def test_one_user_at_once_gets_one(gateway: RunningGateway) -> None:
    """Eight requests with one code; the others are told that it is redeemed (P3)."""
    admin, user = new_admin(gateway), gateway.user(0)
    code = new_coupon(gateway, admin)["code"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: redeem(gateway, user, code), range(8)))
    assert sorted(each.status_code for each in answers) == [200, *[400] * 7]
    assert {each.json()["error_code"] for each in answers} == {None, "ALREADY_REDEEMED"}
    assert gateway.balance(user)["available_nano_usd"] == 5 * 10**9
    gateway.verified()


def test_codes_cannot_be_guessed_without_end(gateway: RunningGateway) -> None:
    """By user; what is good does not count, and another user goes on (rule: bounded)."""
    admin, user, other = new_admin(gateway), gateway.user(0), gateway.user(0)
    good = [new_coupon(gateway, admin)["code"] for _ in range(2)]
    for number in range(19):
        assert told(redeem(gateway, user, f"GUESS-{number}")) == (400, "coupon_not_found")
    assert redeem(gateway, user, good[0]).status_code == 200
    assert told(redeem(gateway, user, "GUESS-19")) == (400, "coupon_not_found")
    got = redeem(gateway, user, good[1])
    assert told(got) == (429, "too_many_attempts")
    assert int(got.headers["retry-after"]) > 0
    assert redeem(gateway, other, good[1]).status_code == 200


def each_of(name: str, *values: object) -> list[dict[str, Any]]:
    """One body's change for each value."""
    return [{name: value} for value in values]


BAD: list[dict[str, Any]] = [
    *each_of("value_usd", 0, -1, 1000.000000001, 1e99, 1e-10, True, None, [], {}),
    *each_of("value_usd", "NaN", "Infinity", "", "1,5", "9" * 60),
    *each_of("max_uses", 0, -1, 10**7, 10**30, 1.5, "many", None),
    *each_of("code", "", "ab", "x" * 51, "x" * 2_000, "a b", "СОDE", 7, None),
    *each_of("valid_until", "", "soon", "2020-01-01", "0001-01-01", 5, None),
    {"valid_from": "2090-01-01", "valid_until": "2089-01-01"},
    {"coupon_scope": "all"},
    {"coupon_type": "gift"},
    {"coupon_scope": "user_specific", "max_uses": 1},
    {"coupon_scope": "user_specific", "max_uses": 1, "assigned_to_user_id": "nobody"},
    {
        "coupon_scope": "user_specific",
        "max_uses": 1,
        "assigned_to_user_id": "01890000-0000-7000-8000-000000000000",
    },
    {"description": "x" * 501},
]


def test_what_is_no_coupon_is_not_made(gateway: RunningGateway) -> None:
    """Each refused in a short message (rule: refuse clearly, P4)."""
    admin = new_admin(gateway)
    for more in BAD:
        got = act(gateway, admin, "POST", PATH, **wanted(**more))
        assert got.status_code == 400, more
        assert got.json()["code"] in {"invalid_type", "invalid_value", "invalid_coupon"}, more
        assert len(got.text) < 1_000
    assert ask(gateway, admin, PATH).json()["total"] == 0


def test_a_code_is_taken_for_ever(gateway: RunningGateway) -> None:
    """In every writing, eight at once, and after its end (rule: refuse clearly)."""
    admin = new_admin(gateway)

    def make(code: str) -> httpx.Response:
        return act(gateway, admin, "POST", PATH, **wanted(code=code))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(make, ("Once-1", "ONCE-1", "once-1", "oNCE-1") * 2))
    assert sorted(each.status_code for each in answers) == [200, *[409] * 7]
    (made,) = ask(gateway, admin, PATH).json()["coupons"]
    act(gateway, admin, "DELETE", f"{PATH}/{made['id']}")
    assert told(make("once-1")) == (409, "coupon_code_taken")


def test_a_coupon_is_changed(gateway: RunningGateway) -> None:
    """What is given; worth and code never; ended and begun again (rule: contract)."""
    admin, user = new_admin(gateway), gateway.user(0)
    made = new_coupon(gateway, admin)
    path, until = f"{PATH}/{made['id']}", later(days=30)
    got = act(gateway, admin, "PATCH", path, max_uses=3, description="more", valid_until=until)
    assert got.status_code == 200
    assert (got.json()["max_uses"], got.json()["description"]) == (3, "more")
    assert act(gateway, admin, "PATCH", path, is_active=False).json()["is_active"] is False
    assert redeem(gateway, user, made["code"]).json()["error_code"] == "COUPON_INACTIVE"
    assert act(gateway, admin, "PATCH", path, is_active=True).json()["is_active"] is True
    assert redeem(gateway, user, made["code"]).status_code == 200
    for body, code in (
        ({"value_usd": 900}, "invalid_type"),
        ({"code": "OTHER"}, "invalid_type"),
        ({"max_uses": 0}, "invalid_coupon"),
        ({"valid_until": later(days=-1)}, "invalid_coupon"),
    ):
        assert told(act(gateway, admin, "PATCH", path, **body)) == (400, code)
    assert told(act(gateway, admin, "PATCH", f"{PATH}/nobody", max_uses=3)) == (
        404,
        "coupon_not_found",
    )
    gateway.verified()


@pytest.mark.parametrize("scope", [None, "admin:users"])
def test_nobody_else_keeps_coupons(gateway: RunningGateway, scope: str | None) -> None:
    """Neither a user, nor an admin's key without the scope (rule: access)."""
    admin = new_admin(gateway)
    made = new_coupon(gateway, admin)
    if scope is None:
        user, expected = gateway.user(0), "forbidden"
    else:
        body = {"key_name": "few", "scope_permissions": {"admin": ["users"]}}
        with gateway.client(admin) as client:
            few = client.post("/user/api-keys", json=body).json()["api_key"]
        user, expected = replace(admin, api_key=few), "insufficient_scope"
    for method, path in (
        ("POST", PATH),
        ("GET", PATH),
        ("GET", f"{PATH}/{made['id']}"),
        ("PATCH", f"{PATH}/{made['id']}"),
        ("DELETE", f"{PATH}/{made['id']}"),
        ("GET", f"{PATH}/{made['id']}/analytics"),
        ("GET", f"{PATH}/stats/overview"),
    ):
        assert told(act(gateway, user, method, path)) == (403, expected), path


def test_who_has_left_redeems_nothing(gateway: RunningGateway) -> None:
    """The key opens nothing any more (rule: access)."""
    admin, person = new_admin(gateway), Person(gateway)
    key = person.register()["api_key"]
    code = new_coupon(gateway, admin)["code"]
    person.leave(key)
    user = replace(admin, api_key=key)
    assert redeem(gateway, user, code).status_code == 401
