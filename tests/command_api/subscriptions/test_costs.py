"""What the money of subscriptions costs: Stripe's fees become facts, once, whatever is told."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from command_api.composition import payments_of
from command_api.money.grants import running_committer
from command_api.subscriptions.returning import InvoiceReturns
from event_store.log.aggregates import Aggregates
from providers.payments.told import read_notice
from tests.command_api.payments.test_webhooks import event, send
from tests.command_api.subscriptions.test_returning import charge_of, refunded
from tests.support.admins import ask, new_admin
from tests.support.harness import USD, eventually
from tests.support.payments import payment_work
from tests.support.subscribing import Club, club

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

CENT = USD // 100


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions."""
    with club(database, tmp_path / "home", upstream) as made:
        yield made
        made.store.gateway.verified()


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """The same, and nobody handles what is told until a test does."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.store.gateway.verified()


def fees(pub: Club) -> list[tuple[str, int]]:
    """What stands in the log of fees: the balance transaction, and the amount in cents."""
    with pub.store.gateway.database.connect() as connection:
        return connection.execute(
            "SELECT f ->> 'source_id', (f ->> 'amount_minor')::int FROM (SELECT "
            "convert_from(state, 'UTF8')::jsonb AS f FROM events "
            "WHERE topic = 'subscription.cost.v1') e ORDER BY 1"
        ).fetchall()


def billed(pub: Club) -> list[tuple[str, int]]:
    """The fees that Stripe took, by its balance transactions."""
    rows = pub.double.get("balance_transactions", limit=100)["data"]
    return sorted((each["id"], each["fee"]) for each in rows if each["fee"])


def books(pub: Club) -> dict[str, int]:
    """The trial balance."""
    got = ask(pub.store.gateway, new_admin(pub.store.gateway), "/finance/trial-balance").json()
    assert got["total_nano_usd"] == 0
    return {each["account"]: each["balance_nano_usd"] for each in got["accounts"]}


def stripe_has(pub: Club) -> int:
    """What Stripe keeps for us, in cents."""
    rows = pub.double.get("balance_transactions", limit=100)["data"]
    return sum(int(each["net"]) for each in rows)


def cleared(pub: Club) -> int:
    """What the books say that Stripe has, nano-USD."""
    found = books(pub)
    returned = sum(amount for name, amount in found.items() if name.startswith("returned:"))
    return -found["clearing:stripe"] - returned


@pytest.mark.parametrize("seed", range(2))
def test_clearing_is_what_stripe_has_of_subscriptions(pub: Club, seed: int) -> None:
    """Two periods, a refund, a dispute that is lost and a purchase; each event three times, under
    ids of its own, in any order (P4, P3, money rule 18).
    """
    user, other = pub.store.gateway.user(0), pub.store.gateway.user(0)
    pub.join(user)
    pub.join(other, "price_max")
    odd = pub.double.webhooks.misbehaviour
    odd.copies, odd.other_ids, odd.shuffle, odd.paused = 3, True, random.Random(seed), True
    charge = charge_of(pub)
    refunded(pub, charge_of(pub, 1), 700)
    dispute = pub.store.act("dispute", charge["id"], "fraudulent")
    pub.store.act("close_dispute", dispute["id"], won=False)
    pub.store.buy(user, 900)
    odd.paused = False
    pub.until("2027-03-01")
    assert len(pub.waits(4)) == 4
    costs = fees(pub)
    assert len(costs) == 5
    assert set(costs) < set(billed(pub))
    eventually(lambda: cleared(pub) == stripe_has(pub) * CENT)
    assert books(pub)["fees:stripe"] == -sum(fee for _, fee in billed(pub)) * CENT
    assert "failed" not in pub.store.inbox()


def test_a_fee_told_first_waits_for_its_subscription(idle: Club) -> None:
    """The charge is told before anything else of it is known here (P3, P12)."""
    user = idle.store.gateway.user(0)
    idle.double.webhooks.misbehaviour.paused = True
    assert idle.double.pay(idle.page(user)["url"]).status_code == 200
    with payment_work(idle.store.gateway.settings, idle.store.gateway.database):
        send(idle.store, event("charge.succeeded", charge_of(idle)))
        eventually(lambda: "not known here yet" in (idle.store.inbox("error") or [""])[0])
        assert fees(idle) == []
        idle.double.webhooks.misbehaviour.paused = False
        idle.waits(1)
        eventually(lambda: fees(idle) == billed(idle))


def test_one_event_of_a_charge_is_enough_late_or_twice(pub: Club) -> None:
    """`charge.updated` alone, long after, and again (P3, money rule 18)."""
    pub.join(pub.store.gateway.user(0))
    pub.double.webhooks.url = None
    pub.until("2027-03-01")
    assert len(fees(pub)) == 1
    newest = max(pub.double.get("charges")["data"], key=lambda each: int(each["created"]))
    for name in ("evt_late", "evt_later"):
        send(pub.store, {**event("charge.updated", newest), "id": name})
    eventually(lambda: fees(pub) == billed(pub))
    pub.store.settled()
    assert len(fees(pub)) == 2


def test_what_is_nobodys_or_absurd_costs_nothing(pub: Club) -> None:
    """Charges of other products, unpaid ones, transactions that are not there (P2)."""
    pub.join(pub.store.gateway.user(0))
    pub.waits(1)
    pub.double.webhooks.url = None
    charge, before = charge_of(pub), fees(pub)
    absurd: tuple[dict[str, Any], ...] = (
        {"customer": "cus_other"}, {"customer": None}, {"paid": False}, {"paid": "true"},
        {"balance_transaction": None}, {"balance_transaction": 10**30},
        {"payment_intent": None}, {"payment_intent": "pi_none"},
        {"balance_transaction": "txn_none"},
    )  # fmt: skip
    for n, more in enumerate(absurd):
        send(pub.store, event("charge.succeeded", {**charge, "id": f"ch_{n}", **more}))
    pub.store.settled()
    assert fees(pub) == before
    assert [each for each in pub.store.inbox("error") if each] == [
        "not_there: No such balance_transaction: 'txn_none'"
    ]


def test_two_handlers_of_one_charge_note_one_fee(pub: Club) -> None:
    """Four of processes of their own, at one instant (P1, P3)."""
    pub.join(pub.store.gateway.user(0))
    pub.double.webhooks.url = None
    pub.until("2027-03-01")
    newest = max(pub.double.get("charges")["data"], key=lambda each: int(each["created"]))
    gateway, together = pub.store.gateway, threading.Barrier(4)

    async def handled() -> None:
        events = await asyncio.to_thread(Aggregates, gateway.database)
        provider = payments_of(gateway.settings)
        assert provider is not None
        notice = read_notice(msgspec.json.encode(event("charge.succeeded", newest)))
        assert notice.thing is not None
        try:
            async with running_committer(gateway.database) as committer:
                made = gateway.database.connect, events, committer, provider
                handler = InvoiceReturns(*made, gateway.settings.payments.offers)
                assert await handler.handle(notice, notice.thing, notice.happened_at)
        finally:
            await provider.close()
            await asyncio.to_thread(events.close)

    def one(_: int) -> None:
        together.wait()
        asyncio.run(handled())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert fees(pub) == billed(pub)
