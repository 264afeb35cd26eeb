"""Above an amount a second admin decides: never who asked, once, in time; the credits once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from event_store.ids import new_uuid7
from tests.support.admins import ask, new_admin, told
from tests.support.harness import USD, eventually, running_gateway
from tests.support.processes import gatewayz

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

ABOVE = "5"


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One where more than 5 USD need two."""
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, approval_above_usd=ABOVE) as serving:
        yield serving


def send(
    gateway: RunningGateway, by: NewUser, path: str, body: dict[str, Any], key: str = ""
) -> httpx.Response:
    """One POST."""
    with gateway.client(by, **({"idempotency-key": key} if key else {})) as client:
        return client.post(path, json=body)


def give(
    gateway: RunningGateway, by: NewUser, user: NewUser, amount: Any, key: str = ""
) -> httpx.Response:
    """A grant by an admin."""
    body = {"api_key": user.key_id, "credits": amount, "reason": "for the outage"}
    return send(gateway, by, "/admin/add_credits", body, key)


def decide(
    gateway: RunningGateway, by: NewUser, approval: str, how: str = "approve", **body: Any
) -> httpx.Response:
    """A decision."""
    return send(gateway, by, f"/admin/approvals/{approval}/{how}", body)


def granted(gateway: RunningGateway, user: NewUser) -> int:
    """What a user was ever given."""
    amount: int = gateway.balance(user)["granted_nano_usd"]
    return amount


def test_a_large_grant_waits_for_another_admin(gateway: RunningGateway) -> None:
    """Small ones do not; who asked may not approve it; approved it is given once (P3)."""
    ann, bob, user = new_admin(gateway), new_admin(gateway), gateway.user(0)
    assert give(gateway, ann, user, 5).status_code == 200
    asked = give(gateway, ann, user, "5.000000001", "k")
    assert asked.status_code == 202, asked.text
    named, made = asked.json()["approval_id"], asked.json()["made_id"]
    assert granted(gateway, user) == 5 * USD
    assert give(gateway, ann, user, "5.000000001", "k").json()["approval_id"] == named
    assert told(give(gateway, ann, user, 6, "k")) == (422, "idempotency_key_reused")
    assert told(decide(gateway, ann, named)) == (403, "own_request")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: decide(gateway, bob, named), range(4)))
    assert {each.status_code for each in answers} == {200}, answers[0].text
    assert sorted(each.json()["carried_out_now"] for each in answers) == [False] * 3 + [True]
    again = give(gateway, ann, user, "5.000000001", "k")
    assert (again.status_code, again.json()["status"]) == (200, "approved")
    assert granted(gateway, user) == 10 * USD + 1
    assert told(decide(gateway, bob, named, "decline")) == (409, "approval_over")
    logs = ask(gateway, user, "/audit", action="credits.granted").json()["logs"]
    assert (logs[0]["after"]["lot_id"], logs[0]["reason"]) == (made, "for the outage")
    logs = ask(gateway, user, "/audit", action="approval.given").json()["logs"]
    assert [each["actor"] for each in logs] == [f"api_key:{bob.key_id}"]
    gateway.verified()


def test_what_is_declined_or_late_gives_nothing(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither later nor by the same key (rule: bounded)."""
    ann, bob, user = new_admin(gateway), new_admin(gateway), gateway.user(0)
    named = give(gateway, ann, user, 6, "k").json()["approval_id"]
    declined = decide(gateway, bob, named, "decline", reason="too much")
    assert declined.json()["status"] == "declined"
    assert told(decide(gateway, bob, named)) == (409, "approval_over")
    assert told(give(gateway, ann, user, 6, "k")) == (409, "approval_over")
    gone = timedelta(seconds=-1)
    monkeypatch.setattr("command_api.money.approvals.timedelta", lambda **_: gone)
    late = give(gateway, ann, user, 7, "late")
    assert told(late) == (409, "approval_over")
    assert "expired" in late.text
    assert granted(gateway, user) == 0


def test_requests_are_listed_until_they_are_decided(gateway: RunningGateway) -> None:
    """For admins of credits alone (rule: access)."""
    ann, bob, user = new_admin(gateway), new_admin(gateway), gateway.user(0)
    first, second = (give(gateway, ann, user, 6).json()["approval_id"] for _ in range(2))

    def listed(**parameters: Any) -> list[str]:
        found = ask(gateway, bob, "/admin/approvals", **parameters).json()["approvals"]
        return [each["approval_id"] for each in found]

    eventually(lambda: listed() == [second, first])
    decide(gateway, bob, first)
    eventually(lambda: listed() == [second])
    assert listed(status="all", limit=1) == [second]
    assert set(listed(status="all")) == {first, second}
    (row,) = ask(gateway, bob, "/admin/approvals").json()["approvals"]
    assert (row["status"], row["amount_usd"], row["act"]) == ("pending", "6.000000000", "grant")
    assert (row["requested_by"], row["reason"]) == (f"api_key:{ann.key_id}", "for the outage")
    for how in ("approve", "decline"):
        assert told(decide(gateway, user, second, how)) == (403, "forbidden")
        for odd in ("nothing", str(new_uuid7()), "0"):
            assert told(decide(gateway, bob, odd, how)) == (404, "approval_not_found")
        for body in ({"reason": "x" * 501}, {"reason": "a\nb"}, {"more": 1}, {"reason": 5}):
            assert decide(gateway, bob, second, how, **body).status_code == 400
    assert told(ask(gateway, user, "/admin/approvals")) == (403, "forbidden")
    assert ask(gateway, bob, "/admin/approvals", status="x").status_code == 422


def test_a_shell_and_an_admin_decide_for_each_other(
    gateway: RunningGateway, database: Database
) -> None:
    """Never each for themselves; grants and debits, once (P3, rule: access)."""
    ann, user = new_admin(gateway), gateway.user(0)
    home = gateway.settings.installation.home

    def run(*arguments: str, status: int = 0, above: str = ABOVE) -> Any:
        return gatewayz(
            home,
            *arguments,
            status=status,
            GATEWAYZ_DATABASE_URL=database.owner,
            GATEWAYZ_APPROVAL_ABOVE_USD=above,
            GATEWAYZ_SECRET_KEY=gateway.settings.identity.secret_key or "",
        )

    grant = ("grant", user.user_id, "8", "--reason", "shell", "--idempotency-key", "g")
    asked = run(*grant)
    assert (asked["status"], asked["act"], granted(gateway, user)) == ("pending", "grant", 0)
    assert "own request" in run("approvals", "approve", asked["approval_id"], status=1)
    assert decide(gateway, ann, asked["approval_id"]).json()["carried_out_now"]
    assert (run(*grant)["status"], granted(gateway, user)) == ("approved", 8 * USD)
    debit = ("debit", user.user_id, "7", "--reason", "shell", "--idempotency-key", "d")
    asked = run(*debit)
    assert decide(gateway, ann, asked["approval_id"]).json()["carried_out_now"]
    assert gateway.balance(user)["available_nano_usd"] == USD
    assert run("debit", user.user_id, "1", "--reason", "small")["taken_nano_usd"] == USD
    named = [give(gateway, ann, user, 6).json()["approval_id"] for _ in range(2)]
    eventually(lambda: run("approvals", "list")["approval_id"] == named[0])
    assert run("approvals", "approve", named[0])["carried_out_now"]
    assert run("approvals", "approve", named[0])["carried_out_now"] is False
    done = run("approvals", "decline", named[1], "--reason", "one is enough")
    assert (done["status"], granted(gateway, user)) == ("declined", 14 * USD)
    assert "this request is declined" in run("approvals", "approve", named[1], status=1)
    assert "--reason must say why" in run(
        "approvals", "decline", named[1], "--reason", " ", status=1
    )
    assert "no request" in run("approvals", "approve", str(new_uuid7()), status=1)
    assert "a second admin" in run(
        "user", "create", "--email", "x@example.com", "--grant", "6", status=1
    )
    assert run("grant", user.user_id, "9", above="0")["amount_nano_usd"] == 9 * USD
    gateway.verified()


def test_what_a_crash_left_undone_is_offered_again(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approved, and dead before the append: it is listed among what waits until it is done (P2)."""
    ann, bob, user = new_admin(gateway), new_admin(gateway), gateway.user(0)
    named = give(gateway, ann, user, 6).json()["approval_id"]

    def waiting() -> list[tuple[str, str, bool]]:
        rows = ask(gateway, ann, "/admin/approvals").json()["approvals"]
        return [(each["approval_id"], each["status"], each["carried_out"]) for each in rows]

    eventually(lambda: waiting() == [(named, "pending", False)])

    async def dying(*_: Any, **__: Any) -> Any:
        message = "killed"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr("command_api.money.approvals.append_grant", dying)
        assert decide(gateway, bob, named).status_code == 500
    eventually(lambda: waiting() == [(named, "approved", False)])
    assert granted(gateway, user) == 0
    assert decide(gateway, bob, named).status_code == 200
    eventually(lambda: waiting() == [])
    assert granted(gateway, user) == 6 * USD
    rows = ask(gateway, ann, "/admin/approvals", status="all").json()["approvals"]
    assert [each["carried_out"] for each in rows if each["approval_id"] == named] == [True]
