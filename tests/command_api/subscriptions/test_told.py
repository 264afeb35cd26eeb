"""What Stripe tells of subscriptions, handled by several at once, cut off, or made up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from eventsourcing.persistence import IntegrityError

from command_api.composition import payments_of
from command_api.money.grants import running_committer
from command_api.subscriptions.handling import Subscribing
from domain.errors import DomainError
from domain.subscriptions.allowance import AbsurdInvoiceError
from event_store.log.aggregates import Aggregates
from providers.payments.told import read_notice
from tests.support.harness import USD
from tests.support.subscribing import Club, club, second

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

PRO = 20 * USD


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that hears nothing; what is handled is up to the test."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        made.double.webhooks.url = None
        yield made
        made.store.gateway.verified()


@asynccontextmanager
async def handling(pub: Club) -> AsyncIterator[Subscribing]:
    """A handler with connections of its own, as a process has one."""
    gateway = pub.store.gateway
    events = await asyncio.to_thread(Aggregates, gateway.database)
    provider = payments_of(gateway.settings)
    assert provider is not None
    try:
        async with running_committer(gateway.database) as committer:
            offers = gateway.settings.payments.offers
            yield Subscribing(gateway.database.connect, events, committer, provider, offers)
    finally:
        await provider.close()
        await asyncio.to_thread(events.close)


def told(pub: Club, kind: str, change: Callable[[Any], None] = lambda _: None) -> tuple[Any, ...]:
    """The last event of a kind, with a change that a liar made."""
    events = pub.double.get("events", limit=100)["data"]
    found = next(each for each in events if each["type"] == kind)
    change(found["data"]["object"])
    notice = read_notice(msgspec.json.encode(found))
    return notice, notice.thing, notice.happened_at


def paid(pub: Club) -> Any:
    """A user who subscribed and paid; the gateway was told nothing."""
    user = pub.store.gateway.user(0)
    assert pub.double.pay(pub.page(user)["url"]).status_code == 200
    return user


def test_two_handlers_at_one_instant_give_once(pub: Club) -> None:
    """Eight, of processes of their own, each with all that was told (P3)."""
    user = paid(pub)
    kinds = ("invoice.paid", "customer.subscription.updated", "customer.subscription.created")
    all_told = [told(pub, kind) for kind in kinds]

    async def one(number: int) -> None:
        async with handling(pub) as handler:
            for n in range(len(all_told)):
                assert await handler.handle(*all_told[(n + number) % len(all_told)])

    async def run() -> None:
        await asyncio.gather(*(one(number) for number in range(4)))

    asyncio.run(run())
    assert pub.allowances() == [(PRO, "2027-02-28T12:00:00.000000Z")]
    assert pub.tier(user) == "pro"


def test_who_dies_between_lot_and_record_leaves_one_lot(
    pub: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one gives the same lot, and writes down that it is paid (P2, P3)."""
    user = paid(pub)

    class Died(BaseException):
        """The process is gone."""

    def die(*_: object) -> None:
        raise Died

    async def run() -> None:
        async with handling(pub) as handler:
            with monkeypatch.context() as patched:
                patched.setattr(handler._events, "append", die)
                with pytest.raises(Died):
                    await handler.handle(*told(pub, "invoice.paid"))
            assert pub.tier(user) == "basic"
            for _ in range(2):
                assert await handler.handle(*told(pub, "invoice.paid"))

    asyncio.run(run())
    assert [each[0] for each in pub.allowances()] == [PRO]
    assert pub.tier(user) == "pro"


def test_a_change_that_is_told_first_asks_for_its_period(pub: Club) -> None:
    """What nothing told of is asked for; where nobody answers, it waits with its reason (P10)."""
    paid(pub)
    subscription = pub.double.get("subscriptions")["data"][0]
    pub.double.server.advance_to(second("2027-02-14T12:00:00"))
    item = subscription["items"]["data"][0]["id"]
    pub.double.post(
        f"subscriptions/{subscription['id']}",
        proration_behavior="always_invoice",
        **{"items[0][id]": item, "items[0][price]": "price_max"},
    )
    change = told(pub, "invoice.paid")

    async def run() -> None:
        async with handling(pub) as handler:
            handler._provider, provider = None, handler._provider
            with pytest.raises(DomainError, match="no period is known"):
                await handler.handle(*change)
            handler._provider = provider
            for _ in range(2):
                assert await handler.handle(*change)

    asyncio.run(run())
    assert [each[0] for each in pub.allowances()] == [65 * USD]


def test_made_up_objects_give_nothing(pub: Club) -> None:
    """Other people's customers, foreign products, absurd quantities and amounts (P10)."""
    user = paid(pub)

    def line(**members: Any) -> Callable[[Any], None]:
        return lambda thing: thing["lines"]["data"][0].update(members)

    def ours(thing: Any) -> None:
        price = {"price": "price_pro", "product": "prod_other"}
        thing["lines"]["data"][0]["pricing"]["price_details"] = price

    passed_over: list[Callable[[Any], None]] = [
        lambda thing: thing.update(customer="cus_other"),
        lambda thing: thing.update(customer=None),
        lambda thing: thing.update(customer="c" * 300),
        lambda thing: thing.update(parent=None),
        lambda thing: thing.update(lines=[]),
        ours,
    ]
    refused: list[Callable[[Any], None]] = [
        line(quantity=10**30),
        line(quantity=-5),
        line(quantity=0),
        line(amount="1500"),
        line(period={"start": 10, "end": 5}),
        line(period={"start": -1, "end": 10**30}),
        lambda thing: thing.update(amount_paid=-1),
        lambda thing: thing.update(amount_paid=10**30),
        lambda thing: thing.update(currency="dollars"),
        lambda thing: thing["lines"].update(has_more=True),
    ]
    nothing = line(amount=0)
    gift = line(amount=-1_500)

    async def run() -> None:
        async with handling(pub) as handler:
            for change in passed_over:
                assert not await handler.handle(*told(pub, "invoice.paid", change))
            for change in refused:
                with pytest.raises(AbsurdInvoiceError):
                    await handler.handle(*told(pub, "invoice.paid", change))
            for change in (nothing, gift):
                assert await handler.handle(*told(pub, "invoice.paid", change))
            kind = "customer.subscription.updated"
            for bad in ("golden", None, 7):
                change = _status(bad)
                assert not await handler.handle(*told(pub, kind, change))
            foreign = told(pub, kind, _product)
            assert await handler.handle(*foreign)

    asyncio.run(run())
    assert pub.allowances() == []
    assert (pub.tier(user), pub.store.granted(user)) == ("basic", 0)


def _status(value: Any) -> Callable[[Any], None]:
    return lambda thing: thing.update(status=value)


def _product(thing: Any) -> None:
    thing["items"]["data"][0]["price"]["product"] = "prod_other"


def test_who_is_always_too_late_tries_again_later(
    pub: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict is of the moment: the inbox keeps the event (P2)."""
    paid(pub)

    def conflict(*_: object) -> None:
        raise IntegrityError

    async def run() -> None:
        async with handling(pub) as handler:
            monkeypatch.setattr(handler._events, "append", conflict)
            for kind in ("invoice.paid", "customer.subscription.updated"):
                with pytest.raises(Exception, match="at this moment"):
                    await handler.handle(*told(pub, kind))

    asyncio.run(run())
    assert len(pub.allowances()) == 1
