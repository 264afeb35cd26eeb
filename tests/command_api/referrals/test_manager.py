"""Bonuses by a payment, and back by its refund: once, whatever dies, and not for the same card."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.managers import table
from command_api.money import grants
from command_api.money.debits import Debit, Debits
from command_api.referrals import manager
from domain.ledger.lots import DebitKind
from projections.all import PROJECTIONS
from projections.engine.rebuild import rebuild
from tests.support.friends import BEHIND, Friend, friends
from tests.support.harness import USD, eventually
from tests.support.managers import all_done, managing
from tests.support.payments import Shop, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

OTHER_CARD = "5555555555554444"
ADDED, BACK = "10.00 USD were added", "A referral's credits were taken back"


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits, and its managers."""
    with (
        shop(database, tmp_path / "home", upstream, **BEHIND) as made,
        managing(made.gateway.settings, database),
    ):
        yield made
        made.gateway.verified()


def come(store: Shop, count: int = 2) -> list[Friend]:
    """The first has a code, by which all others came."""
    first, *others = friends(store.gateway, count)
    first.come()
    for each in others:
        each.come(first.code())
    return [first, *others]


def buy(store: Shop, friend: Friend, amount: int = 1_000, **more: Any) -> str:
    """A payment that is completed; returns its id."""
    made = store.buy(friend.user, amount, **more)
    eventually(lambda: store.payment(friend.user, made)["status"] == "completed")
    return str(made["payment_id"])


def refund(store: Shop, friend: Friend, payment_id: str, amount: int) -> None:
    """Credits of a payment are taken back."""
    debit = Debit(
        account_id=UUID(friend.user.account_id),
        debit_key=f"refund {payment_id} {amount}",
        amount=amount,
        reason="refunded",
        kind=DebitKind.REFUND,
        payment_id=payment_id,
    )
    asyncio.run(Debits(store.gateway.database, actor="test").take(debit))


def settled(store: Shop) -> None:
    """All that follows is done."""
    eventually(lambda: all_done(store.gateway.database, "referrals"))


def test_both_get_the_bonus_once(store: Shop) -> None:
    """When the payment completes; a mail each; a second purchase gives nothing (P3, P8)."""
    ann, bob = come(store)
    buy(store, bob)
    eventually(lambda: ann.credits() == 10 * USD)
    eventually(lambda: bob.credits() == 20 * USD)
    settled(store)
    eventually(lambda: ADDED in ann.subjects() and ADDED in bob.subjects())
    stats = ann.get("stats")
    assert (stats["completed_bonuses"], stats["total_earned"]) == (1, 10)
    assert stats["referrals"][0]["bonus_date"] is not None
    buy(store, bob)
    settled(store)
    for projection in PROJECTIONS:
        rebuild(store.gateway.database, projection)
    settled(store)
    assert (ann.credits(), bob.credits()) == (10 * USD, 30 * USD)
    assert [each.subjects().count(ADDED) for each in (ann, bob)] == [1, 1]


def test_a_small_purchase_waits_for_a_larger_one(store: Shop) -> None:
    """The first of 10 USD or more counts; a claim after any is too late (P1)."""
    ann, bob = come(store)
    buy(store, bob, 999)
    settled(store)
    assert (ann.credits(), ann.get("stats")["pending_bonuses"]) == (0, 1)
    cid = Friend(store.gateway, "cid", "203.0.113.77")
    cid.come()
    buy(store, cid, 500)
    refused = cid.post("/referral/claim", 400, referral_code=ann.code())
    assert refused["code"] == "already_purchased"
    buy(store, bob, 1_000)
    eventually(lambda: ann.credits() == 10 * USD)


def test_a_refund_takes_both_back_once(store: Shop) -> None:
    """As much as was there; the rest is owed; parts add up (money rule 15)."""
    ann, bob = come(store)
    payment = buy(store, bob)
    eventually(lambda: (ann.credits(), bob.credits()) == (10 * USD, 20 * USD))
    settled(store)
    refund(store, bob, payment, 1 * USD)
    eventually(lambda: (ann.credits(), bob.credits()) == (0, 9 * USD))
    refund(store, bob, payment, 9 * USD)
    settled(store)
    assert (ann.credits(), bob.credits()) == (0, 0)
    stats = ann.get("stats")
    assert (stats["total_earned"], stats["referrals"][0]["status"]) == (0, "taken_back")
    eventually(lambda: BACK in ann.subjects() and BACK in bob.subjects())
    assert [each.subjects().count(BACK) for each in (ann, bob)] == [1, 1]


def test_a_debit_that_is_no_refund_of_the_purchase_takes_nothing(store: Shop) -> None:
    """Another payment's, or one that leaves enough of it (money rule 15)."""
    ann, bob = come(store)
    payment = buy(store, bob, 5_000)
    eventually(lambda: ann.credits() == 10 * USD)
    other = buy(store, bob, 1_000)
    refund(store, bob, other, 10 * USD)
    refund(store, bob, payment, 40 * USD)
    settled(store)
    assert (ann.credits(), bob.credits()) == (10 * USD, 20 * USD)
    refund(store, bob, payment, 1)
    eventually(lambda: ann.credits() == 0)


def test_the_same_card_earns_nothing(store: Shop) -> None:
    """Who pays with the referrer's card; another card does (P1)."""
    ann, bob, cid = come(store, 3)
    buy(store, ann)
    buy(store, bob)
    settled(store)
    assert (ann.credits(), bob.credits()) == (10 * USD, 10 * USD)
    assert ann.get("stats")["referrals"][0]["status"] == "refused"
    buy(store, cid, card=OTHER_CARD)
    eventually(lambda: ann.credits() == 20 * USD)


def test_who_left_earns_nothing(store: Shop) -> None:
    """The referrer is gone as the referee pays: refused, and nobody gets a mail (P1)."""
    ann, bob = come(store)
    ann.leave(ann.user.api_key)
    buy(store, bob)
    settled(store)
    assert bob.credits() == 10 * USD
    with store.gateway.database.connect() as connection:
        state = "SELECT state FROM referral"
        eventually(lambda: connection.execute(state).fetchall() == [("refused",)])


@pytest.mark.parametrize("step", ["first grant", "second grant", "mails"])
def test_what_breaks_between_is_done_later(
    store: Shop, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After the decision, between the grants, before the mails: each once in the end (P2, P3)."""
    ann, bob = come(store)
    real, broken = grants.append_grant, list[str]()

    async def breaking(committer: Any, grant: Any, *, actor: str) -> Any:
        of_referrer = str(grant.account_id) == ann.user.account_id
        if not broken and step == ("first grant" if of_referrer else "second grant"):
            broken.append(step)
            message = "away"
            raise TimeoutError(message)
        return await real(committer, grant, actor=actor)

    told = manager.ReferralManager._told

    async def silent(self: Any, *values: Any) -> Any:
        if not broken and step == "mails":
            broken.append(step)
            message = "away"
            raise TimeoutError(message)
        return await told(self, *values)

    monkeypatch.setattr(manager, "append_grant", breaking)
    monkeypatch.setattr(manager.ReferralManager, "_told", silent)
    buy(store, bob)
    eventually(lambda: (ann.credits(), bob.credits()) == (10 * USD, 20 * USD))
    settled(store)
    assert broken == [step]
    eventually(lambda: [ADDED in each.subjects() for each in (ann, bob)] == [True, True])
    assert [each.subjects().count(ADDED) for each in (ann, bob)] == [1, 1]


def test_while_the_payment_provider_is_away_the_bonus_waits(store: Shop) -> None:
    """It cannot say whose card it was: tried again, and named meanwhile (P10, P12)."""
    ann, bob = come(store)
    asked = store.double.server

    def troubled() -> list[table.Kept]:
        with store.gateway.database.connect() as connection:
            return table.troubled(connection, 10)

    with pytest.MonkeyPatch.context() as patched:

        async def away(*_: Any) -> str:
            message = "Stripe cannot be reached"
            raise TimeoutError(message)

        patched.setattr("providers.payments.stripe_api.Stripe.fingerprint", away)
        buy(store, bob)
        eventually(troubled)
        assert "cannot be reached" in troubled()[0].error
        assert ann.credits() == 0
    assert asked is store.double.server
    eventually(lambda: ann.credits() == 10 * USD)
