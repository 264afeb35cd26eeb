"""Responses that are stored: found again, gone on from, deleted, and read by nobody else."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from command_api.kept_replies.responses import CHAIN_MAX
from tests.command_api.calls.responses import (
    GPT,
    LOCAL,
    ask,
    asked_last,
    call,
    item,
    plays,
    says,
    serving,
    stream_of,
    whole,
)
from tests.support.harness import DONE, USAGE, chunk, completion, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose providers are played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


def got(gateway: RunningGateway, user: NewUser, path: str, method: str = "GET") -> httpx.Response:
    """A request below /v1/responses."""
    with gateway.client(user) as client:
        return client.request(method, f"/v1/responses/{path}")


def stored(gateway: RunningGateway, user: NewUser, **more: Any) -> dict[str, Any]:
    """A response that is stored, as it was answered."""
    answer = call(gateway, user, {"model": LOCAL, "input": "Hi", **more})
    assert answer.status_code == 200, answer.text
    if not more.get("stream"):
        made: dict[str, Any] = answer.json()
        return made
    last = answer.text.strip().split("\n\n")[-1].split("data: ", 1)[1]
    found: dict[str, Any] = json.loads(last)["response"]
    return found


def rows(gateway: RunningGateway, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What stands in the database."""
    with psycopg.connect(gateway.database.owner, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("model", [LOCAL, GPT])
def test_a_stream_that_fails_is_stored_as_failed(served: RunningGateway, model: str) -> None:
    """As it was told to its caller, who was told that it is; with `store: false` it is not
    (rule: contract).
    """
    for store in (True, False):
        user = served.user()
        begun = stream_of("one")[:4] if model == GPT else [chunk({"content": "one two "})]
        served.upstream.answer = plays(*begun, b"data: {nothing}\n\n")
        made = stored(served, user, model=model, stream=True, store=store)
        assert made["status"] == "failed"
        found = got(served, user, made["id"])
        if store:
            assert (found.status_code, found.json()) == (200, {**made, "store": True})
            assert found.json()["output"][0]["content"][0]["text"].startswith("one")
        else:
            assert (found.status_code, made["store"]) == (404, False)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", [LOCAL, GPT])
def test_a_response_is_found_again(served: RunningGateway, model: str, streamed: bool) -> None:
    """With all that it was answered with; its input is listed (rule: contract)."""
    if model == GPT:
        told = stream_of("Hello.", id=f"resp_{streamed}")
        body = whole(id=f"resp_{streamed}")
        served.upstream.answer = plays(*told) if streamed else says(body)
    elif streamed:
        pieces = (chunk({"content": "Hello."}), chunk({}, finish="stop"), USAGE, DONE)
        served.upstream.answer = plays(*pieces)
    else:
        served.upstream.answer = says(completion("Hello."))
    user = served.user()
    first = {"role": "user", "content": [{"type": "input_text", "text": "one"}]}
    given = [first, {"role": "user", "content": "two"}, item("three")]
    made = stored(served, user, model=model, input=given, stream=streamed)
    found = got(served, user, made["id"])
    assert found.status_code == 200
    assert found.json() == {**made, "store": True}
    listed = got(served, user, f"{made['id']}/input_items?order=asc").json()
    assert [each["content"][0]["text"] for each in listed["data"]] == ["one", "two", "three"]
    assert (listed["object"], listed["has_more"]) == ("list", False)
    page = got(served, user, f"{made['id']}/input_items?limit=2").json()
    assert [each["content"][0]["text"] for each in page["data"]] == ["three", "two"]
    assert page["has_more"]
    rest = got(served, user, f"{made['id']}/input_items?limit=2&after={page['last_id']}").json()
    assert [each["content"][0]["text"] for each in rest["data"]] == ["one"]
    wrong = got(served, user, f"{made['id']}/input_items?after=nobody")
    assert wrong.status_code == 400


def test_the_next_goes_on_from_it(served: RunningGateway) -> None:
    """Through a chain, from one provider's form to another's, held for as a whole
    (rule: contract, money rule 2).
    """
    user = served.user()
    served.upstream.answer = says(completion("First answer."))
    first = stored(served, user, input="First question.", instructions="Not carried over.")
    served.upstream.answer = says(completion("Second answer."))
    second = stored(served, user, input="Second question.", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert [each["content"] for each in asked_last(served).body["messages"]] == [
        *("First question.", "First answer.", "Second question."),
    ]
    served.upstream.answer = says(whole(id="resp_third"))
    body = {"model": GPT, "input": "Third question.", "previous_response_id": second["id"]}
    third = call(served, user, body)
    sent = asked_last(served).body
    assert "previous_response_id" not in sent
    assert sent["store"] is False
    texts = [each["content"][0]["text"] for each in sent["input"]]
    assert texts == [
        *("First question.", "First answer.", "Second question.", "Second answer."),
        "Third question.",
    ]
    assert not any("id" in each for each in sent["input"])
    alone = call(served, user, ask(input="Third question."))
    held = [served.story(user, each)["held_nano_usd"] for each in (third, alone)]
    assert held[0] > held[1]
    assert got(served, user, "resp_third").json()["previous_response_id"] == second["id"]


def test_only_sealed_thoughts_go_on(served: RunningGateway) -> None:
    """A provider cannot read others (rule: translation)."""
    user = served.user()
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    sealed = {**thought, "id": "rs_2", "encrypted_content": "E"}
    served.upstream.answer = says(whole(thought, sealed, item(), id="resp_thoughts"))
    stored(served, user, model=GPT)
    served.upstream.answer = says(whole(id="resp_after"))
    stored(served, user, model=GPT, previous_response_id="resp_thoughts")
    items = asked_last(served).body["input"]
    assert [each.get("encrypted_content") for each in items] == [None, "E", None, None]


def test_what_is_not_to_be_stored_is_not(served: RunningGateway) -> None:
    """`store: false` leaves nothing (P5)."""
    served.upstream.answer = says(completion())
    user = served.user()
    made = stored(served, user, store=False)
    assert got(served, user, made["id"]).status_code == 404
    answer = call(served, user, ask(model=LOCAL, previous_response_id=made["id"]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        404,
        "previous_response_not_found",
    )


def test_it_stands_sealed_beside_the_log(served: RunningGateway) -> None:
    """Neither its input nor its output stands in a table or an event (P5)."""
    served.upstream.answer = says(completion("The answer is TURQUOISE."))
    user = served.user()
    made = stored(served, user, input="The question is MAGENTA.")
    (row,) = rows(served, "SELECT body FROM kept_response WHERE response_id = %s", made["id"])
    assert b"TURQUOISE" not in bytes(row[0])
    assert b"MAGENTA" not in bytes(row[0])
    for word in (b"TURQUOISE", b"MAGENTA"):
        assert rows(served, "SELECT FROM events WHERE position(%s IN state) > 0", word) == []


def test_a_deleted_one_is_gone(served: RunningGateway) -> None:
    """And nobody goes on from it, nor from one behind it (rule: contract)."""
    served.upstream.answer = says(completion())
    user = served.user()
    first = stored(served, user)
    second = stored(served, user, previous_response_id=first["id"])
    deleted = got(served, user, first["id"], "DELETE")
    assert deleted.json() == {"id": first["id"], "object": "response", "deleted": True}
    assert got(served, user, first["id"]).status_code == 404
    assert got(served, user, first["id"], "DELETE").status_code == 404
    for previous in (first, second):
        answer = call(served, user, ask(model=LOCAL, previous_response_id=previous["id"]))
        assert answer.json()["error"]["code"] == "previous_response_not_found"
    assert got(served, user, second["id"]).status_code == 200


def test_nobody_reads_anothers(served: RunningGateway) -> None:
    """Another one's is as good as none: got, listed, deleted, gone on from (P5)."""
    served.upstream.answer = says(completion())
    made = stored(served, served.user())
    other = served.user()
    wanted = got(served, other, "resp_nobody").json()["error"]
    assert wanted["code"] == "response_not_found"
    for path, method in ((made["id"], "GET"), (made["id"], "DELETE")):
        assert got(served, other, path, method).json()["error"] == wanted
    assert got(served, other, f"{made['id']}/input_items").status_code == 404
    answer = call(served, other, ask(model=LOCAL, previous_response_id=made["id"]))
    assert answer.status_code == 404
    before = served.events()
    for odd in ("x" * 10_000, "../events", "resp_\u00e9", ""):
        answer = call(served, other, ask(model=LOCAL, previous_response_id=odd or "-"))
        assert answer.json()["error"]["code"] == "previous_response_not_found"
    assert served.events() == before


def test_two_of_one_id_are_two_peoples(served: RunningGateway) -> None:
    """A provider that repeats an id shows nobody another one's; one's own first stays (P5)."""
    served.upstream.answer = says(whole(item("mine"), id="resp_same"))
    one, two = served.user(), served.user()
    stored(served, one, model=GPT)
    served.upstream.answer = says(whole(item("yours"), id="resp_same"))
    stored(served, two, model=GPT)
    stored(served, one, model=GPT)
    said = [
        got(served, each, "resp_same").json()["output"][0]["content"][0]["text"]
        for each in (one, two)
    ]
    assert said == ["mine", "yours"]


def test_circles_and_endless_chains_end(served: RunningGateway) -> None:
    """They are as good as none (rule: bounded)."""
    served.upstream.answer = says(completion())
    user = served.user()
    one = stored(served, user)
    two = stored(served, user, previous_response_id=one["id"])
    change = "UPDATE kept_response SET previous_id = %s WHERE response_id = %s"
    rows(served, change, two["id"], one["id"])
    began = time.monotonic()
    answer = call(served, user, ask(model=LOCAL, previous_response_id=two["id"]))
    assert answer.json()["error"]["code"] == "previous_response_not_found"
    rows(served, change, None, one["id"])
    rows(
        served,
        "INSERT INTO kept_response SELECT account_id, 'long_' || n, call_id, owner_id, "
        "CASE WHEN n > 1 THEN 'long_' || n - 1 END, kept_at, expires_at, body "
        "FROM kept_response, generate_series(1, %s) n WHERE response_id = %s",
        CHAIN_MAX + 1,
        one["id"],
    )
    longest = ask(model=LOCAL, previous_response_id=f"long_{CHAIN_MAX}")
    assert call(served, user, longest).status_code == 200
    beyond = ask(model=LOCAL, previous_response_id=f"long_{CHAIN_MAX + 1}")
    answer = call(served, user, beyond)
    assert answer.json()["error"]["code"] == "previous_response_not_found"
    assert time.monotonic() - began < 20


def test_a_chain_is_no_longer_than_a_body(served: RunningGateway) -> None:
    """However little is sent (rule: bounded)."""
    served.upstream.answer = says(completion())
    user = served.user()
    previous: str | None = None
    for _ in range(3):
        made = stored(served, user, input="a" * 3_000_000, previous_response_id=previous)
        previous = made["id"]
    limit = served.settings.requests.body_bytes_max
    assert limit < 3 * 3_000_000
    answer = call(served, user, ask(model=LOCAL, previous_response_id=previous))
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        413,
        "previous_responses_too_large",
    )


def test_its_time_ends(served: RunningGateway) -> None:
    """What is over is as good as none at once, and swept later (P5)."""
    served.upstream.answer = says(completion())
    user = served.user()
    made = stored(served, user)
    (row,) = rows(
        served,
        "SELECT expires_at - kept_at > '29 days' FROM kept_response WHERE response_id = %s",
        made["id"],
    )
    assert row[0]
    rows(
        served,
        "UPDATE kept_response SET expires_at = now() - interval '1 s' WHERE response_id = %s",
        made["id"],
    )
    assert got(served, user, made["id"]).status_code == 404


def test_who_left_takes_the_key_along(served: RunningGateway) -> None:
    """Without the data key nothing is read, whoever asks (P5)."""
    served.upstream.answer = says(completion())
    user = served.user()
    made = stored(served, user)
    rows(served, "UPDATE user_secret SET wrapped_key = NULL WHERE user_id = %s", user.user_id)
    rows(
        served,
        "UPDATE organisation SET wrapped_key = NULL WHERE organisation_id = %s",
        user.user_id,
    )
    assert eventually(lambda: got(served, user, made["id"]).status_code in (401, 404))


def test_a_replay_is_stored_once(served: RunningGateway) -> None:
    """An idempotency key answers with the same response, which is still there (P3)."""
    served.upstream.answer = says(completion())
    user = served.user()
    body = {"model": LOCAL, "input": "Hi"}
    first = call(served, user, body, idempotency_key="k")
    again = call(served, user, body, idempotency_key="k")
    assert again.content == first.content
    assert got(served, user, first.json()["id"]).status_code == 200
