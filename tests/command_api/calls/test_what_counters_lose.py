"""What a gateway with counters loses or gives away, and a ledger does not."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.limits.commands import LimitCommands
from command_api.money.grants import Grant, Grants
from domain.ledger.lots import GrantKind
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.support.harness import USD, eventually, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

COST = 4_500
"""Nano-USD of one call of the harness: 10 x 150 + 5 x 600; less than half of a cent."""
CALLS, GRANTS = 24, 4
PICTURES = """
[[provider.model]]
id = "paint"
per_image = "0.002"
output_modalities = ["image"]
"""


def grant(gateway: RunningGateway, user: NewUser) -> None:
    """One more dollar."""
    lot = Grant(account_id=UUID(user.account_id), amount=USD, kind=GrantKind.BONUS, reason="test")
    asyncio.run(Grants(gateway.database, actor="test").give(lot))


def available(gateway: RunningGateway, user: NewUser) -> int:
    """What can be spent, in nano-USD."""
    found: int = gateway.balance(user)["available_nano_usd"]
    return found


def test_calls_and_grants_at_once_lose_neither(gateway: RunningGateway) -> None:
    """Nobody reads a balance, computes, and writes it back (P1, P4)."""
    user = gateway.user(USD)
    with ThreadPoolExecutor(8) as pool:
        called = [pool.submit(gateway.chat, user, {}) for _ in range(CALLS)]
        given = [pool.submit(grant, gateway, user) for _ in range(GRANTS)]
        assert [each.result().status_code for each in called] == [200] * CALLS
        for each in given:
            each.result()
    assert available(gateway, user) == (1 + GRANTS) * USD - CALLS * COST
    gateway.verified()


def test_what_costs_less_than_a_cent_is_charged(gateway: RunningGateway) -> None:
    """To the nano-USD, by a price version that the call cites (P4, money rule 12)."""
    user = gateway.user(USD)
    story = gateway.story(user, gateway.chat(user, {}))
    assert story["settled_nano_usd"] == COST
    assert story["price"]["version"]
    assert available(gateway, user) == USD - COST


def test_who_cannot_pay_is_refused_before_the_provider(gateway: RunningGateway) -> None:
    """With 402; an answer is never given first and paid for later (P1, rule: refuse clearly)."""
    user = gateway.user(COST)
    before, came = gateway.events(), gateway.upstream.calls
    assert gateway.chat(user, {"max_tokens": 16_000}).status_code == 402
    assert gateway.upstream.calls == came
    assert available(gateway, user) == COST
    assert gateway.events() == before


def test_who_is_over_a_limit_is_refused_before_the_provider(gateway: RunningGateway) -> None:
    """What a provider made is never thrown away for a limit (money rule 13)."""
    user = gateway.user()
    commands = LimitCommands(gateway.database, actor="test")
    try:
        target = Target(LimitScope.USER, user.user_id, SetBy.OPERATOR)
        commands.set([target], {"tokens_per_hour": 40})
    finally:
        commands.close()
    told = "x-ratelimit-limit-tokens"
    assert eventually(lambda: told in gateway.chat(user, {"max_tokens": 1}).headers)
    came, paid = gateway.upstream.calls, available(gateway, user)
    assert gateway.chat(user, {"max_tokens": 500}).status_code == 429
    assert gateway.upstream.calls == came
    assert available(gateway, user) == paid


def test_a_charge_and_its_record_stand_or_fall_together(gateway: RunningGateway) -> None:
    """A balance never moves without its event, nor an event without the balance (P2, P5)."""
    user = gateway.user(USD)
    with gateway.database.connect_as_owner() as connection:
        connection.execute(
            "CREATE FUNCTION refuse_for_test() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no room'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW "
            "WHEN (NEW.topic LIKE 'ledger.hold_placed%') EXECUTE FUNCTION refuse_for_test()"
        )
    came = gateway.upstream.calls
    assert gateway.chat(user, {}).status_code >= 500
    assert gateway.upstream.calls == came
    assert available(gateway, user) == USD
    with gateway.database.connect_as_owner() as connection:
        connection.execute("DROP TRIGGER refused ON events")
    assert gateway.chat(user, {}).status_code == 200
    assert available(gateway, user) == USD - COST
    gateway.verified()


def test_an_image_costs_what_its_record_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """One price: of the catalog, the charge, the story and the books (P4)."""
    data = [{"url": "http://x/1"}, {"url": "http://x/2"}]
    pictures = json.dumps({"created": 1, "data": data}).encode()

    def answer(connection: socket.socket, _: Request) -> None:
        reply(connection, pictures)

    upstream.answer = answer
    with running_gateway(database, tmp_path / "home", upstream, providers=PICTURES) as gateway:
        user = gateway.user(USD)
        with gateway.client(user) as client:
            body = {"model": "local/paint", "prompt": "a cat", "n": 2}
            got = client.post("/v1/images/generations", json=body)
        assert got.status_code == 200, got.text
        assert gateway.story(user, got)["settled_nano_usd"] == 2 * 2_000_000
        assert available(gateway, user) == USD - 2 * 2_000_000
        gateway.verified()
