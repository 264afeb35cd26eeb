"""A subscription that begins closes its account's trial: the rest expires, other credits pay."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.money.grants import Grants
from domain.ledger.lots import TrialTerms
from tests.command_api.payments.test_webhooks import send
from tests.support.admins import ask
from tests.support.harness import USD, completion, eventually, reply
from tests.support.subscribing import Club, club

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions."""
    with club(database, tmp_path / "home", upstream) as made:
        yield made
        made.store.gateway.verified()


def test_a_subscription_ends_the_trial(pub: Club) -> None:
    """What is left expires at once, and is available no more (money rule 9, money rule 10)."""
    gateway = pub.store.gateway
    user = gateway.user(0)
    grants = Grants(gateway.database, actor="test")
    assert asyncio.run(grants.give_trial(UUID(user.account_id), TrialTerms()))
    before = ask(gateway, user, "/trial/status").json()["trial_status"]
    assert (before["is_valid"], before["is_trial"]) == (True, True)
    pub.join(user)
    now = ask(gateway, user, "/trial/status").json()["trial_status"]
    assert (now["is_valid"], now["is_trial"], now["remaining_requests"]) == (False, False, 0)
    assert (now["is_expired"], now["remaining_credits"]) == (True, 0)
    assert "subscription began" in now["error"]
    found = gateway.balance(user)
    assert (found["available_nano_usd"], found["breakage_nano_usd"]) == (20 * USD, 10 * USD)
    assert [each["kind"] for each in found["lots"] if each["available_nano_usd"]] == ["allowance"]
    # The same is told again, and another subscription begins: nothing more expires.
    for each in pub.double.get("events", limit=100)["data"]:
        send(pub.store, {**each, "id": f"{each['id']}_again"})
    pub.store.settled()
    assert gateway.balance(user)["breakage_nano_usd"] == 10 * USD
    pub.store.gateway.verified()


def test_a_call_under_way_keeps_what_it_holds_of_the_trial(
    pub: Club, upstream: ScriptedUpstream
) -> None:
    """It is paid by the trial; the next by other credits, never refused for it (money rule 10)."""
    gateway, go_on = pub.store.gateway, threading.Event()
    user = gateway.user(0)
    grants = Grants(gateway.database, actor="test")
    assert asyncio.run(grants.give_trial(UUID(user.account_id), TrialTerms()))

    def answer(connection: socket.socket, _: Request) -> None:
        go_on.wait(30)
        reply(connection, completion())

    upstream.answer = answer
    body = {"model": "local/m", "messages": [{"role": "user", "content": "hi"}]}
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, user, body)
        held = eventually(lambda: gateway.balance(user)["held_nano_usd"])
        pub.join(user)
        assert gateway.balance(user)["held_nano_usd"] == held
        go_on.set()
        assert call.result().status_code == 200
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.balance(user)["available_nano_usd"] == 20 * USD
    assert gateway.chat(user, body).status_code == 200
    found = gateway.balance(user)
    assert found["available_nano_usd"] < 20 * USD
    assert (
        found["breakage_nano_usd"] + found["settled_nano_usd"] + found["available_nano_usd"]
        == 30 * USD
    )
