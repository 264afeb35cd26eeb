"""Lines of an account whose credits, or quotas, do not cover all of them at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.command_api.batches.making import CHAT, Customer, answers, asks, line, said
from tests.command_api.batches.test_hostile import Gate
from tests.support.harness import ASK, eventually, running_gateway
from tests.support.quotas import set_quota

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PRICE = 10 * 150 + 5 * 600
AT_ONCE = 8


@pytest.fixture
def served(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway that begins eight lines of a batch at once."""
    upstream.answer = answers
    with running_gateway(
        database, tmp_path / "home", upstream, batch_lines_at_once=AT_ONCE
    ) as made:
        yield made


def lines(count: int, **body: Any) -> list[dict[str, Any]]:
    """Lines of the same size, each with its own words."""
    return [line(f"{n}", max_tokens=500, **asks(f"{n:03}"), **body) for n in range(count)]


def held_for(served: RunningGateway) -> int:
    """What one of the lines is held for, nano-USD."""
    other = Customer(served, served.user())
    done = other.run(*lines(1))
    told = other.lines_of(done.output_file_id)["0"]
    held = served.story(other.user, told["response"]["request_id"])["held_nano_usd"]
    assert held > PRICE
    return int(held)


def refusals(served: RunningGateway) -> int:
    """Holds that the log says were refused for funds."""
    with served.database.connect() as connection:
        query = "SELECT count(*) FROM events WHERE topic LIKE 'ledger.hold_refused%'"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_lines_wait_for_what_their_siblings_give_back(served: RunningGateway) -> None:
    """Of credits for one line at a time all lines are paid, to the last nano-USD that they cost
    together; nobody is refused, and no key stays so (P1, P3).
    """
    count = 20
    grant = held_for(served) + (count - 1) * PRICE
    customer = Customer(served, served.user(grant=grant))
    done = customer.run(*lines(count))
    assert (done.request_counts.completed, done.request_counts.failed) == (count, 0)
    told = customer.lines_of(done.output_file_id)
    assert {said(each) for each in told.values()} == {f"{n:03}" for n in range(count)}
    assert refusals(served) == 0
    balance = served.balance(customer.user)
    assert (balance["held_nano_usd"], balance["settled_nano_usd"]) == (0, count * PRICE)
    served.verified()


def test_refused_with_nothing_held_is_refused_for_good(served: RunningGateway) -> None:
    """One nano-USD less than all need together: the last line has its 402, once (P1, P3)."""
    count = 6
    grant = held_for(served) + (count - 1) * PRICE - 1
    customer = Customer(served, served.user(grant=grant))
    done = customer.run(*lines(count))
    assert (done.request_counts.completed, done.request_counts.failed) == (count - 1, 1)
    (failed,) = customer.lines_of(done.error_file_id).values()
    assert failed["response"]["status_code"] == 402
    assert failed["response"]["body"]["error"]["code"] == "insufficient_credits"
    assert refusals(served) == 1
    served.verified()


def test_a_large_line_is_not_overtaken_for_ever(served: RunningGateway) -> None:
    """It needs all that there is: small ones behind it wait until it had its turn (P1)."""
    small = held_for(served)
    customer = Customer(served, served.user(grant=small * 4))
    large = line("large", max_tokens=500 + (small * 3 - 20 * PRICE) // 600, **asks("999"))
    done = customer.run(*lines(10)[:4], large, *(lines(10)[4:]))
    told = customer.lines_of(done.output_file_id)
    assert (done.status, done.request_counts.failed, "large" in told) == ("completed", 0, True)
    served.verified()


def test_what_a_caller_holds_is_waited_for(served: RunningGateway) -> None:
    """A call beside the batch has the credits for a moment: the line is asked for again (P1)."""
    provider = served.upstream.answer = Gate()
    grant = held_for_gated(served, provider)
    customer = Customer(served, served.user(grant=grant + PRICE))

    def call() -> None:
        with served.client(customer.user) as client:
            client.post(CHAT, json={**ASK, **asks("live"), "max_tokens": 500})

    live = threading.Thread(target=call)
    live.start()
    eventually(lambda: "live" in provider.asked)
    begun = customer.begin(*lines(2))
    eventually(lambda: customer.look(begun).status == "in_progress")
    threading.Event().wait(1.0)
    assert provider.asked.count("000") == 1  # It was that of another customer.
    provider.go_on.set()
    live.join()
    done = customer.ended(begun)
    counts = done.request_counts
    assert (done.status, counts.completed, counts.failed) == ("completed", 1, 1)
    served.verified()


def held_for_gated(served: RunningGateway, provider: Gate) -> int:
    """The same as `held_for`, of a provider that is let for so long."""
    provider.go_on.set()
    held = held_for(served)
    provider.go_on.clear()
    return held


def test_room_in_a_quota_is_waited_for(served: RunningGateway) -> None:
    """A quota that never comes back has room for one line at a time: all are called, and what is
    beyond it fails (money rule 13).
    """
    count = 8
    held = held_for(served)
    customer = Customer(served, served.user())
    limit = held + (count - 1) * PRICE
    account, key = UUID(customer.user.account_id), UUID(customer.user.key_id)
    set_quota(served.database, account, "key", key, "nano_usd", "total", limit)
    done = customer.run(*lines(count))
    assert (done.request_counts.completed, done.request_counts.failed) == (count, 0)
    more = customer.run(*lines(2))
    failed = customer.lines_of(more.error_file_id)
    assert {each["response"]["status_code"] for each in failed.values()} == {429}
    assert more.request_counts.failed >= 1
    served.verified()


def test_whoever_goes_on_pays_no_line_twice(
    served: RunningGateway, database: Database, tmp_path: Path
) -> None:
    """The process stops while lines wait for credits; another one asks under the same keys (P3)."""
    provider = served.upstream.answer = Gate()
    count = 6
    grant = held_for_gated(served, provider) + (count - 1) * PRICE
    provider.asked.clear()
    customer = Customer(served, served.user(grant=grant))
    begun = customer.begin(*lines(count))
    eventually(lambda: len(provider.asked) == 1)
    threading.Event().wait(1.0)
    assert len(provider.asked) == 1
    with running_gateway(database, tmp_path / "other", served.upstream) as other:
        there = Customer(other, customer.user)
        served.stop()
        provider.go_on.set()
        done = there.ended(begun, 60)
        assert (done.status, done.request_counts.completed) == ("completed", count)
        balance = other.balance(customer.user)
        assert (balance["held_nano_usd"], balance["settled_nano_usd"]) == (0, count * PRICE)
        assert refusals(other) == 0
        other.verified()


def test_results_that_all_failed_stand_in_one_file(served: RunningGateway) -> None:
    """There is an error file and no output file, and the batch is completed (rule: contract)."""
    customer = Customer(served, served.user())
    done = customer.run(*(line(f"{n}", model="local/none") for n in range(3)))
    counts = done.request_counts
    assert (done.status, counts.completed, counts.failed) == ("completed", 0, 3)
    assert done.output_file_id is None
    assert len(customer.lines_of(done.error_file_id)) == 3
    served.verified()
