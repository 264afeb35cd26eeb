"""A gateway whose database goes away, comes back, or refuses: health, first calls, look-ups."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from command_api.composition import vault_of
from command_api.identity import key_orders, key_ring
from command_api.identity.key_ring import KeyRing
from edge.errors import ApiError
from event_store.beside.api_keys import CHANGED
from tests.support.harness import RunningGateway, completion, eventually, reply
from tests.support.outages import away, cut_off

if TYPE_CHECKING:
    import socket

    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream

HEALS_S = 2.0
SLACK_S = 4.0
"""What a machine that does other things may take besides."""


def health(gateway: RunningGateway) -> int:
    """What a load balancer sees."""
    return httpx.get(f"{gateway.url}/health", timeout=10).status_code


def wrong(gateway: RunningGateway, key: str = "gw_live_wrong") -> httpx.Response:
    """A call with a key that is not known."""
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{gateway.url}/v1/chat/completions"
    return httpx.post(url, headers=headers, json={}, timeout=20)


def test_health_comes_back_without_a_call_and_the_first_one_succeeds(
    gateway: RunningGateway, database: Database, server: Database
) -> None:
    """A balancer that sends nothing to an unhealthy gateway sends again by itself (P12)."""
    user = gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    with away(database, server):
        eventually(lambda: health(gateway) == 503, HEALS_S + SLACK_S)
        time.sleep(1)
    eventually(lambda: health(gateway) == 200, HEALS_S + SLACK_S)
    assert gateway.chat(user, {}).status_code == 200


def test_a_cut_of_every_idle_connection_costs_no_call(
    gateway: RunningGateway, database: Database, server: Database
) -> None:
    """Keys are looked up and holds placed on new connections (P12)."""
    user = gateway.user()
    for _ in range(4):
        assert gateway.chat(user, {}).status_code == 200
        cut_off(database, server)
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.verified().settled_nano_usd == 4 * 4_500


def test_the_spool_drains_without_traffic(
    gateway: RunningGateway, database: Database, server: Database, upstream: ScriptedUpstream
) -> None:
    """What was in flight is answered, and charged once the database is back (P2, P12)."""
    go_on = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        go_on.wait(60)
        reply(connection, completion())

    upstream.answer = answer
    user = gateway.user()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, user, {})
        eventually(lambda: upstream.requests)
        with away(database, server):
            go_on.set()
            assert call.result().status_code == 200
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.verified().settled_nano_usd == 4_500


@pytest.mark.parametrize("state", ["25006", "53100", "53300", "55P03", "57014", "58030"])
def test_a_database_that_refuses_gives_503_and_is_seen(
    gateway: RunningGateway, database: Database, state: str
) -> None:
    """With the time to wait, in health as well, and over by itself (P10, P12)."""
    user = gateway.user()
    with database.connect_as_owner() as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse(); "
        )
        refused = gateway.chat(user, {})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "ledger_unavailable"
        assert refused.headers["retry-after"]
        assert health(gateway) == 503
        owner.execute("DROP TRIGGER refuse ON events; DROP FUNCTION refuse")
    eventually(lambda: health(gateway) == 200, HEALS_S + SLACK_S)
    assert gateway.chat(user, {}).status_code == 200


@pytest.mark.parametrize("state", ["25006", "53100"])
def test_health_says_503_all_the_while(
    gateway: RunningGateway, database: Database, state: str
) -> None:
    """Where other tables can still be written too, and with calls that try it: 503 as long as the
    log takes nothing, 200 soon after, and nothing of the trials in the log (P10, P12).
    """
    user = gateway.user()
    events = gateway.events()
    with database.connect_as_owner() as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW "
            "EXECUTE FUNCTION refuse(); "
        )
        seen: list[int] = []
        calls: list[int] = []
        until = time.monotonic() + 5
        while time.monotonic() < until:
            calls.append(gateway.chat(user, {}).status_code)
            again = time.monotonic() + 0.5
            while time.monotonic() < again:
                seen.append(health(gateway))
                time.sleep(0.02)
        # As long without a call, as for a balancer that listened.
        for _ in range(100):
            seen.append(health(gateway))
            time.sleep(0.03)
        owner.execute("DROP TRIGGER refuse ON events; DROP FUNCTION refuse")
    assert set(calls) == {503}
    assert set(seen) == {503}
    eventually(lambda: health(gateway) == 200, HEALS_S + SLACK_S)
    assert gateway.events() == events
    assert gateway.chat(user, {}).status_code == 200
    gateway.verified()


def heard(database: Database) -> None:
    """Wait until the gateway has looked at what changed until now: what did, it forgets then.

    A second look begins once the first has been acted on.
    """
    begin, *_ = CHANGED.split("%")

    def looked_at() -> Any:
        with database.connect_as_owner() as connection:
            (found,) = connection.execute(
                "SELECT max(query_start) FROM pg_stat_activity "
                "WHERE datname = current_database() AND starts_with(query, %s)",
                [begin],
            ).fetchone() or (None,)
            return found

    for _ in range(2):
        last = eventually(looked_at)
        while looked_at() in (last, None):
            time.sleep(0.05)


def test_a_look_up_that_hangs_has_an_end(gateway: RunningGateway, database: Database) -> None:
    """503 within seconds, for all who wait; a key that is known needs no look-up (P12)."""
    known = gateway.user()
    heard(database)
    assert gateway.chat(known, {}).status_code == 200
    with database.connect_as_owner() as locker, locker.transaction():
        locker.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda n: wrong(gateway, f"gw_live_{n}").status_code, range(8)))
        assert got == [503] * 8
        assert time.monotonic() - began < 2 * key_ring.LOOKUP_TIMEOUT_S + SLACK_S
        assert gateway.chat(known, {}).status_code == 200
    assert wrong(gateway).status_code == 401


def test_a_wrong_key_is_looked_up_once_in_a_while(
    gateway: RunningGateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused without the database, until a key is made (P12, rule: bounded)."""
    monkeypatch.setattr(key_ring, "UNKNOWN_S", 600)
    monkeypatch.setattr(key_orders, "new_api_key", lambda _: "gw_live_later")
    assert wrong(gateway, "gw_live_later").status_code == 401
    with database.connect_as_owner() as locker, locker.transaction():
        locker.execute("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            assert wrong(gateway, "gw_live_later").status_code == 401
    made: Any = gateway.user()
    assert made.api_key == "gw_live_later"
    eventually(lambda: gateway.chat(made, {}).status_code == 200)


def test_refused_keys_are_bounded(
    database: Database, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends many wrong keys fills no memory (rule: bounded)."""
    monkeypatch.setattr(key_ring, "UNKNOWN_MAX", 3)

    async def run() -> list[int]:
        vault = vault_of(gateway.settings, database)
        ring = KeyRing(database, vault, cache_s=60, cache_max=10, wrong_per_s=100)
        ring.start()
        while not ring._listening:
            await asyncio.sleep(0.01)
        sizes = []
        for number in range(5):
            with pytest.raises(ApiError, match="not known"):
                await ring.authenticate(b"Bearer gw_live_%d" % number, "192.0.2.1")
            sizes.append(len(ring._unknown))
        await ring.stop()
        return sizes

    assert asyncio.run(run()) == [1, 2, 3, 1, 2]
