"""Accounts that are topped up by themselves, with the double in Stripe's place."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.composition import billing_of, payments_of, vault_of
from command_api.money.grants import Grants, running_committer
from command_api.payments.crediting import Crediting
from command_api.topups import charging as module
from command_api.topups.charging import Charging
from domain.ledger.lots import TrialTerms
from domain.topups.topups import TopUps, replay_top_ups, top_up_stream
from event_store.log.aggregates import Aggregates
from providers.payments.port import PaymentsUnavailableError
from providers.stripe_double.handler import Outage
from tests.command_api.payments.test_missed import whys
from tests.doubles.stripe import CARD
from tests.support.harness import USD, eventually
from tests.support.managers import managing
from tests.support.payments import payment_work
from tests.support.subscribing import Club, club

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

WANTED = {"enabled": True, "threshold": 1_000, "amount": 2_000, "monthly_cap": 5_000}
FAILS_LATER, ALWAYS_ASKED = "4000000000000341", "4000002760003184"
PATH = "/user/auto-top-up"


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway; who looks after accounts is up to the test."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.store.gateway.verified()


def put(pub: Club, user: NewUser, **members: Any) -> Any:
    """What the user wants."""
    with pub.store.gateway.client(user) as client:
        return client.put(PATH, json={**WANTED, **members})


def shown(pub: Club, user: NewUser) -> Any:
    """What the user sees of it."""
    with pub.store.gateway.client(user) as client:
        return client.get(PATH).json()


def with_card(pub: Club, card: str = CARD, usd: int = 0) -> NewUser:
    """A user who left a card."""
    user = pub.store.gateway.user(usd)
    url = pub.page(user, "", mode="setup")["url"]
    if pub.double.pay(url, card).json()["status"] == "requires_action":
        pub.double.authenticate(url)
    with payment_work(pub.store.gateway.settings, pub.store.gateway.database):
        eventually(lambda: shown(pub, user)["has_saved_card"])
    return user


@asynccontextmanager
async def charging(pub: Club) -> AsyncIterator[Charging]:
    """One with connections of its own, as a process has them."""
    gateway = pub.store.gateway
    settings, database = gateway.settings, gateway.database
    billing, provider = billing_of(settings), payments_of(settings)
    assert billing is not None and provider is not None
    events = await asyncio.to_thread(Aggregates, database)
    try:
        async with running_committer(database) as committer:
            vault, observe = vault_of(settings, database), Crediting(events, committer).observe
            yield Charging(database.connect, events, vault, billing, provider, observe)
    finally:
        await billing.close()
        await provider.close()
        await asyncio.to_thread(events.close)


def look_after(pub: Club, user: NewUser, times: int = 1) -> None:
    """One look of one process, or several after each other."""

    async def run() -> None:
        async with charging(pub) as one:
            for _ in range(times):
                await once(one, user)

    asyncio.run(run())


async def once(one: Charging, user: NewUser) -> None:
    """Look at the account, and charge what is under way then."""
    await asyncio.to_thread(one.look, user.account_id)
    state = await asyncio.to_thread(one._state, user.account_id)
    if state.under_way is not None:
        await one.charge(user.account_id, state.under_way.payment_id)


def state_of(pub: Club, user: NewUser) -> TopUps:
    """The state, from the log."""
    events = Aggregates(pub.store.gateway.database)
    try:
        return replay_top_ups(events.events_of(top_up_stream(user.account_id)))
    finally:
        events.close()


def test_too_little_is_topped_up_to_the_cap(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """By the process in the background: twice 20 USD, and the third would pass 50 (P4)."""
    with (
        club(database, tmp_path / "home", upstream) as pub,
        managing(pub.store.gateway.settings, database),
    ):
        user = pub.store.gateway.user(0)
        assert shown(pub, user)["enabled"] is False
        pub.double.pay(pub.page(user, "", mode="setup")["url"])
        eventually(lambda: shown(pub, user)["has_saved_card"])
        assert put(pub, user, threshold=3_000).status_code == 200
        eventually(lambda: pub.store.granted(user) == 40 * USD)
        eventually(lambda: not shown(pub, user)["under_way"])
        seen = shown(pub, user)
        assert (seen["charged_this_month"], seen["failures"]) == (4_000, 0)
        pub.store.settled()
        payments = pub.store.get(user, "payments").json()["payments"]
        assert [each["status"] for each in payments] == ["completed"] * 2
        charged = pub.double.get("payment_intents", limit=100)["data"]
        assert [each["amount_received"] for each in charged] == [2_000, 2_000]
        assert whys(pub.store) == []
        pub.store.gateway.verified()


def test_many_processes_charge_once(pub: Club) -> None:
    """Eight that see too little at the same instant (P3)."""
    user = with_card(pub)
    put(pub, user, threshold=3_000)

    async def one() -> None:
        async with charging(pub) as each:
            await once(each, user)

    async def run() -> None:
        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(run())
    intents = pub.double.get("payment_intents", limit=100)["data"]
    assert [each["status"] for each in intents].count("succeeded") == len(intents)
    assert pub.store.granted(user) == 20 * USD * len(intents)
    assert sum(state_of(pub, user).charged.values()) == 2_000 * len(intents) <= 5_000
    look_after(pub, user, 3)
    assert pub.store.granted(user) == 40 * USD


def test_a_trial_keeps_nobody_from_a_top_up(pub: Club) -> None:
    """Its credits end, and a subscription bars them: nobody can count on them (money rule 10)."""
    user, gateway = with_card(pub), pub.store.gateway
    grants = Grants(gateway.database, actor="test")
    assert asyncio.run(grants.give_trial(UUID(user.account_id), TrialTerms()))
    put(pub, user)
    look_after(pub, user)
    assert pub.store.granted(user) == TrialTerms().nano_usd + 20 * USD


@pytest.mark.parametrize("where", ["charge", "observe", "end"])
def test_who_dies_leaves_what_the_next_ends(
    pub: Club, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """After Stripe took the money, after the credits: one charge, and clean books (P2, P3)."""
    user = with_card(pub)
    put(pub, user)

    class Died(BaseException):
        """The process is gone."""

    async def gone(*_: object) -> None:
        raise Died

    async def run() -> None:
        async with charging(pub) as one:
            if where == "charge":
                assert one._providers is not None
                billing, taken = one._providers[0], one._providers[0].charge

                async def charge(wish: Any) -> Any:
                    await taken(wish)
                    raise Died

                monkeypatch.setattr(billing, "charge", charge)
            elif where == "observe":
                monkeypatch.setattr(one, "_observe", gone)
            else:
                monkeypatch.setattr(one, "_end", lambda *_: (_ for _ in ()).throw(Died))
            with pytest.raises(BaseException):  # noqa: B017, PT011 - a thread wraps it
                await once(one, user)

    asyncio.run(run())
    assert state_of(pub, user).under_way
    look_after(pub, user)
    assert (state_of(pub, user).under_way, pub.store.granted(user)) == (None, 20 * USD)
    assert len(pub.double.get("payment_intents")["data"]) == 1
    assert whys(pub.store) == []


def test_declines_back_off_and_end_with_a_mail(pub: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three, each later than the one before; what failed is not in the cap (rule: bounded)."""
    user = with_card(pub, FAILS_LATER)
    put(pub, user)
    look_after(pub, user, 3)
    seen = shown(pub, user)
    assert (seen["failures"], seen["charged_this_month"], seen["enabled"]) == (1, 0, True)
    assert seen["again_at"]
    assert len(pub.double.get("payment_intents")["data"]) == 1
    monkeypatch.setattr(module, "WAITS_S", (0,))
    put(pub, user, monthly_cap=6_000)
    look_after(pub, user, 5)
    seen = shown(pub, user)
    assert (seen["enabled"], seen["switched_off_because"]) == (False, "card_declined")
    assert len(pub.double.get("payment_intents")["data"]) == 4
    assert mails(pub) == 1
    assert pub.store.granted(user) == 0
    payments = pub.store.get(user, "payments").json()["payments"]
    assert {each["status"] for each in payments} == {"requires_payment_method"}


def mails(pub: Club) -> int:
    """Mails that wait, or were sent, of this kind."""
    home = pub.store.gateway.settings.installation.home
    with pub.store.gateway.database.connect() as connection:
        (count,) = connection.execute("SELECT count(*) FROM mail_outbox").fetchone() or (0,)
    sent = [each for each in home.glob("mail/*.eml") if "top-ups" in each.read_text()]
    return int(count) + len(sent)


def test_a_card_that_asks_its_owner_is_switched_off_at_once(pub: Club) -> None:
    """Nobody is there to be asked (P10)."""
    user = with_card(pub, ALWAYS_ASKED)
    put(pub, user)
    look_after(pub, user, 2)
    seen = shown(pub, user)
    assert (seen["enabled"], seen["switched_off_because"]) == (False, "authentication_required")
    assert pub.store.granted(user) == 0


def test_while_stripe_is_away_it_waits(pub: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it had heard: one charge in the end; after a day nobody guesses (P12, P10)."""
    user = with_card(pub)
    put(pub, user)
    for outage in (Outage.REFUSED, Outage.LOST):
        pub.double.server.outage = outage
        with pytest.raises(PaymentsUnavailableError):
            look_after(pub, user)
    assert (state_of(pub, user).under_way is not None, pub.store.granted(user)) == (True, 0)
    pub.double.server.outage = Outage.NONE
    look_after(pub, user)
    assert pub.store.granted(user) == 20 * USD
    assert len(pub.double.get("payment_intents")["data"]) == 1
    put(pub, user, threshold=3_000)
    pub.double.server.outage = Outage.REFUSED
    with pytest.raises(PaymentsUnavailableError):
        look_after(pub, user)
    pub.double.server.outage = Outage.NONE
    monkeypatch.setattr(module, "KEPT_HOURS", -1)
    look_after(pub, user)
    assert shown(pub, user)["switched_off_because"] == "unresolved"
    assert pub.store.granted(user) == 20 * USD


HOSTILE: list[dict[str, Any]] = [
    {"amount": 499},
    {"amount": -2_000},
    {"amount": 10**30},
    {"threshold": -1},
    {"monthly_cap": 1_999},
    {"monthly_cap": 10**9},
    {"amount": 20.5},
    {"enabled": "yes"},
    {"method_id": "pm_of_somebody_else"},
]


def test_hostile_settings_are_refused(pub: Club) -> None:
    """Each with what to do; nothing is kept of them (rule: refuse clearly)."""
    user = pub.store.gateway.user(0)
    bare = put(pub, user)
    assert (bare.status_code, bare.json()["code"]) == (409, "no_saved_card")
    for members in HOSTILE:
        got = put(pub, user, **members)
        assert got.status_code == 400, (members, got.text)
    with pub.store.gateway.client(user) as client:
        never = client.put(PATH, json={"enabled": False})
    assert (never.status_code, state_of(pub, user).version) == (200, 0)
    off = put(pub, user, enabled=False)
    assert (off.status_code, off.json()["enabled"]) == (200, False)
    with pub.store.gateway.client(user) as client:
        again = client.put(PATH, json={"threshold": 600})
    assert (again.json()["threshold"], again.json()["amount"]) == (600, 2_000)
    assert again.json()["enabled"] is False
    look_after(pub, user)
    assert state_of(pub, user).under_way is None
