"""POST /admin/add_credits: exact, once, with its reason, and for admins alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.admins import ask, new_admin, told
from tests.support.people import Person

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

PATH = "/admin/add_credits"


def give(
    gateway: RunningGateway, by: NewUser, body: dict[str, Any] | bytes, key: str | None = None
) -> httpx.Response:
    """What a grant gets."""
    headers = {} if key is None else {"idempotency-key": key}
    with gateway.client(by, **headers) as client:
        if isinstance(body, bytes):
            return client.post(PATH, content=body)
        return client.post(PATH, json=body)


def test_credits_are_added_exactly(gateway: RunningGateway) -> None:
    """As a number or a text, to the last nano-USD; named by the key or its id (P4, P1)."""
    admin, user = new_admin(gateway), gateway.user(0)
    got = give(gateway, admin, {"api_key": user.api_key, "credits": 10})
    assert got.status_code == 200, got.text
    said = got.json()
    assert (said["status"], said["user_id"], said["new_balance"]) == ("success", user.user_id, 10.0)
    assert user.api_key not in got.text
    for amount in (b"0.1", b'"0.2"', b"1e-9"):
        raw = b'{"api_key": "%b", "credits": %b}' % (user.key_id.encode(), amount)
        assert give(gateway, admin, raw).status_code == 200
    assert gateway.balance(user)["available_nano_usd"] == 10_300_000_001
    (line, *_) = ask(gateway, user, "/user/credit-transactions").json()["transactions"]
    assert (line["transaction_type"], line["amount_nano_usd"]) == ("admin_credit", 1)
    assert line["description"] == "admin_credit credits"
    gateway.verified()


def test_the_customer_sees_who_gave_them_and_why(gateway: RunningGateway) -> None:
    """In the audit, by the admin's key, with the reason (rule: access)."""
    admin, user = new_admin(gateway), gateway.user(0)
    body = {"api_key": user.key_id, "credits": "2.5", "reason": "sorry for the outage"}
    assert give(gateway, admin, body).status_code == 200
    logs = ask(gateway, user, "/audit", action="credits.granted").json()["logs"]
    assert [(each["actor"], each["reason"], each["after"]["amount_nano_usd"]) for each in logs] == [
        (f"api_key:{admin.key_id}", "sorry for the outage", 2_500_000_000)
    ]


def test_sent_again_with_its_key_it_is_given_once(gateway: RunningGateway) -> None:
    """Eight times at once; another amount is told, and another admin's key is another (P3)."""
    admin, other, user = new_admin(gateway), new_admin(gateway), gateway.user(0)
    body = {"api_key": user.key_id, "credits": 3}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: give(gateway, admin, body, "k-1"), range(8)))
    assert {each.status_code for each in answers} == {200}
    assert sorted(each.json()["repeated"] for each in answers) == [False, *[True] * 7]
    assert len({each.json()["lot_id"] for each in answers}) == 1
    got = give(gateway, admin, {**body, "credits": 4}, "k-1")
    assert told(got) == (422, "idempotency_key_reused")
    assert give(gateway, other, body, "k-1").json()["repeated"] is False
    for reserved in ("trial", "creation"):
        assert give(gateway, admin, body, reserved).json()["repeated"] is False
    assert gateway.balance(user)["available_nano_usd"] == 12 * 10**9
    for unusable in ("x" * 256, ""):
        assert told(give(gateway, admin, body, unusable)) == (400, "invalid_idempotency_key")


BAD: list[tuple[bytes, str]] = [
    (b"{}", "missing_required_parameter"),
    (b'{"credits": 1}', "missing_required_parameter"),
    (b'{"api_key": 5, "credits": 1}', "invalid_type"),
    *(
        (b'{"api_key": "KEY", "credits": %b}' % amount, "invalid_value")
        for amount in (
            *(b"0", b"-1", b"-0", b"0.0000000001", b"1e99", b"1e-99", b"10000000.000000001"),
            *(b"null", b"true", b"[]", b"{}", b'"NaN"', b'"Infinity"', b'""', b'"1,5"'),
            *(b'"' + b"1" * 50 + b'"', b"1" * 10_000),
        )
    ),
    (b'{"api_key": "KEY", "credits": 1, "reason": "%b"}' % (b"x" * 501), "invalid_value"),
    (b'{"api_key": "KEY", "credits": 1, "reason": "a\\nb"}', "invalid_value"),
]


def test_what_is_no_amount_gives_nothing(gateway: RunningGateway) -> None:
    """Named in a short message (rule: refuse clearly, P4)."""
    admin, user = new_admin(gateway), gateway.user(0)
    for raw, code in BAD:
        got = give(gateway, admin, raw.replace(b"KEY", user.key_id.encode()))
        assert told(got) == (400, code), raw[:100]
        assert len(got.text) < 1_000
    for key in ("nobody", "", "x" * 9_000, "gw_live_" + "x" * 43):
        got = give(gateway, admin, {"api_key": key, "credits": 1})
        assert told(got) == (404, "api_key_not_found")
    assert gateway.balance(user)["granted_nano_usd"] == 0


def test_who_has_left_is_given_nothing(gateway: RunningGateway) -> None:
    """Nobody could spend it (rule: refuse clearly)."""
    admin, person = new_admin(gateway), Person(gateway)
    key = person.register()["api_key"]
    person.leave(key)
    got = give(gateway, admin, {"api_key": key, "credits": 1})
    assert told(got) == (404, "api_key_not_found")


@pytest.mark.parametrize("scope", [None, "admin:users"])
def test_nobody_else_gives_credits(gateway: RunningGateway, scope: str | None) -> None:
    """Neither a user, nor an admin's key without the scope (rule: access)."""
    if scope is None:
        user = gateway.user()
        assert told(give(gateway, user, {"api_key": user.key_id, "credits": 1})) == (
            403,
            "forbidden",
        )
        return
    admin = new_admin(gateway)
    body = {"key_name": "few", "scope_permissions": {"admin": ["users"]}}
    with gateway.client(admin) as client:
        few = client.post("/user/api-keys", json=body).json()["api_key"]
        client.headers["authorization"] = f"Bearer {few}"
        got = client.post(PATH, json={"api_key": admin.key_id, "credits": 1})
    assert told(got) == (403, "insufficient_scope")
