"""What may go wrong with responses in the background, and stays within its bounds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from command_api.limits.commands import LimitCommands
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.command_api.background.playing import (
    Waiting,
    begin,
    ended,
    endless,
    got,
    story_of,
    texts_of,
    told,
)
from tests.command_api.calls.responses import GPT, call, plays, says, serving, stream_of
from tests.conftest import fresh_database
from tests.support.harness import ScriptedUpstream, completion, eventually, running_gateway
from tests.support.outages import away

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

BODY: dict[str, Any] = {"model": GPT, "input": "Hi", "background": True}
AT_ONCE, AT_A_TIME = 1_000, 50


async def _many(gateway: RunningGateway, user: NewUser, many: int) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {user.api_key}"}
    # What waits in the client's own pool is looked through at every answer, in this very process:
    # a thousand there would starve the gateway.
    turns = asyncio.Semaphore(AT_A_TIME)
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=120) as client:

        async def one() -> httpx.Response:
            async with turns:
                return await client.post("/v1/responses", json=BODY)

        return await asyncio.gather(*(one() for _ in range(many)))


def placed(gateway: RunningGateway) -> int:
    """Holds that were ever placed."""
    with gateway.database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE topic = 'ledger.hold_placed.v1'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_thousand_at_once_are_bounded(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An account runs as many as it may, a process as many as that may; all others are told when
    to come again, leave nothing in the log, and all that ran is charged (rule: bounded, P2).
    """
    with serving(
        server,
        tmp_path_factory,
        background_runs_max=12,
        background_runs_per_account_max=8,
    ) as served:
        provider = served.upstream.answer = Waiting()
        user, other = served.user(), served.user()
        answers = asyncio.run(_many(served, user, AT_ONCE))
        taken = [each.json() for each in answers if each.status_code == 200]
        refused = [each for each in answers if each.status_code != 200]
        assert len(taken) == 8
        assert {each.status_code for each in refused} == {429}
        assert {each.json()["error"]["code"] for each in refused} == {
            "too_many_background_responses"
        }
        assert all(int(each.headers["retry-after"]) > 0 for each in refused)
        others = asyncio.run(_many(served, other, 20))
        more = [each.json() for each in others if each.status_code == 200]
        assert len(more) == 4
        assert served.open_holds() == placed(served) == 12
        provider.go_on.set()
        for whose, made in [(user, each) for each in taken] + [(other, each) for each in more]:
            assert ended(served, whose, made["id"])["status"] == "completed"
        eventually(lambda: served.open_holds() == 0)
        begin(served, user)


def test_a_provider_that_never_ends_is_ended(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By the time that a run may take; what was made is charged (rule: bounded, money rule 5)."""
    with serving(server, tmp_path_factory, background_run_s=1.0) as served:
        served.upstream.answer = endless
        user = served.user()
        made = begin(served, user, max_output_tokens=8_000)
        found = ended(served, user, made["id"])
        assert found["status"] == "failed"
        assert found["error"]["gatewayz_code"] == "background_too_long"
        assert "is charged" in found["error"]["message"]
        assert texts_of(found).startswith("more ")
        story = story_of(served, user, made["id"])
        assert (story["status"], story["reason"]) == ("settled", "background_too_long")
        silent = served.upstream.answer = Waiting(before=0)
        made = begin(served, user)
        found = ended(served, user, made["id"])
        assert "Nothing was charged" in found["error"]["message"]
        assert story_of(served, user, made["id"])["status"] == "voided"
        assert silent.gone.wait(20)


def test_events_beyond_their_bound_are_in_the_last(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """None is told out of its order (rule: bounded)."""
    with serving(server, tmp_path_factory, background_events_bytes_max=6_000) as served:
        served.upstream.answer = plays(*stream_of(*(f"word {n} " for n in range(100))))
        user = served.user()
        first = told(call(served, user, {**BODY, "stream": True}).text)
        numbers = [each["sequence_number"] for each in first]
        assert numbers[:-1] == list(range(len(numbers) - 1))
        assert numbers[-1] > 100 > len(numbers)
        assert texts_of(first[-1]["response"]).endswith("word 99 ")
        response_id = first[0]["response"]["id"]
        assert told(got(served, user, f"{response_id}?stream=true").text) == first


def test_what_is_too_long_to_be_stored_is_told_so(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An input before it is sent; an output in its place, with its charge (rule: bounded)."""
    with serving(server, tmp_path_factory, response_bytes_max=4_000) as served:
        served.upstream.answer = plays(*stream_of("word " * 1_000))
        user = served.user()
        refused = call(served, user, {**BODY, "input": "x" * 5_000})
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            413,
            "background_too_large",
        )
        assert served.balance(user)["held_nano_usd"] == 0
        made = begin(served, user)
        found = ended(served, user, made["id"])
        assert (found["status"], found["output"]) == ("failed", [])
        assert found["error"]["gatewayz_code"] == "background_too_large"
        assert found["usage"]["output_tokens"] == 5
        assert story_of(served, user, made["id"])["reason"] == "completed"


def test_nothing_runs_where_nothing_is_stored(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It could never be got (rule: refuse clearly)."""
    with serving(server, tmp_path_factory, response_days=0) as served:
        refused = call(served, served.user(), BODY)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "background_not_stored"


def test_the_database_is_away_while_it_runs(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It ends, its outcome and its answer are kept until the database is back, and are not lost
    (P2, P12).
    """
    with serving(server, tmp_path_factory) as served:
        provider = served.upstream.answer = Waiting()
        user = served.user()
        made = begin(served, user)
        assert provider.begun.acquire(timeout=20)
        with away(served.database, server):
            refused = call(served, user, BODY)
            assert refused.status_code == 503
            provider.go_on.set()
            time.sleep(2)
            assert got(served, user, made["id"]).status_code == 503
        eventually(lambda: got(served, user, made["id"]).status_code == 200)
        found = ended(served, user, made["id"])
        assert (found["status"], texts_of(found)) == ("completed", "one two three")
        assert story_of(served, user, made["id"])["reason"] == "completed"
        eventually(lambda: _unfinished(served) == 0)


def _unfinished(gateway: RunningGateway) -> int:
    with psycopg.connect(gateway.database.owner, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM kept_response WHERE runner_id IS NOT NULL"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("outcome", ["held", "settled"])
def test_a_process_that_is_gone_is_told(
    server: Database,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    outcome: str,
) -> None:
    """Nobody waits for ever for what its process left behind; it can be cancelled and deleted
    (P2, rule: contract).
    """
    with (
        serving(server, tmp_path_factory) as served,
        running_gateway(served.database, tmp_path / "other", served.upstream) as other,
    ):
        provider = served.upstream.answer = Waiting()
        user = served.user()
        made = begin(served, user)
        assert provider.begun.acquire(timeout=20)
        with psycopg.connect(served.database.owner, autocommit=True) as connection:
            change = "run_until = now()" if outcome == "held" else "runner_id = gen_random_uuid()"
            connection.execute(f"UPDATE kept_response SET {change}".encode())
        if outcome == "settled":
            # Its row is another's, so for its own process it is one that was deleted.
            assert story_of(served, user, made["id"])["reason"] == "cancelled"
        found = got(other, user, made["id"]).json()
        assert (found["status"], found["error"]["code"]) == ("failed", "server_error")
        assert found["error"]["gatewayz_code"] == "background_lost"
        told_charge = "is charged: 0.0" if outcome == "settled" else "charged so far"
        assert told_charge in found["error"]["message"]
        cancelled = got(other, user, f"{made['id']}/cancel", "POST")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "failed")
        assert got(other, user, made["id"], "DELETE").status_code == 200
        provider.go_on.set()


def test_a_stop_ends_what_runs(server: Database, tmp_path: Path) -> None:
    """Within its grace it may end by itself; then it is failed, and what was made is charged
    (P2, rule: contract).
    """
    quick, slow = Waiting(), Waiting()

    def answer(connection: socket.socket, request: Request) -> str | None:
        return (slow if b"slow" in request.raw else quick)(connection, request)

    upstream = ScriptedUpstream(answer)
    with fresh_database(server) as database:
        with running_gateway(database, tmp_path / "one", upstream, shutdown_grace_s=3) as served:
            user = served.user()
            first = begin(served, user, model="local/m")
            second = begin(served, user, model="local/m", input="slow")
            assert quick.begun.acquire(timeout=20)
            assert slow.begun.acquire(timeout=20)
            served.stop()
            time.sleep(0.5)
            quick.go_on.set()
        with running_gateway(database, tmp_path / "two", upstream) as again:
            assert got(again, user, first["id"]).json()["status"] == "completed"
            found = got(again, user, second["id"]).json()
            assert (found["status"], texts_of(found)) == ("failed", "one ")
            assert found["error"]["gatewayz_code"] == "gateway_stopping"
            assert story_of(again, user, second["id"])["reason"] == "gateway_stopped"
            assert again.open_holds() == 0
            again.verified()
    slow.go_on.set()
    upstream.close()


def test_it_is_under_way_until_it_ends(server: Database, tmp_path: Path) -> None:
    """For its caller's limits (money rule 13)."""
    provider = Waiting()
    upstream = ScriptedUpstream(provider)
    with (
        fresh_database(server) as database,
        running_gateway(database, tmp_path / "home", upstream) as served,
    ):
        user = served.user()
        commands = LimitCommands(database, actor="test")
        target = Target(LimitScope.KEY, user.key_id, SetBy.OPERATOR)
        commands.set([target], {"concurrency": 1}, None)
        commands.close()
        body = {**BODY, "model": "local/m"}

        def beside() -> int:
            return call(served, user, {**body, "background": False}).status_code

        time.sleep(0.3)  # The gateway hears of the limit.
        made = begin(served, user, model="local/m")
        assert provider.begun.acquire(timeout=20)
        assert beside() == 429
        assert call(served, user, body).json()["error"]["code"] == "rate_limit_exceeded"
        provider.go_on.set()
        ended(served, user, made["id"])
        upstream.answer = says(completion("Hello."))
        assert eventually(beside) == 200
    upstream.close()


def test_it_runs_here_whatever_became_of_the_lease(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its own process knows better than its row (rule: contract)."""
    with serving(server, tmp_path_factory) as served:
        provider = served.upstream.answer = Waiting()
        user = served.user()
        made = begin(served, user)
        assert provider.begun.acquire(timeout=20)
        with psycopg.connect(served.database.owner, autocommit=True) as connection:
            connection.execute("UPDATE kept_response SET run_until = now() - interval '1 s'")
        found = got(served, user, made["id"]).json()
        assert (found["status"], found["error"]) == ("in_progress", None)
        provider.go_on.set()
        assert ended(served, user, made["id"])["status"] == "completed"


def test_it_ends_however_its_callers_leave(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The first one at its first event, others who ask again with its key; nobody is waited for
    (rule: bounded, P3).
    """
    with serving(server, tmp_path_factory, shutdown_grace_s=20) as served:
        provider = served.upstream.answer = Waiting(before=0)
        user = served.user()
        body = {**BODY, "stream": True}
        seen: set[str] = set()
        for _ in range(5):
            with (
                served.client(user, **{"idempotency-key": "k"}) as client,
                client.stream("POST", "/v1/responses", json=body) as answer,
            ):
                line = next(each for each in answer.iter_lines() if each.startswith("data: "))
                seen.add(told(line)[0]["response"]["id"])
        (response_id,) = seen
        assert provider.begun.acquire(timeout=20)
        assert len(provider.bodies) == 1
        assert got(served, user, response_id).json()["status"] == "in_progress"
        provider.go_on.set()
        assert texts_of(ended(served, user, response_id)) == "one two three"
        before = time.monotonic()
    assert time.monotonic() - before < 15
