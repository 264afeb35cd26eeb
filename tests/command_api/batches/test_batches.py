"""Batches as the official client makes them: each line a call, held, settled and told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.command_api.batches.making import CHAT, Customer, answers, asks, jsonl, line, said
from tests.conftest import fresh_database
from tests.support.harness import ScriptedUpstream, completion, reply, running_gateway
from tests.support.packages import ROOT

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose provider is played by each test."""
    upstream = ScriptedUpstream(answers)
    home = tmp_path_factory.mktemp("home")
    with fresh_database(server) as own, running_gateway(own, home, upstream) as made:
        yield made
    upstream.close()


@pytest.fixture
def customer(served: RunningGateway) -> Customer:
    """A new customer, whose provider answers."""
    served.upstream.answer = answers
    return Customer(served, served.user())


def test_the_official_client_runs_a_batch(customer: Customer) -> None:
    """Uploaded, made, looked at, listed, and read: every line has its answer, and each is a call
    that was held, settled and is told with its batch (rule: contract, P2).
    """
    begun = customer.begin(
        *(line(f"a-{number}", **asks(f"number {number}")) for number in range(20)),
        metadata={"job": "nightly"},
    )
    assert (begun.object, begun.endpoint, begun.metadata) == ("batch", CHAT, {"job": "nightly"})
    assert begun.status in {"validating", "in_progress", "completed"}
    done = customer.ended(begun)
    assert (done.status, done.errors, done.error_file_id) == ("completed", None, None)
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    told = customer.lines_of(done.output_file_id)
    assert {name: said(each) for name, each in told.items()} == {
        f"a-{number}": f"number {number}" for number in range(20)
    }
    one = told["a-7"]
    assert one["error"] is None
    assert one["response"]["status_code"] == 200
    story = customer.served.story(customer.user, one["response"]["request_id"])
    assert (story["status"], story["batch_id"]) == ("settled", begun.id)
    assert story["settled_nano_usd"] == 10 * 150 + 5 * 600
    balance = customer.served.balance(customer.user)
    assert balance["held_nano_usd"] == 0
    assert [each.id for each in customer.api.batches.list()] == [begun.id]
    names = {each.filename for each in customer.api.files.list()}
    assert names == {"in.jsonl", f"{begun.id}_output.jsonl"}
    customer.served.verified()


def test_what_a_line_is_refused_stands_in_the_error_file(
    customer: Customer, served: RunningGateway
) -> None:
    """A model that nobody knows, and a body that cannot be, fail their lines with the same error
    that a call has; the others go on (rule: contract).
    """
    done = customer.run(
        line("good"), line("unknown", model="local/none"), line("bad", max_tokens=-1)
    )
    counts = done.request_counts
    assert (done.status, counts.completed, counts.failed) == ("completed", 1, 2)
    failed = customer.lines_of(done.error_file_id)
    assert failed["unknown"]["response"]["status_code"] == 404
    assert failed["unknown"]["response"]["body"]["error"]["code"] == "model_not_found"
    assert failed["bad"]["response"]["status_code"] == 400
    assert customer.lines_of(done.output_file_id).keys() == {"good"}
    served.verified()


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "local/m", "prompt": "Hi"}),
        ("/v1/responses", {"model": "local/m", "input": "Hi"}),
        ("/v1/embeddings", {"model": "local/m", "input": "Hi"}),
        (
            "/v1/messages",
            {"model": "local/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
        ),
    ],
)
def test_every_endpoint_is_the_route_of_that_name(
    customer: Customer, served: RunningGateway, endpoint: str, body: dict[str, object]
) -> None:
    """A line is answered as the same body is when it is posted (rule: contract)."""

    def plays(connection: socket.socket, request: Request) -> None:
        if request.path.endswith("/embeddings"):
            usage = b'"usage":{"prompt_tokens":1,"total_tokens":1}'
            vector = b'[{"object":"embedding","index":0,"embedding":[0.5]}]'
            reply(connection, b'{"object":"list","model":"m","data":%b,%b}' % (vector, usage))
        else:
            answers_hi(connection, request)

    served.upstream.answer = plays
    asked = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    done = customer.run(asked, endpoint=endpoint)
    with served.client(customer.user) as client:
        posted = client.post(endpoint, json=body)
    if posted.status_code == 200:
        told = customer.lines_of(done.output_file_id)["a"]["response"]
    else:
        told = customer.lines_of(done.error_file_id)["a"]["response"]
    assert told["status_code"] == posted.status_code
    assert told["body"].keys() == posted.json().keys()


def answers_hi(connection: socket.socket, request: Request) -> None:
    """A provider of chat alone."""
    del request
    reply(connection, completion("Hi."))


@pytest.mark.parametrize(
    ("lines", "code", "at"),
    [
        ([b"", b" "], "empty_file", None),
        ([b"\xff\xfe"], "invalid_json_line", 1),
        ([line("a"), b"{"], "invalid_json_line", 2),
        ([line("a"), line("b"), line("a")], "duplicate_custom_id", 3),
        ([line("")], "invalid_custom_id", 1),
        ([line("x" * 513)], "invalid_custom_id", 1),
        ([{**line("a"), "url": "/v1/embeddings"}], "mismatched_endpoint", 1),
        ([{**line("a"), "method": "GET"}], "invalid_method", 1),
        ([{**line("a"), "custom_id": 5}], "invalid_type", 1),
        ([{**line("a"), "body": []}], "invalid_body", 1),
        ([line("a", model=None)], "missing_model", 1),
        ([line("a", stream=True)], "stream_not_supported", 1),
        ([line("a", background=True)], "background_not_supported", 1),
        ([b'{"custom_id":"a\x00"}'], "invalid_text", 1),
        ([b'{"custom_id":"a","body":' + b"[" * 100_000], "invalid_json_line", 1),
    ],
)
def test_a_file_that_cannot_be_run_fails_as_a_whole(
    customer: Customer, lines: list[object], code: str, at: int | None
) -> None:
    """Nothing of it is called, and every error names its line (rule: bounded)."""
    done = customer.run(*lines)
    assert done.status == "failed"
    assert done.failed_at >= done.created_at
    assert [(each.code, each.line) for each in done.errors.data] == [(code, at)]
    assert (done.output_file_id, done.request_counts.total) == (None, 0)
    with customer.served.client(customer.user) as client:
        assert client.get("/v1/calls").json()["data"] == []


def test_a_bom_blank_lines_and_crlf_are_no_matter(customer: Customer) -> None:
    """As files come from elsewhere; the last line may end without a mark (rule: translation)."""
    whole = b"\xef\xbb\xbf" + jsonl(line("a"), b"", line("b")).replace(b"\n", b"\r\n").rstrip()
    file = customer.upload(whole)
    batch = customer.api.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h"
    )
    done = customer.ended(batch)
    assert customer.lines_of(done.output_file_id).keys() == {"a", "b"}


def test_bad_batches_are_refused(customer: Customer) -> None:
    """An endpoint, a window, metadata or a file that cannot be (rule: bounded)."""
    file = customer.upload(jsonl(line("a")))
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for bad, status in (
        ({"endpoint": "/v1/images/generations"}, 400),
        ({"endpoint": "/v1/audio/speech"}, 400),
        ({"completion_window": "1h"}, 400),
        ({"metadata": {str(n): "x" for n in range(17)}}, 400),
        ({"metadata": {"a": "x" * 513}}, 400),
        ({"metadata": {"a": 5}}, 400),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, 400),
        ({"input_file_id": "file-00000000000000000000000000000000"}, 404),
        ({"input_file_id": "../x"}, 404),
        ({"input_file_id": 5}, 400),
    ):
        with customer.served.client(customer.user) as client:
            got = client.post("/v1/batches", json={**good, **bad})
        told = got.json()["error"]["param"].partition("[")[0]
        assert (got.status_code, told) == (status, next(iter(bad))), bad


def test_another_account_sees_nothing(customer: Customer) -> None:
    """Neither a batch nor its files, by any verb (P5)."""
    done = customer.run(line("a"))
    other = Customer(customer.served, customer.served.user())
    for ask in (
        lambda: other.api.batches.retrieve(done.id),
        lambda: other.api.batches.cancel(done.id),
        lambda: other.api.files.retrieve(done.output_file_id),
        lambda: other.api.files.content(done.output_file_id),
        lambda: other.api.files.delete(done.input_file_id),
        lambda: other.api.batches.create(
            input_file_id=done.input_file_id, endpoint=CHAT, completion_window="24h"
        ),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert list(other.api.batches.list()) == []
    assert list(other.api.files.list()) == []


def test_a_key_makes_one_batch(customer: Customer) -> None:
    """Sent twice it is one batch; with another body it is refused (P3)."""
    file = customer.upload(jsonl(line("a")))
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    with customer.served.client(customer.user, **{"Idempotency-Key": "k"}) as client:
        first, again = (client.post("/v1/batches", json=body) for _ in range(2))
        others = [
            client.post("/v1/batches", json={**body, **other})
            for other in ({"endpoint": "/v1/completions"}, {"metadata": {"a": "b"}})
        ]
    assert first.json()["id"] == again.json()["id"]
    assert [each.status_code for each in others] == [422, 422]
    assert len(list(customer.api.batches.list())) == 1


def test_lists_go_on_behind_the_last(customer: Customer) -> None:
    """The newest first, page by page, none twice (rule: contract)."""
    made = [customer.begin(line("a")).id for _ in range(3)]
    for each in made:
        customer.ended(customer.api.batches.retrieve(each))
    first = customer.api.batches.list(limit=2)
    assert ([each.id for each in first.data], first.has_more) == (made[:0:-1], True)
    assert [each.id for each in customer.api.batches.list(limit=2)] == made[::-1]


def test_what_ended_is_not_cancelled(customer: Customer) -> None:
    """A 409, as nothing is left to end (rule: contract)."""
    done = customer.run(line("a"))
    with pytest.raises(openai.ConflictError):
        customer.api.batches.cancel(done.id)


def test_nothing_of_its_content_stands_in_the_clear(customer: Customer) -> None:
    """Neither in its rows nor in its files, nor in the log (P5)."""
    done = customer.run(line("very-own-id", **asks("a secret word")), metadata={"very": "own-id"})
    with customer.served.database.connect_as_owner() as connection:
        rows = []
        for table in ("batch", "stored_file", "stored_file_chunk", "batch_result", "events"):
            rows += connection.execute(f"SELECT t::text FROM {table} t").fetchall()
        states = connection.execute("SELECT state FROM events").fetchall()
    hexed = [b"very-own-id".hex(), b"a secret word".hex(), b"in.jsonl".hex()]
    for (text,) in rows:
        assert not any(each in text for each in (*hexed, "very-own-id", "a secret word"))
    assert not any(b"very-own-id" in bytes(state) for (state,) in states)
    with customer.served.database.connect() as connection:
        counted = connection.execute("SELECT count(*) FROM batch_result").fetchone()
    assert counted == (0,)
    assert done.output_file_id
    with httpx.Client(base_url=customer.served.url) as nobody:
        assert nobody.get(f"/v1/files/{done.output_file_id}/content").status_code == 401


def test_the_guide_is_right(customer: Customer) -> None:
    """What it tells a reader to paste makes a batch and reads its answers (rule: docs)."""
    page = (ROOT / "docs/guides/batches.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    names: dict[str, object] = {}
    code = found[1].replace("http://127.0.0.1:8000", customer.served.url)
    code = code.replace("gw_live_...", customer.user.api_key)
    exec(compile(code, "<batches.md>", "exec"), names)  # noqa: S102 - it is our own page.
    assert names["answers"] == {f"greeting-{number}": f"Hello {number}" for number in range(3)}
