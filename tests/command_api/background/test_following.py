"""The events of a response in the background: followed, left, and taken up again anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.background.playing import (
    Waiting,
    begin,
    ended,
    got,
    story_of,
    texts_of,
    told,
)
from tests.command_api.calls.responses import GPT, LOCAL, call, plays, serving, stream_of
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

BODY: dict[str, Any] = {"model": GPT, "input": "Hi", "background": True, "stream": True}


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose providers are played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def other(
    served: RunningGateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """Another process at the same database."""
    home = tmp_path_factory.mktemp("other")
    with running_gateway(served.database, home, served.upstream) as made:
        yield made


def left_after(gateway: RunningGateway, user: NewUser, **more: Any) -> list[dict[str, Any]]:
    """The events up to the first text, where the caller hangs up."""
    seen: list[dict[str, Any]] = []
    with (
        gateway.client(user) as client,
        client.stream("POST", "/v1/responses", json={**BODY, **more}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
                if seen[-1]["type"] == "response.output_text.delta":
                    return seen
    raise AssertionError(seen)


@pytest.mark.parametrize("model", [GPT, LOCAL])
def test_events_are_numbered_and_end_with_the_response(served: RunningGateway, model: str) -> None:
    """From queued to completed, each under the response's id (rule: contract)."""
    provider = served.upstream.answer = Waiting()
    provider.go_on.set()
    user = served.user()
    answer = call(served, user, {**BODY, "model": model})
    events = told(answer.text)
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    kinds = [each["type"] for each in events]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds.count("response.created") == kinds.count("response.in_progress") == 1
    assert kinds[-1] == "response.completed"
    statuses = [each["response"]["status"] for each in events if "response" in each]
    assert statuses == ["queued", "queued", "in_progress", "completed"]
    (response_id,) = {each["response"]["id"] for each in events if "response" in each}
    assert got(served, user, response_id).json() == events[-1]["response"]
    again = got(served, user, f"{response_id}?stream=true")
    assert again.headers["content-type"].startswith("text/event-stream")
    assert told(again.text) == events


def test_it_goes_on_when_its_caller_leaves(served: RunningGateway) -> None:
    """Who comes back gets the rest, each event once (rule: contract, money rule 5)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    seen = left_after(served, user)
    response_id, last = seen[0]["response"]["id"], seen[-1]["sequence_number"]
    assert got(served, user, response_id).json()["status"] == "in_progress"
    with (
        served.client(user) as client,
        client.stream(
            "GET", f"/v1/responses/{response_id}?stream=true&starting_after={last}"
        ) as answer,
    ):
        provider.go_on.set()
        rest = told(answer.read().decode())
    numbers = [each["sequence_number"] for each in [*seen, *rest]]
    assert numbers == list(range(len(numbers)))
    assert rest[-1]["type"] == "response.completed"
    assert texts_of(rest[-1]["response"]) == "one two three"
    assert story_of(served, user, response_id)["reason"] == "completed"
    behind = got(served, user, f"{response_id}?stream=true&starting_after={numbers[-1]}")
    assert told(behind.text) == []


def test_another_process_tells_all_once_it_has_ended(
    served: RunningGateway, other: RunningGateway
) -> None:
    """Meanwhile it waits; events come out of storage, sealed there (rule: contract, P5)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    seen = left_after(served, user)
    response_id = seen[0]["response"]["id"]
    with (
        other.client(user) as client,
        client.stream("GET", f"/v1/responses/{response_id}?stream=true") as answer,
    ):
        provider.go_on.set()
        events = told(answer.read().decode())
    assert events[: len(seen)] == seen
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    assert told(got(served, user, f"{response_id}?stream=true").text) == events
    with served.database.connect_as_owner() as connection:
        row = connection.execute(
            "SELECT events FROM kept_response WHERE response_id = %s", [response_id]
        ).fetchone()
    assert row is not None
    assert b"delta" not in row[0]


def test_another_process_sees_and_cancels_it(served: RunningGateway, other: RunningGateway) -> None:
    """Within a second or two (rule: contract)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    made = begin(served, user)
    assert provider.begun.acquire(timeout=20)
    assert got(other, user, made["id"]).json()["status"] == "in_progress"
    found = got(other, user, f"{made['id']}/cancel", "POST").json()
    assert (found["status"], texts_of(found)) == ("cancelled", "one ")
    assert provider.gone.wait(20)
    assert got(served, user, f"{made['id']}/cancel", "POST").json() == found
    assert story_of(served, user, made["id"])["reason"] == "cancelled"


def test_another_process_deletes_it(served: RunningGateway, other: RunningGateway) -> None:
    """Its provider hears of it, and nothing comes back (rule: contract)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    made = begin(served, user)
    assert provider.begun.acquire(timeout=20)
    assert got(other, user, made["id"], "DELETE").status_code == 200
    assert provider.gone.wait(20)
    assert story_of(served, user, made["id"])["reason"] == "cancelled"
    assert got(served, user, made["id"]).status_code == 404


def test_a_cancelled_one_is_told_to_who_follows(served: RunningGateway) -> None:
    """Its last event says so, with all that came (rule: contract)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    response_id = left_after(served, user)[0]["response"]["id"]
    with (
        served.client(user) as client,
        client.stream("GET", f"/v1/responses/{response_id}?stream=true") as answer,
    ):
        found = got(served, user, f"{response_id}/cancel", "POST").json()
        events = told(answer.read().decode())
    assert (events[-1]["type"], events[-1]["response"]) == ("response.cancelled", found)
    assert provider.gone.wait(20)


def test_only_what_was_streamed_is_told_again(served: RunningGateway) -> None:
    """Anything else is refused by name (rule: refuse clearly)."""
    served.upstream.answer = plays(*stream_of("one"))
    user = served.user()
    made = begin(served, user)
    ended(served, user, made["id"])
    refused = got(served, user, f"{made['id']}?stream=true")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "response_not_streamed"
    refused = got(served, user, f"{made['id']}?starting_after=1")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")
    for wrong in ("-1", "x", str(2**40)):
        refused = got(served, user, f"{made['id']}?stream=true&starting_after={wrong}")
        assert refused.status_code in (400, 422)


def test_a_key_is_answered_with_the_same_events(served: RunningGateway) -> None:
    """While it runs and afterwards (P3)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    with (
        served.client(user, **{"idempotency-key": "k"}) as client,
        client.stream("POST", "/v1/responses", json=BODY) as first,
    ):
        assert provider.begun.acquire(timeout=20)
        provider.go_on.set()
        events = told(first.read().decode())
    again = call(served, user, BODY, idempotency_key="k")
    assert again.headers["idempotent-replayed"] == "true"
    assert told(again.text) == events
    assert len(provider.bodies) == 1
