"""Lines of batches beside calls that somebody waits for, and lines that are refused by size."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.batches.making import CHAT, Customer, answers, asks, line, said
from tests.command_api.batches.test_hostile import Gate, many
from tests.support.harness import ASK, completion, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

CROWDED = """
[[provider]]
name = "crowded"
base_url = "{base_url}"
api_key = "sk-up"
concurrency = {{ least = 1, most = 4, adaptive = false }}
[[provider.model]]
id = "m"
input_per_million = "0.15"
output_per_million = "0.60"
context_length = 128000
"""


@pytest.fixture
def served(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with a provider that takes four calls at a time, and batches that want eight."""
    upstream.answer = answers
    providers = CROWDED.format(base_url=upstream.base_url)
    more: dict[str, Any] = {"batch_lines_at_once": 8, "batch_result_bytes_max": 32_768}
    with running_gateway(
        database, tmp_path / "home", upstream, providers=providers, **more
    ) as made:
        yield made


def test_lines_leave_room_for_who_waits(served: RunningGateway) -> None:
    """Of four places two are the lines', so a caller is answered at once; lines that find none
    wait without a hold, and are all called in the end (P2, rule: calls first).
    """
    gate, live = Gate(), threading.Event()

    def plays(connection: socket.socket, request: Request) -> None:
        if request.body["messages"][-1]["content"].startswith("batch"):
            gate(connection, request)
        else:
            live.set()
            answers(connection, request)

    served.upstream.answer = plays
    customer, other = (Customer(served, served.user()) for _ in range(2))
    lines = [line(f"{n}", model="crowded/m", **asks(f"batch {n}")) for n in range(6)]
    begun = customer.begin(*lines)
    for _ in range(2):
        assert gate.begun.acquire(timeout=20)
    time.sleep(1.5)
    assert len(gate.asked) == 2

    def call(number: int) -> float:
        began = time.monotonic()
        with served.client(other.user) as client:
            got = client.post(CHAT, json={**ASK, "model": "crowded/m", **asks(f"live {number}")})
        assert got.status_code == 200
        return time.monotonic() - began

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(call, range(6))) < 5
    assert live.is_set()
    assert len(gate.asked) == 2
    gate.go_on.set()
    done = customer.ended(begun, 60)
    assert (done.status, done.request_counts.completed) == ("completed", 6)
    with served.database.connect() as connection:
        query = "SELECT count(*) FROM events WHERE topic LIKE 'ledger.hold_voided%'"
        assert connection.execute(query).fetchone() == (0,)
    served.verified()


def test_a_provider_of_messages_that_is_away_is_tried_again(served: RunningGateway) -> None:
    """Its refusal has the status of its own API, 529 (rule: translation, money rule 4)."""
    tries = 0

    def fails(connection: socket.socket, request: Request) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            reply(connection, b'{"error":{"message":"no"}}', status=503)
        else:
            answers(connection, request)

    served.upstream.answer = fails
    customer = Customer(served, served.user())
    body = {"model": "local/m", "max_tokens": 9, **asks("Hi")}
    asked = {"custom_id": "a", "method": "POST", "url": "/v1/messages", "body": body}
    done = customer.run(asked, endpoint="/v1/messages")
    assert (done.status, done.request_counts.completed, tries) == ("completed", 1, 2)
    served.verified()


def test_answers_have_a_maximum_together(served: RunningGateway) -> None:
    """What is left then is not called, not charged, and told so by name (rule: bounded)."""

    def long(connection: socket.socket, request: Request) -> None:
        del request
        reply(connection, completion("x" * 3_000))

    served.upstream.answer = long
    customer = Customer(served, served.user())
    done = customer.run(*many(30))
    counts = done.request_counts
    assert (done.status, counts.completed + counts.failed) == ("completed", 30)
    assert 8 <= counts.completed < 30
    failed = customer.lines_of(done.error_file_id)
    assert {each["error"]["code"] for each in failed.values()} == {"batch_results_too_large"}
    assert served.upstream.calls == counts.completed
    served.verified()


def test_a_line_larger_than_a_request_fails_the_file(served: RunningGateway) -> None:
    """A file that is one line of 64 MiB is stored, read in the memory of a chunk, and refused by
    its line; one byte more is no file (rule: bounded).
    """
    customer = Customer(served, served.user())
    whole = 64 * 2**20
    head = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"'
    content = head + b"x" * (whole - len(head))
    file = customer.upload(content)
    assert file.bytes == whole
    begun = customer.api.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h"
    )
    assert begun.expires_at is not None
    assert begun.expires_at - begun.created_at in {86_399, 86_400}
    done = customer.ended(begun, 60)
    assert (done.status, [(each.code, each.line) for each in done.errors.data]) == (
        "failed",
        [("line_too_long", 1)],
    )
    with pytest.raises(Exception, match="holds more than"):
        customer.upload(content + b"x")
    assert served.upstream.calls == 0


def test_a_cancel_is_told_twice_and_done_once(served: RunningGateway) -> None:
    """Whoever asks again while lines end is told how it stands; there is one event (P3)."""
    provider = served.upstream.answer = Gate()
    customer = Customer(served, served.user())
    begun = customer.begin(*many(20))
    assert provider.begun.acquire(timeout=20)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: customer.api.batches.cancel(begun.id), range(4)))
    assert {each.status for each in told} == {"cancelling"}
    assert customer.look(begun).status == "cancelling"
    time.sleep(1.5)  # Whoever runs it hears of it by looking, each second.
    provider.go_on.set()
    done = customer.ended(begun)
    assert done.status == "cancelled"
    assert done.request_counts.completed == len(provider.asked) < 20
    with served.database.connect() as connection:
        query = "SELECT count(*) FROM events WHERE topic = 'batch.cancelled.v1'"
        assert connection.execute(query).fetchone() == (1,)
    served.verified()


def test_credits_that_end_half_way_end_no_line_twice(served: RunningGateway) -> None:
    """Lines that were covered stand, the others have their 402, and the balance is what was paid
    for (P1, P3).
    """
    price = 10 * 150 + 5 * 600
    customer = Customer(served, served.user(grant=10 * price))
    done = customer.run(*(line(f"{n}", max_tokens=5, **asks(f"{n}")) for n in range(20)))
    counts = done.request_counts
    assert (done.status, counts.completed + counts.failed) == ("completed", 20)
    told = customer.lines_of(done.output_file_id)
    assert {name: said(each) for name, each in told.items()} == {name: name for name in told}
    failed = customer.lines_of(done.error_file_id)
    assert {each["response"]["status_code"] for each in failed.values()} == {402}
    balance = served.balance(customer.user)
    assert balance["settled_nano_usd"] == counts.completed * price
    assert balance["held_nano_usd"] == 0
    assert 5 <= counts.completed <= 10
    served.verified()


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/moderations", {"model": "simulator/moderate", "input": "Hi"}),
        ("/v1/rerank", {"model": "simulator/rank", "query": "Hi", "documents": ["a", "b"]}),
    ],
)
def test_judging_is_an_endpoint(
    served: RunningGateway, endpoint: str, body: dict[str, object]
) -> None:
    """Moderations as OpenAI's batches have them, and reranks beside them (rule: contract)."""
    customer = Customer(served, served.user())
    asked = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    done = customer.run(asked, endpoint=endpoint)
    assert (done.status, done.request_counts.completed) == ("completed", 1)
    with served.client(customer.user) as client:
        posted = client.post(endpoint, json=body).json()
    told = customer.lines_of(done.output_file_id)["a"]["response"]
    assert (told["status_code"], told["body"].keys()) == (200, posted.keys())
    served.verified()
