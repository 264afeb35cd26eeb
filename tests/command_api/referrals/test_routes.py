"""The routes of referrals: their contract, and every code that is refused."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.friends import BEHIND, Friend, friends
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


@pytest.fixture
def house(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway behind a proxy that says who is who."""
    more = {**BEHIND, "public_url": "https://example.com/", "referral_uses_max": 2}
    with running_gateway(database, tmp_path / "home", upstream, **more) as made:
        yield made
        made.verified()


def test_a_user_has_one_code(house: RunningGateway) -> None:
    """Made when it is first asked for, by many at once too; with a link (rule: contract)."""
    ann = friends(house, 1)[0]
    ann.come()
    found = set[str]()
    asking = [threading.Thread(target=lambda: found.add(ann.code())) for _ in range(6)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    (code,) = found
    assert re.fullmatch(r"[A-Z0-9]{8}", code)
    got = ann.get("code")
    assert got["invite_link"] == f"https://example.com/register?ref={code}"
    assert code in got["share_message"]
    again = ann.post("/referral/generate")
    assert again == {"referral_code": code, "message": "You have this code already."}


def test_who_comes_by_a_code_stands_on_its_owners_page(house: RunningGateway) -> None:
    """The members that clients know; of an address a letter and the host (rule: contract, P5)."""
    ann, bob = friends(house, 2)
    ann.come()
    before = ann.get("stats")
    assert (before["referral_code"], before["referrals"]) == (None, [])
    made = bob.come(ann.code().lower())
    assert made["referral"] == {
        "accepted": True,
        "message": "You came by this code.",
        "error_code": None,
    }
    got = ann.get("stats")
    (one,) = got.pop("referrals")
    assert got == {
        "referral_code": ann.code(),
        "invite_link": f"https://example.com/register?ref={ann.code()}",
        "total_uses": 1,
        "completed_bonuses": 0,
        "pending_bonuses": 1,
        "remaining_uses": 1,
        "max_uses": 2,
        "total_earned": 0,
        "total_earned_nano_usd": 0,
        "current_balance": 0,
        "referred_by_code": None,
    }
    assert one["signed_up_at"] == one["date"]
    assert {each: one[each] for each in one if each not in {"date", "signed_up_at"}} == {
        "user_id": bob.user.user_id,
        "username": "friend1",
        "email": "f***@example.com",
        "status": "pending",
        "bonus_earned": 0,
        "bonus_date": None,
        "reward": 10,
    }
    assert bob.get("stats")["referred_by_code"] == ann.code()


def test_a_bad_code_keeps_nobody_from_registering(house: RunningGateway) -> None:
    """The reply says why it is not taken; one without says nothing (rule: refuse clearly)."""
    ann, bob, cid = friends(house, 3)
    assert "referral" not in ann.come()
    refused = bob.come("NOSUCH00")["referral"]
    assert (refused["accepted"], refused["error_code"]) == (False, "REFERRAL_NOT_FOUND")
    assert cid.come("ÀÀ")["referral"]["error_code"] == "REFERRAL_NOT_FOUND"
    assert cid.register(400, referral_code="x" * 101)["code"] == "invalid_type"


def asked(friend: Friend, code: str) -> str:
    """Why a code is refused, as both routes say it; empty where it is taken."""
    said = friend.post("/referral/validate", referral_code=code)
    claimed = friend.client.post("/referral/claim", json={"referral_code": code})
    assert said["valid"] is (claimed.status_code == 200), (said, claimed.text)
    if said["valid"]:
        return ""
    assert claimed.json()["detail"] == said["message"]
    return str(claimed.json()["code"])


def test_every_refusal_has_a_code(house: RunningGateway) -> None:
    """At validate and at claim alike; validate changes nothing (rule: refuse clearly, P1)."""
    ann, bob, cid, dan = friends(house, 4)
    ann.come()
    code = ann.code()
    assert asked(ann, code) == "own_referral_code"
    assert asked(ann, "NOSUCH00") == "referral_not_found"
    assert asked(ann, "no such") == "referral_not_found"
    bob.come()
    good = bob.post("/referral/validate", referral_code=code)
    assert good == {
        "valid": True,
        "message": "The code is good.",
        "referrer_username": "friend0",
        "referrer_email": "f***@example.com",
    }
    assert ann.get("stats")["total_uses"] == 0
    assert asked(bob, code) == ""
    assert asked(bob, code) == "already_referred"
    assert asked(ann, bob.code()) == "referral_loop"
    alias = Friend(house, "friend0+two", "198.51.100.7")
    alias.name = "alias"
    alias.come()
    assert asked(alias, code) == "referral_same_person"
    near = Friend(house, "near", "203.0.113.1")
    near.come()
    assert asked(near, code) == "referral_same_origin"
    beside = Friend(house, "beside", "203.0.113.2")
    beside.come()
    assert asked(beside, code) == "referral_same_origin"
    cid.come(bob.code())
    assert asked(ann, cid.code()) == "referral_loop"
    dan.come(code)
    eve = Friend(house, "eve", "203.0.113.9")
    eve.come()
    assert asked(eve, code) == "referral_used_up"
    gone = Friend(house, "gone", "203.0.113.10")
    gone.come()
    left = gone.code()
    gone.leave(gone.user.api_key)
    assert asked(eve, left) == "referral_not_found"


def test_of_the_last_use_many_get_one(house: RunningGateway) -> None:
    """At once: the code is used as often as it may be, and by nobody twice (P1)."""
    ann, *others = friends(house, 7)
    ann.come()
    code = ann.code()
    for each in others:
        each.come()
    found: list[int] = []

    def claim(friend: Friend) -> None:
        for _ in range(2):
            got = friend.client.post("/referral/claim", json={"referral_code": code})
            found.append(got.status_code)

    asking = [threading.Thread(target=claim, args=(each,)) for each in others]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert found.count(200) == 2
    assert ann.get("stats")["total_uses"] == 2


def test_codes_cannot_be_tried_without_end(house: RunningGateway) -> None:
    """Thirty an hour (rule: bounded)."""
    ann = friends(house, 1)[0]
    ann.come()
    for _ in range(30):
        ann.post("/referral/validate", referral_code="NOSUCH00")
    assert ann.post("/referral/claim", 429, referral_code="x")["code"] == "too_many_attempts"
    assert ann.post("/referral/validate", 400, referral_code=5)["code"] == "invalid_type"


def test_a_circle_is_not_closed_by_two_at_once(house: RunningGateway) -> None:
    """Two who claim each other's code: one of them came by the other (P1)."""
    ann, bob = friends(house, 2)
    ann.come()
    bob.come()
    codes = [bob.code(), ann.code()]
    found: list[int] = []

    def claim(friend: Friend, code: str) -> None:
        got = friend.client.post("/referral/claim", json={"referral_code": code})
        found.append(got.status_code)

    asking = [
        threading.Thread(target=claim, args=pair) for pair in zip((ann, bob), codes, strict=True)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert sorted(found) == [200, 400]
