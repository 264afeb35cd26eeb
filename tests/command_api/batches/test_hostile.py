"""What may go wrong with a batch: limits, credits, keys, cancels, clocks, outages, two gateways."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from command_api.limits.commands import LimitCommands
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from tests.command_api.api_keys.test_routes import made
from tests.command_api.batches.making import Customer, answers, asks, line, said
from tests.conftest import fresh_database
from tests.support.harness import ScriptedUpstream, completion, eventually, reply, running_gateway
from tests.support.outages import away

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway


class Gate:
    """A provider that answers once it is let."""

    def __init__(self) -> None:
        """Closed."""
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.asked: list[str] = []
        self.stop_after: int | None = None
        """After so many answers it closes by itself."""

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Answer as it was asked."""
        self.asked.append(request.body["messages"][-1]["content"])
        self.begun.release()
        if self.stop_after is not None and len(self.asked) > self.stop_after:
            self.go_on.clear()
        assert self.go_on.wait(30)
        answers(connection, request)


@pytest.fixture
def served(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway that begins two lines of a batch at once, at half of the price."""
    upstream.answer = answers
    more = {"batch_lines_at_once": 2, "batch_price_percent": 50}
    with running_gateway(database, tmp_path / "home", upstream, **more) as made:
        yield made


def many(count: int) -> list[dict[str, Any]]:
    """So many lines, each with its own words."""
    return [line(f"a-{number}", **asks(f"{number}")) for number in range(count)]


def test_a_line_pays_the_share_of_its_price(served: RunningGateway) -> None:
    """Held and settled by a price of its own, which the story tells; a plain call pays all of it
    (P4, money rule 12).
    """
    customer = Customer(served, served.user())
    done = customer.run(line("a"))
    told = customer.lines_of(done.output_file_id)["a"]
    story = served.story(customer.user, told["response"]["request_id"])
    assert story["settled_nano_usd"] == (10 * 150 + 5 * 600) // 2
    assert story["price"]["source"].endswith("batch: 50 of 100")
    assert story["price"]["input_per_million"] == "0.075"
    plain = served.story(customer.user, served.chat(customer.user, {}))
    assert plain["settled_nano_usd"] == 10 * 150 + 5 * 600
    assert "batch_id" not in plain
    served.verified()


def test_a_cancel_is_effective_at_once(served: RunningGateway) -> None:
    """No more lines begin; those under way end, are charged, and stand in the file (P2)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(20))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    with pytest.raises(Exception, match="409"):
        customer.api.files.delete(begun.input_file_id)
    cancelled = customer.api.batches.cancel(begun.id)
    assert (cancelled.status, cancelled.cancelling_at is not None) == ("cancelling", True)
    time.sleep(1.5)
    provider.go_on.set()
    done = customer.ended(begun)
    assert (done.status, done.request_counts.completed) == ("cancelled", 2)
    assert customer.lines_of(done.output_file_id).keys() == {"a-0", "a-1"}
    assert len(provider.asked) == 2
    customer.api.files.delete(begun.input_file_id)
    served.verified()


def test_a_limit_makes_lines_wait(served: RunningGateway) -> None:
    """A 429 of the key's own limits is no failure: the line is called again (money rule 13)."""
    customer = Customer(served, served.user())
    limited = Target(LimitScope.KEY, customer.user.key_id, SetBy.OPERATOR)
    commands = LimitCommands(served.database, actor="test")
    commands.set([limited], {"concurrency": 1}, None)
    commands.close()
    done = customer.run(*many(4))
    assert (done.status, done.request_counts.completed) == ("completed", 4)


def test_without_credits_a_line_fails_and_the_batch_goes_on(served: RunningGateway) -> None:
    """Each that is not covered has the 402 that a call has; nothing is overspent (P1)."""
    customer = Customer(served, served.user(grant=1_000_000))
    short = [line(f"b-{number}", max_tokens=5) for number in range(3)]
    done = customer.run(*many(3), *short)
    failed = customer.lines_of(done.error_file_id)
    assert (done.status, done.request_counts.completed) == ("completed", 3)
    assert failed.keys() == {"a-0", "a-1", "a-2"}
    assert {each["response"]["status_code"] for each in failed.values()} == {402}
    served.verified()


def test_a_revoked_key_calls_no_more(served: RunningGateway) -> None:
    """What was called stands, what is left fails with 401 (P2, rule: access)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(6))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    users = served.users()
    try:
        users.revoke_key(customer.user.key_id, "test")
        other = users.create_key(customer.user.user_id, "another")
    finally:
        users.close()
    time.sleep(1.5)
    provider.go_on.set()
    customer.api.api_key = other[1]
    done = customer.ended(begun)
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 4)
    failed = customer.lines_of(done.error_file_id)
    assert {each["response"]["status_code"] for each in failed.values()} == {401}
    assert len({each["id"] for each in failed.values()}) == 4
    assert len(provider.asked) == 2


def test_what_is_left_at_its_end_is_told_as_expired(served: RunningGateway) -> None:
    """By the database's clock: lines under way end, the others stand in the error file (P2)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(5))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    with served.database.connect_as_owner() as connection:
        connection.execute("UPDATE batch SET expires_at = clock_timestamp()")
    time.sleep(1.5)
    provider.go_on.set()
    done = customer.ended(begun)
    assert (done.status, done.expired_at is not None) == ("expired", True)
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (5, 2, 3)
    failed = customer.lines_of(done.error_file_id)
    assert failed.keys() == {"a-2", "a-3", "a-4"}
    assert {each["error"]["code"] for each in failed.values()} == {"batch_expired"}
    assert {each["response"] for each in failed.values()} == {None}
    assert len(customer.lines_of(done.output_file_id)) == 2


def test_a_provider_that_fails_is_tried_again(served: RunningGateway) -> None:
    """Some times, and then the line fails: nobody pays for it (money rule 4)."""
    tries: dict[str, int] = {}

    def fails(connection: socket.socket, request: Request) -> None:
        text = request.body["messages"][-1]["content"]
        tries[text] = tries.get(text, 0) + 1
        if text == "1" or tries[text] > 1:
            answers(connection, request)
        else:
            reply(connection, b'{"error":{"message":"no"}}', status=500)

    served.upstream.answer = fails
    customer = Customer(served, served.user())
    done = customer.run(*many(2))
    told = customer.lines_of(done.output_file_id)
    assert {name: said(each) for name, each in told.items()} == {"a-0": "0", "a-1": "1"}
    story = served.story(customer.user, told["a-0"]["response"]["request_id"])
    assert story["status"] == "settled"
    served.verified()


def test_the_database_is_away_in_between(
    served: RunningGateway, database: Database, server: Database
) -> None:
    """What was answered meanwhile is settled from the spool, and no line is called twice (P12)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(4))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    with away(database, server):
        provider.go_on.set()
        time.sleep(3)
    done = customer.ended(begun, 60)
    assert (done.status, done.request_counts.completed) == ("completed", 4)
    assert sorted(provider.asked) == ["0", "1", "2", "3"]
    served.verified()


def test_two_gateways_call_no_line_twice(
    served: RunningGateway, database: Database, tmp_path: Path
) -> None:
    """One of them runs it; either cancels it, and where the first stops the other goes on, from
    where it was (P3).
    """
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(6))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    with running_gateway(database, tmp_path / "other", served.upstream) as other:
        there = Customer(other, customer.user)
        assert there.look(begun).status == "in_progress"
        served.stop()
        provider.go_on.set()
        done = there.ended(begun, 60)
        assert (done.status, done.request_counts.completed) == ("completed", 6)
        told = there.lines_of(done.output_file_id)
        assert set(map(said, told.values())) == {str(n) for n in range(6)}
        with other.client(customer.user) as client:
            usage = client.get("/user/balance").json()
        assert usage["held_nano_usd"] == 0
        other.verified()


def test_too_many_batches_and_lines_are_refused(
    server: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """At their named maxima (rule: bounded)."""
    upstream.answer = answers
    more = {"batch_lines_max": 3, "batches_per_account_max": 1, "batches_running_max": 0}
    with (
        fresh_database(server) as made,
        running_gateway(made, tmp_path / "idle", upstream, **more) as idle,
    ):
        customer = Customer(idle, idle.user())
        waits = customer.begin(*many(4))
        with pytest.raises(Exception, match="429"):
            customer.begin(*many(1))
        more = {"batch_lines_max": 3}
        with running_gateway(made, tmp_path / "busy", upstream, **more) as busy:
            done = Customer(busy, customer.user).ended(waits)
        assert (done.status, done.errors.data[0].code) == ("failed", "too_many_lines")


def test_a_reply_on_many_lines_is_one_line(served: RunningGateway) -> None:
    """As providers write JSON, for people too (rule: translation)."""

    def spaced(connection: socket.socket, request: Request) -> None:
        del request
        reply(connection, completion("a\nb").replace(b", ", b",\n  "))

    served.upstream.answer = spaced
    customer = Customer(served, served.user())
    done = customer.run(line("a"))
    assert said(customer.lines_of(done.output_file_id)["a"]) == "a\nb"


def test_who_left_leaves_nothing_that_runs(served: RunningGateway) -> None:
    """Where the data key is gone, the batch ends and nothing of it can be read (P5)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(4))
    for _ in range(2):
        assert provider.begun.acquire(timeout=20)
    with served.database.connect_as_owner() as connection:
        connection.execute("UPDATE user_secret SET wrapped_key = NULL")
    provider.go_on.set()
    eventually(lambda: customer.look(begun).status in {"failed", "completed"}, 40)
    with pytest.raises(Exception, match="404"):
        customer.api.files.content(begun.input_file_id)


def test_equal_lines_are_answered_by_one_call(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Where answers are cached for all, a line waits for its twin, and nothing else stands still
    (rule: bounded).
    """
    provider = upstream.answer = Gate()
    with running_gateway(database, tmp_path / "home", upstream, response_cache_s=60) as served:
        customer = Customer(served, served.user())
        begun = customer.begin(line("a"), line("b"))
        assert provider.begun.acquire(timeout=20)
        assert not provider.begun.acquire(timeout=1)
        assert customer.look(begun).status == "in_progress"
        provider.go_on.set()
        done = customer.ended(begun)
        assert (done.status, done.request_counts.completed) == ("completed", 2)
        assert len(provider.asked) == 1
        served.verified()


def test_lines_are_never_shared_with_other_accounts(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Whatever their key says of its calls: who sends a file says nothing of each line
    (rule: access).
    """
    upstream.answer = answers
    more = {"response_cache_across_accounts": True}
    with running_gateway(database, tmp_path / "home", upstream, **more) as served:
        user = served.user()
        key = made(served, user, "shares", cache={"ttl_s": 60, "shared": True})
        customer = Customer(served, key)
        done = customer.ended(customer.begin(line("a")))
        assert done.request_counts.completed == 1
        assert served.chat(key, {}).headers["x-gatewayz-cache"] == "hit"
        assert served.chat(key, {"seed": 5}).headers["x-gatewayz-cache-shared"] == "miss"
        with database.connect() as connection:
            row = connection.execute("SELECT count(*) FROM shared_answer").fetchone()
        assert row == (1,)
