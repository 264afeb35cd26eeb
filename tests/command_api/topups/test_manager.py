"""The process manager of top-ups: woken by the log, once a cause, over deaths and replays."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.composition import billing_of, payments_of, vault_of
from command_api.identity.people import People
from command_api.managers.host import ManagerHost
from command_api.money.debits import Debit, Debits
from command_api.money.grants import Grant, Grants, running_committer
from command_api.processes.managing import managers_of
from command_api.topups import charging as module
from domain.ledger.lots import DebitKind, GrantKind
from event_store.ids import to_iso
from projections.all import PROJECTIONS
from projections.engine.rebuild import rebuild
from tests.command_api.topups.test_topping_up import (
    FAILS_LATER,
    put,
    shown,
    state_of,
    with_card,
)
from tests.support.harness import USD, eventually
from tests.support.managers import all_done, managing
from tests.support.subscribing import Club, club

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from command_api.managers.manager import Manager
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

ALL = {"threshold": 3_000, "monthly_cap": 10_000}


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway whose managers a test runs."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.store.gateway.verified()


def give(pub: Club, user: NewUser, amount: int, hours: float | None = None) -> None:
    """Credits that end in so many hours."""
    ends = None if hours is None else to_iso(datetime.now(UTC) + timedelta(hours=hours))
    grant = Grant(
        account_id=UUID(user.account_id),
        amount=amount,
        kind=GrantKind.BONUS,
        reason="test",
        expires_at=ends,
    )
    asyncio.run(Grants(pub.store.gateway.database, actor="test").give(grant))


def wishes(pub: Club) -> list[tuple[str, bool]]:
    """Of the top-ups: keys, and whether each is a timer."""
    with pub.store.gateway.database.connect() as connection:
        return connection.execute(
            "SELECT key, due_at > booking_clock() FROM manager_wish WHERE manager = 'top_ups' "
            "ORDER BY key"
        ).fetchall()


def slept_until(pub: Club) -> str:
    """Until when the one account hears nothing of its balance."""
    with pub.store.gateway.database.connect() as connection:
        rows = connection.execute("SELECT asleep_until::text FROM auto_top_up").fetchall()
    ((found,),) = rows
    return str(found)


def charges(pub: Club) -> int:
    """Payments that Stripe was asked for."""
    return len(pub.double.get("payment_intents", limit=100)["data"])


def quiet(pub: Club) -> bool:
    """All is heard and done, and nothing is being done."""
    return all_done(pub.store.gateway.database, "top_ups")


def test_a_call_that_leaves_too_little_wakes_it(pub: Club) -> None:
    """And one that leaves enough does not: nothing is kept of it, and nobody looks (P3)."""
    user, gateway = with_card(pub, usd=11 * USD), pub.store.gateway
    with managing(gateway.settings, gateway.database):
        put(pub, user, threshold=1_099)
        eventually(lambda: quiet(pub))
        assert gateway.chat(user, {}).status_code == 200
        eventually(lambda: quiet(pub))
        assert (charges(pub), wishes(pub), state_of(pub, user).version) == (0, [], 1)
        put(pub, user, threshold=1_100)
        eventually(lambda: state_of(pub, user).version == 4)
        eventually(lambda: quiet(pub))
        assert pub.store.granted(user) == 31 * USD
        looks: list[str] = []
        real = module.Charging.look

        def look(self: module.Charging, account_id: str) -> module.Looked:
            looks.append(account_id)
            return real(self, account_id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.Charging, "look", look)
            other = gateway.user(1 * USD)
            assert gateway.chat(other, {}).status_code == 200
            debit(pub, user, 19 * USD)
            eventually(lambda: quiet(pub))
            assert looks == []
            debit(pub, user, 2 * USD)
            eventually(lambda: pub.store.granted(user) == 51 * USD)
    assert (charges(pub), looks[0]) == (2, user.account_id)


def debit(pub: Club, user: NewUser, amount: int) -> None:
    """An admin takes something."""
    wanted = Debit(
        account_id=UUID(user.account_id),
        debit_key=f"test {datetime.now(UTC)}",
        amount=amount,
        reason="test",
        kind=DebitKind.ADMIN_DEBIT,
    )
    asyncio.run(Debits(pub.store.gateway.database, actor="test").take(wanted))


def test_neither_a_rebuild_nor_a_replay_charges_again(pub: Club) -> None:
    """Every read model, then the manager from the log's beginning (P3, P8)."""
    user, gateway = with_card(pub), pub.store.gateway
    with managing(gateway.settings, gateway.database):
        put(pub, user)
        eventually(lambda: pub.store.granted(user) == 20 * USD)
        eventually(lambda: quiet(pub))
    for projection in PROJECTIONS:
        rebuild(gateway.database, projection)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE process_manager SET position = 0 WHERE name = 'top_ups'")
    with managing(gateway.settings, gateway.database):
        eventually(lambda: quiet(pub))
    assert (charges(pub), pub.store.granted(user)) == (1, 20 * USD)
    assert state_of(pub, user).version == 3


def test_a_months_turn_releases_the_cap(pub: Club) -> None:
    """It sleeps until then, whatever is spent, and is woken by a timer (P4, rule: bounded)."""
    user, gateway = with_card(pub), pub.store.gateway
    with managing(gateway.settings, gateway.database):
        put(pub, user, threshold=3_000, monthly_cap=2_000)
        eventually(lambda: "infinity" not in slept_until(pub) and quiet(pub))
        ((key, timer),) = wishes(pub)
        following = (datetime.now(UTC).replace(day=1) + timedelta(days=32)).strftime("%Y-%m-01")
        assert (key.split()[0], key.split()[2][:10], timer) == ("wake", following, True)
        assert slept_until(pub).startswith(following)
        heard = state_of(pub, user).version
        debit(pub, user, USD)
        eventually(lambda: quiet(pub))
        assert wishes(pub) == [(key, True)]
        assert (charges(pub), state_of(pub, user).version) == (1, heard)
        # A higher cap wakes it at once: the timer finds nothing to do, and ends.
        put(pub, user, threshold=3_000, monthly_cap=4_000)
        eventually(lambda: pub.store.granted(user) == 40 * USD)
        eventually(lambda: quiet(pub))
        assert charges(pub) == 2


def test_a_decline_is_tried_again_when_its_time_comes(
    pub: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own timer, and by no call before (rule: bounded)."""
    user, gateway = with_card(pub, FAILS_LATER), pub.store.gateway
    with managing(gateway.settings, gateway.database):
        put(pub, user)
        eventually(lambda: state_of(pub, user).failures == 1 and quiet(pub))
        ((key, timer),) = wishes(pub)
        assert (key.split()[0], timer) == ("wake", True)
        give(pub, user, 5 * USD)
        debit(pub, user, USD)
        eventually(lambda: quiet(pub))
        assert (charges(pub), wishes(pub)) == (1, [(key, True)])
    monkeypatch.setattr(module, "WAITS_S", (1,))
    put(pub, user, monthly_cap=6_000)
    with managing(gateway.settings, gateway.database):
        eventually(lambda: shown(pub, user)["enabled"] is False)
    assert charges(pub) == 4
    assert shown(pub, user)["switched_off_because"] == "card_declined"


def test_a_lot_that_lapses_wakes_it(pub: Club) -> None:
    """No event tells of the instant, so a timer does (money rule 9)."""
    user, gateway = with_card(pub), pub.store.gateway
    with managing(gateway.settings, gateway.database):
        give(pub, user, 50 * USD)
        put(pub, user, **ALL)
        eventually(lambda: quiet(pub))
        give(pub, user, 10 * USD, hours=5)
        debit(pub, user, 1)
        eventually(lambda: bool(wishes(pub)) and quiet(pub))
        assert [each[0].split()[0] for each in wishes(pub)] == ["lapse"]
        give(pub, user, 10 * USD, hours=4 / 3_600)
        debit(pub, user, 31 * USD)
        assert charges(pub) == 0
        eventually(lambda: charges(pub) == 1)
        eventually(lambda: pub.store.granted(user) == 90 * USD)


def test_a_card_that_comes_later_wakes_it(pub: Club) -> None:
    """While there is none it sleeps, for an hour at most (P12)."""
    user, gateway = with_card(pub), pub.store.gateway
    put(pub, user)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE payment_customer SET method_id = ''")
    with managing(gateway.settings, gateway.database):
        eventually(lambda: bool(wishes(pub)) and quiet(pub))
        assert wishes(pub)[0][1]
        with gateway.database.connect() as connection:
            connection.execute(
                "UPDATE payment_customer SET method_id = split_part("
                "(SELECT convert_from(state, 'UTF8')::jsonb ->> 'method_id' FROM events "
                "WHERE topic LIKE 'customer.card_saved%'), ' ', 1)"
            )
            connection.execute("UPDATE manager_wish SET due_at = booking_clock()")
        eventually(lambda: pub.store.granted(user) == 20 * USD)


async def together(pub: Club, count: int, found: Callable[[], object]) -> None:
    """Run so many hosts of the manager, each with connections of its own, until something is so."""
    gateway, stop = pub.store.gateway, threading.Event()
    settings, database = gateway.settings, gateway.database
    provider, billing = payments_of(settings), billing_of(settings)
    assert provider is not None and billing is not None
    everybody = [People(database, vault_of(settings, database)) for _ in range(count)]
    try:
        async with running_committer(database) as committer, asyncio.TaskGroup() as group:
            for each in everybody:
                await asyncio.to_thread(each.open)
                made = managers_of(settings, each, committer, provider, billing)
                host = ManagerHost(database, [one for one in made if one.name == "top_ups"])
                group.create_task(host.run(stop))
            try:
                async with asyncio.timeout(20):
                    while not await asyncio.to_thread(found):
                        await asyncio.sleep(0.02)
            finally:
                stop.set()
    finally:
        for each in everybody:
            await asyncio.to_thread(each.close)
        await provider.close()
        await billing.close()


def test_many_hosts_charge_once(pub: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that do not know that they lost their lock (P3)."""
    user = with_card(pub)

    def own(made: ManagerHost, manager: Manager, _: int) -> bool:
        made._owned.add(manager.name)
        return True

    monkeypatch.setattr(ManagerHost, "_own", own)
    put(pub, user, threshold=3_000)
    asyncio.run(
        together(pub, 4, lambda: pub.store.granted(user) == 40 * USD and quiet(pub)),
    )
    assert (charges(pub), state_of(pub, user).version) == (2, 5)


@pytest.mark.parametrize("step", ["begun", "asked", "credited", "ended"])
def test_what_breaks_between_is_done_later(
    pub: Club, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After each step, before it is known: one charge for the cause (P2, P3)."""
    user, gateway = with_card(pub), pub.store.gateway
    names = {"begun": "_begin", "asked": "_asked", "credited": "_seen", "ended": "_end"}
    real, broken = getattr(module.Charging, names[step]), list[str]()

    def break_once() -> None:
        if not broken:
            broken.append(step)
            message = "away"
            raise TimeoutError(message)

    async def later(*values: Any) -> Any:
        found = await real(*values)
        break_once()
        return found

    def at_once(*values: Any) -> Any:
        found = real(*values)
        break_once()
        return found

    breaking = later if asyncio.iscoroutinefunction(real) else at_once
    monkeypatch.setattr(module.Charging, names[step], breaking)
    with managing(gateway.settings, gateway.database):
        put(pub, user)
        eventually(lambda: pub.store.granted(user) == 20 * USD)
        eventually(lambda: wishes(pub) == [] and quiet(pub))
    assert broken == [step]
    assert (charges(pub), state_of(pub, user).version) == (1, 3)
