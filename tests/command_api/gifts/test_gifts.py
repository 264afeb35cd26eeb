"""Gifts between members over HTTP: by whom, from which account, how much, and once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from domain.ledger.lots import GrantKind
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.command_api.organisations.test_organisations import CLIENTS, Member, give
from tests.support.harness import USD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    import httpx

    from tests.support.harness import RunningGateway

LOTS = (
    "SELECT kind, priority, expires_at::text, available FROM credit_lot "
    "WHERE account_id = %s AND kind <> 'trial' ORDER BY sequence"
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def send(by: Member, organisation: object, body: Any, key: str = "") -> httpx.Response:
    """A gift, as a client sends it."""
    headers = {"idempotency-key": key} if key else {}
    path = f"/organisations/{organisation}/gifts"
    return by.client.post(path, json=body, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


def account_of(member: Member) -> str:
    """A member's own account."""
    account: str = member.ask("GET", f"/organisations/{member.user_id}")["account_id"]
    return account


def lots(gateway: RunningGateway, account: str | UUID) -> list[tuple[Any, ...]]:
    """What an account has, but for its trial."""
    with gateway.database.connect() as connection:
        return connection.execute(LOTS, [account]).fetchall()


def test_an_organisation_gives_to_its_members(gateway: RunningGateway) -> None:
    """Lots as they are, once a key, seen in the audit of both (money rule 16, P3)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "viewer")
    account = ann.ask("GET", f"/organisations/{of}")["account_id"]
    give(gateway, account, 5 * USD)
    body = {"user_id": bob.user_id, "amount": "2.000000001", "reason": "well done"}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: send(ann, of, body, "k"), range(4)))
    assert {each.status_code for each in answers} == {200}, answers[0].text
    assert sorted(each.json()["repeated"] for each in answers) == [False, True, True, True]
    said = answers[0].json()
    assert (said["amount"], said["from"]) == ("2.000000001", "organisation")
    assert code_of(send(ann, of, {**body, "amount": "1"}, "k")) == (422, "idempotency_key_reused")
    assert lots(gateway, account_of(bob)) == [(GrantKind.PURCHASE, 30, "infinity", 2 * USD + 1)]
    assert lots(gateway, account) == [(GrantKind.PURCHASE, 30, "infinity", 3 * USD - 1)]
    (mine,) = bob.ask("GET", "/audit?action=credits.granted&limit=1")["logs"]
    told = f"gift of user {ann.user_id}: well done"
    assert mine["reason"] == told
    (theirs,) = ann.ask("GET", f"/organisations/{of}/audit?action=credits.debited")["logs"]
    assert (theirs["reason"], theirs["actor"]) == (told, mine["actor"])
    assert verify(gateway.database).differences == []


def test_members_give_of_their_own_and_no_trial(gateway: RunningGateway) -> None:
    """Whoever is a member; what they were given to try stays (money rule 16)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "viewer")
    body = {"user_id": ann.user_id, "amount": "1", "from": "own"}
    assert code_of(send(bob, of, body)) == (402, "insufficient_credits")
    give(gateway, account_of(bob), USD)
    assert send(bob, of, body).status_code == 200
    assert code_of(send(bob, of, body)) == (402, "insufficient_credits")
    assert lots(gateway, account_of(ann)) == [(GrantKind.PURCHASE, 30, "infinity", USD)]
    assert gateway.settings.trial.terms.nano_usd == 10 * USD


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("finance", 200), ("developer", 403), ("viewer", 403)]
)
def test_who_may_give_an_organisations_credits(
    gateway: RunningGateway, role: str, status: int
) -> None:
    """By the table of acts; a project's key never (rule: access)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, role)
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"], USD)
    body = {"user_id": ann.user_id, "amount": "0.5"}
    assert send(bob, of, body).status_code == status
    key = ann.key(ann.project(of))
    refused = key.post(f"/organisations/{of}/gifts", json={**body, "user_id": bob.user_id})
    assert code_of(refused) == (403, "forbidden")


def test_only_members_take_part(gateway: RunningGateway) -> None:
    """Strangers learn nothing, and get nothing (rule: access)."""
    ann, bob, eve = (Member(gateway, name) for name in ("ann", "bob", "eve"))
    of = ann.organisation()
    ann.invites(bob, of, "admin")
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"], USD)
    body = {"user_id": bob.user_id, "amount": "0.5"}
    for organisation in (of, new_uuid7(), "nothing", bob.user_id):
        assert code_of(send(eve, organisation, body)) == (404, "organisation_not_found")
    for user in (eve.user_id, str(new_uuid7()), "x", of):
        assert code_of(send(ann, of, {**body, "user_id": user})) == (404, "member_not_found")
    assert code_of(send(ann, of, {**body, "user_id": ann.user_id})) == (400, "invalid_value")
    own = send(ann, ann.user_id, {**body, "user_id": ann.user_id})
    assert code_of(own) == (400, "invalid_value")
    ann.ask("DELETE", f"/organisations/{of}/members/{bob.user_id}")
    assert code_of(send(ann, of, body)) == (404, "member_not_found")
    assert code_of(send(bob, of, body)) == (404, "organisation_not_found")


def test_a_gift_has_an_end(gateway: RunningGateway) -> None:
    """So much at once, so many a day (rule: bounded)."""
    ann, bob = Member(gateway, "ann"), Member(gateway, "bob")
    of = ann.organisation()
    ann.invites(bob, of, "viewer")
    give(gateway, ann.ask("GET", f"/organisations/{of}")["account_id"], 1_000 * USD)
    body = {"user_id": bob.user_id, "amount": "100"}
    more = send(ann, of, {**body, "amount": "100.000000001"})
    assert code_of(more) == (400, "invalid_value")
    assert "GATEWAYZ_GIFT_USD_MAX" in more.text
    for _ in range(20):
        assert send(ann, of, {**body, "amount": "1"}).status_code == 200
    over = send(ann, of, body)
    assert code_of(over) == (429, "too_many_attempts")
    assert 0 < int(over.headers["retry-after"]) <= 86_400


@pytest.mark.parametrize(
    "change",
    [
        {"amount": amount}
        for amount in (*("0", "-1", "NaN", "1e99", "0.0000000001", "1,5", "", "1" * 41), 5, None)
    ]
    + [{"from": "house"}, {"reason": "x" * 501}, {"reason": "a\nb"}, {"more": 1}, {"user_id": 7}],
)
def test_an_odd_gift_is_refused(gateway: RunningGateway, change: dict[str, Any]) -> None:
    """In a short message (rule: refuse clearly)."""
    ann = Member(gateway, "ann")
    got = send(ann, ann.organisation(), {"user_id": ann.user_id, "amount": "1", **change})
    assert got.status_code == 400, got.text
    assert len(got.text) < 500
    assert code_of(send(ann, ann.user_id, {}))[0] == 400
    assert code_of(send(ann, ann.user_id, {"user_id": "x", "amount": "1"}, "x" * 256)) == (
        400,
        "invalid_idempotency_key",
    )
