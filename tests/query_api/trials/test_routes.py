"""What is shown of trials."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.money.grants import Grant, Grants
from domain.ledger.lots import GrantKind, TrialTerms
from tests.support.admins import ask, new_admin, told
from tests.support.harness import eventually

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

TERMS = TrialTerms()


def on_trial(gateway: RunningGateway, terms: TrialTerms = TERMS) -> NewUser:
    """A user with a trial and nothing else."""
    user = gateway.user(0)
    grants = Grants(gateway.database, actor="test")
    assert asyncio.run(grants.give_trial(UUID(user.account_id), terms))
    return user


def buy(gateway: RunningGateway, user: NewUser) -> None:
    """Credits that were paid for."""
    grant = Grant(
        account_id=UUID(user.account_id), amount=10**9, kind=GrantKind.PURCHASE, reason="test"
    )
    asyncio.run(Grants(gateway.database, actor="test").give(grant))


def end_trials(gateway: RunningGateway, *users: NewUser) -> None:
    """As if their time were over."""
    accounts = [user.account_id for user in users]
    with gateway.database.connect_as_owner() as connection:
        ((table,),) = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'read_credit_lot_v%' AND relkind = 'r'"
        ).fetchall()
        ending = (
            f"UPDATE {table} SET expires_at = booking_clock() "
            "WHERE kind = 'trial' AND account_id = ANY (%s::uuid[])"
        ).encode()
        eventually(lambda: connection.execute(ending, [accounts]).rowcount == len(accounts))


def status(gateway: RunningGateway, user: NewUser) -> dict[str, Any]:
    """What GET /trial/status says."""
    got = ask(gateway, user, "/trial/status")
    assert (got.status_code, got.json()["success"]) == (200, True)
    found: dict[str, Any] = got.json()["trial_status"]
    return found


def test_a_trial_is_shown_as_the_ledger_has_it(gateway: RunningGateway) -> None:
    """Tokens, requests and credits that are left, exactly (money rule 10, P4)."""
    user = on_trial(gateway)
    found = status(gateway, user)
    assert (found["is_valid"], found["is_trial"], found["is_expired"]) == (True, True, False)
    assert (found["remaining_tokens"], found["remaining_requests"]) == (100_000, 1_000)
    assert found["remaining_credits"] == 10.0
    assert "error" not in found
    answer = gateway.chat(user, {})
    assert answer.status_code == 200
    settled = gateway.story(user, answer)["settled_nano_usd"]
    found = status(gateway, user)
    assert (found["remaining_tokens"], found["remaining_requests"]) == (99_985, 999)
    assert round(found["remaining_credits"] * 10**9) == 10 * 10**9 - settled


def test_a_trial_is_counted_exactly(gateway: RunningGateway) -> None:
    """Twelve calls at once on a trial of five: five, and nothing counted beyond (money rule 13)."""
    user = on_trial(gateway, TERMS._replace(requests=5))
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: gateway.chat(user, {"max_tokens": 5}), range(12)))
    assert sorted(each.status_code for each in answers) == [*[200] * 5, *[429] * 7]
    found = status(gateway, user)
    assert (found["remaining_requests"], found["is_valid"]) == (0, False)
    assert found["remaining_tokens"] == 100_000 - 5 * 15
    gateway.verified()


def test_why_a_trial_is_over_is_said(gateway: RunningGateway) -> None:
    """Of requests, tokens or credits what there is no more; none at all too (rule: contract)."""
    for terms, word in (
        (TERMS._replace(requests=0), "requests"),
        (TERMS._replace(tokens=0), "tokens"),
    ):
        found = status(gateway, on_trial(gateway, terms))
        assert found["is_valid"] is False
        assert word in found["error"]
    found = status(gateway, gateway.user())
    assert (found["is_valid"], found["is_trial"], found["trial_end_date"]) == (False, False, None)
    user = on_trial(gateway)
    buy(gateway, user)
    found = status(gateway, user)
    assert (found["is_valid"], found["is_trial"]) == (True, False)


def test_admins_see_how_trials_go(gateway: RunningGateway) -> None:
    """Each is under way, over, or was followed by a purchase (rule: contract, P4)."""
    admin = new_admin(gateway)
    got = ask(gateway, admin, "/admin/trial/analytics").json()
    assert got["analytics"]["conversion_rate"] == 0.0
    users = [on_trial(gateway) for _ in range(4)]
    buy(gateway, users[0])
    answers = [gateway.chat(each, {}) for each in users[:2]]
    spent = sum(
        gateway.story(*each)["settled_nano_usd"] for each in zip(users, answers, strict=False)
    )
    end_trials(gateway, users[0], users[2])
    found = ask(gateway, admin, "/admin/trial/analytics").json()["analytics"]
    assert found["total_trials"] == 4
    assert found["trial_status_breakdown"] == {"active": 2, "expired": 1, "converted": 1}
    assert [found[f"{each}_trials"] for each in ("active", "expired", "converted")] == [2, 1, 1]
    assert found["conversion_rate"] == 25.0
    use = found["usage_statistics"]
    assert (use["total_requests"], use["total_tokens"]) == (2, 30)
    assert round(use["total_credits"] * 10**9) == spent
    assert use["total_credits_granted"] == 40.0
    assert found["average_usage_per_trial"]["tokens"] == 7
    assert told(ask(gateway, users[1], "/admin/trial/analytics")) == (403, "forbidden")
