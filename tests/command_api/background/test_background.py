"""Responses in the background: answered at once, run here, found as they are, and charged once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.command_api.background.playing import (
    Waiting,
    begin,
    ended,
    got,
    story_of,
    texts_of,
)
from tests.command_api.calls.responses import (
    GPT,
    LOCAL,
    call,
    item,
    plays,
    says,
    serving,
    stream_of,
)
from tests.support.harness import completion, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose providers are played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


@pytest.mark.parametrize("model", [GPT, LOCAL])
def test_it_is_answered_at_once_and_ends_by_itself(served: RunningGateway, model: str) -> None:
    """Queued, in progress while the provider makes it, then completed with its items, at any
    provider; charged as a call of its usage (rule: contract, P2).
    """
    provider = served.upstream.answer = Waiting()
    user = served.user()
    made = begin(served, user, model=model, metadata={"a": "b"}, instructions="Be brief.")
    assert (made["object"], made["status"], made["background"]) == ("response", "queued", True)
    assert (made["output"], made["error"], made["usage"]) == ([], None, None)
    assert (made["metadata"], made["instructions"]) == ({"a": "b"}, "Be brief.")
    assert provider.begun.acquire(timeout=20)
    running = got(served, user, made["id"]).json()
    assert running == {**made, "status": "in_progress"}
    assert served.balance(user)["held_nano_usd"] > 0
    provider.go_on.set()
    done = ended(served, user, made["id"])
    assert (done["status"], texts_of(done)) == ("completed", "one two three")
    for name in ("id", "object", "created_at", "background", "store"):
        assert done[name] == made.get(name, True)
    assert done["usage"]["output_tokens"] == 5
    story = story_of(served, user, made["id"])
    assert (story["status"], story["reason"]) == ("settled", "completed")
    assert served.balance(user)["held_nano_usd"] == 0
    listed = got(served, user, f"{made['id']}/input_items").json()
    assert [each["content"][0]["text"] for each in listed["data"]] == ["Hi"]


def test_no_provider_hears_of_the_background(served: RunningGateway) -> None:
    """It is asked for a stream that it does not store (rule: translation)."""
    provider = served.upstream.answer = Waiting()
    provider.go_on.set()
    user = served.user()
    made = begin(served, user)
    ended(served, user, made["id"])
    (body,) = provider.bodies
    assert "background" not in body
    assert (body["stream"], body["store"]) == (True, False)


def test_it_stands_sealed_and_in_no_event(served: RunningGateway) -> None:
    """While it runs and afterwards (P5)."""
    provider = served.upstream.answer = Waiting("whisper one ", "whisper two")
    user = served.user()
    made = begin(served, user, input="whisper zero", stream=False)
    assert provider.begun.acquire(timeout=20)
    query = "SELECT body, events, runner_id FROM kept_response WHERE response_id = %s"
    with psycopg.connect(served.database.owner, autocommit=True) as connection:
        (row,) = connection.execute(query, [made["id"]]).fetchall()
        assert b"whisper" not in row[0]
        assert row[2] is not None
        provider.go_on.set()
        ended(served, user, made["id"])
        (row,) = connection.execute(query, [made["id"]]).fetchall()
        assert b"whisper" not in row[0]
        assert row[1:] == (None, None)
        found = connection.execute(
            "SELECT count(*) FROM events WHERE position('whisper'::bytea IN state) > 0"
        ).fetchone()
        assert found == (0,)


def test_one_goes_on_from_it_once_it_is_done(served: RunningGateway) -> None:
    """Before that it is refused by name (rule: contract, rule: refuse clearly)."""
    provider = served.upstream.answer = Waiting("First.")
    user = served.user()
    made = begin(served, user, input="One?")
    following = {"model": LOCAL, "input": "Two?", "previous_response_id": made["id"]}
    refused = call(served, user, following)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "previous_response_unfinished"
    provider.go_on.set()
    ended(served, user, made["id"])
    served.upstream.answer = says(completion("Second."))
    assert call(served, user, following).status_code == 200
    again = begin(served, user, **following | {"store": True})
    assert again["previous_response_id"] == made["id"]
    assert ended(served, user, again["id"])["previous_response_id"] == made["id"]


def test_a_failure_is_told_with_its_charge(served: RunningGateway) -> None:
    """Before output nothing is charged, after it what was made (money rule 4, rule: contract)."""
    user = served.user()
    served.upstream.answer = says(b'{"error":{"message":"no"}}', status=500)
    made = begin(served, user)
    found = ended(served, user, made["id"])
    assert (found["status"], found["output"]) == ("failed", [])
    assert found["error"]["code"] == "server_error"
    assert found["error"]["gatewayz_code"]
    assert story_of(served, user, made["id"])["status"] == "voided"
    served.upstream.answer = plays(*stream_of("one ")[:3])
    made = begin(served, user)
    found = ended(served, user, made["id"])
    assert (found["status"], texts_of(found)) == ("failed", "one ")
    assert found["usage"]["output_tokens"] > 0
    story = story_of(served, user, made["id"])
    assert (story["status"], story["reason"]) == ("settled", "unusable_reply")


def test_an_incomplete_one_is_told_so(served: RunningGateway) -> None:
    """With why (rule: contract)."""
    details = {"incomplete_details": {"reason": "max_output_tokens"}}
    served.upstream.answer = plays(*stream_of("one", status="incomplete", **details))
    user = served.user()
    found = ended(served, user, begin(served, user)["id"])
    assert found["status"] == "incomplete"
    assert found["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_cancel_ends_the_provider_and_is_charged(served: RunningGateway) -> None:
    """Once, for what was made; cancelled again it is the same (money rule 5, rule: contract)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    made = begin(served, user)
    assert provider.begun.acquire(timeout=20)
    eventually(lambda: served.balance(user)["held_nano_usd"] > 0)
    cancelled = got(served, user, f"{made['id']}/cancel", "POST")
    assert cancelled.status_code == 200, cancelled.text
    found = cancelled.json()
    assert (found["status"], found["error"], texts_of(found)) == ("cancelled", None, "one ")
    assert provider.gone.wait(20)
    story = story_of(served, user, made["id"])
    assert (story["status"], story["reason"]) == ("settled", "cancelled")
    assert story["usage"]["source"] == "estimated"
    again = got(served, user, f"{made['id']}/cancel", "POST")
    assert (again.status_code, again.json()) == (200, found)
    assert got(served, user, made["id"]).json() == found
    assert served.balance(user)["held_nano_usd"] == 0


def test_a_cancel_before_output_is_free(served: RunningGateway) -> None:
    """As a hang-up is (money rule 5)."""
    provider = served.upstream.answer = Waiting(before=0)
    user = served.user()
    made = begin(served, user)
    assert provider.begun.acquire(timeout=20)
    found = got(served, user, f"{made['id']}/cancel", "POST").json()
    assert (found["status"], found["output"], found["usage"]) == ("cancelled", [], None)
    story = story_of(served, user, made["id"])
    assert (story["status"], story["reason"]) == ("voided", "cancelled")
    assert provider.gone.wait(20)


def test_what_has_ended_is_not_cancelled(served: RunningGateway) -> None:
    """It is told as it is; what never ran in the background is refused (rule: contract)."""
    served.upstream.answer = plays(*stream_of("one"))
    user = served.user()
    made = begin(served, user)
    done = ended(served, user, made["id"])
    cancelled = got(served, user, f"{made['id']}/cancel", "POST")
    assert (cancelled.status_code, cancelled.json()) == (200, done)
    served.upstream.answer = says(completion("Hello."))
    plain = call(served, user, {"model": LOCAL, "input": "Hi"}).json()
    refused = got(served, user, f"{plain['id']}/cancel", "POST")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "response_not_in_background"


def test_a_key_is_answered_with_the_same_response(served: RunningGateway) -> None:
    """While it runs and afterwards; another body is refused (P3)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    body: dict[str, Any] = {"model": GPT, "input": "Hi", "background": True}
    key = {"idempotency_key": "k"}
    first = call(served, user, body, **key)
    assert provider.begun.acquire(timeout=20)
    second = call(served, user, body, **key)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-gatewayz-call-id"] == first.headers["x-gatewayz-call-id"]
    other = call(served, user, {**body, "input": "Ho"}, **key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    provider.go_on.set()
    ended(served, user, first.json()["id"])
    third = call(served, user, body, **key)
    assert (third.status_code, third.content) == (200, first.content)
    assert len(provider.bodies) == 1


def test_a_key_whose_response_failed_tries_again(served: RunningGateway) -> None:
    """Under the same id, in the place of what failed (P3)."""
    user = served.user()
    served.upstream.answer = says(b'{"error":{"message":"no"}}', status=500)
    key = {"idempotency_key": "again"}
    made = begin(served, user, headers=key)
    assert ended(served, user, made["id"])["status"] == "failed"
    served.upstream.answer = plays(*stream_of("one"))
    again = begin(served, user, headers=key)
    assert again["id"] == made["id"]
    assert texts_of(ended(served, user, made["id"])) == "one"


def test_a_refusal_comes_before_the_answer(served: RunningGateway) -> None:
    """Without credits it is a 402, and nothing runs or is kept (money rule 2)."""
    user = served.user(grant=0)
    refused = call(served, user, {"model": GPT, "input": "Hi", "background": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_credits")
    with served.client(user) as client:
        assert "gatewayz_background_responses 0.0" in client.get("/metrics").text


@pytest.mark.parametrize("store", [False])
def test_what_is_not_stored_cannot_run(served: RunningGateway, store: bool) -> None:
    """As at OpenAI (rule: refuse clearly)."""
    body = {"model": GPT, "input": "Hi", "background": True, "store": store}
    refused = call(served, served.user(), body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("background_not_stored", "background")


def test_nobody_sees_or_ends_anothers(served: RunningGateway) -> None:
    """It is as good as none (P5, rule: access)."""
    provider = served.upstream.answer = Waiting()
    user, other = served.user(), served.user()
    made = begin(served, user, stream=False)
    for path, method in (
        (made["id"], "GET"),
        (f"{made['id']}?stream=true", "GET"),
        (f"{made['id']}/cancel", "POST"),
        (made["id"], "DELETE"),
    ):
        refused = got(served, other, path, method)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "response_not_found")
    provider.go_on.set()
    assert ended(served, user, made["id"])["status"] == "completed"


def test_a_deleted_one_ends_and_is_gone(served: RunningGateway) -> None:
    """Its provider hears of it, what was made is charged, and nothing comes back (money rule 5)."""
    provider = served.upstream.answer = Waiting()
    user = served.user()
    made = begin(served, user)
    assert provider.begun.acquire(timeout=20)
    assert got(served, user, made["id"], "DELETE").status_code == 200
    assert provider.gone.wait(20)
    story = story_of(served, user, made["id"])
    assert story["reason"] == "cancelled"
    for path, method in ((made["id"], "GET"), (f"{made['id']}/cancel", "POST")):
        assert got(served, user, path, method).status_code == 404


def test_an_answer_in_any_order_is_the_callers_own(served: RunningGateway) -> None:
    """A provider's id, and what it says of storing, are not told (rule: contract)."""
    events = stream_of("one", id="resp_theirs", store=False, background=False)
    served.upstream.answer = plays(*events)
    user = served.user()
    made = begin(served, user)
    found = ended(served, user, made["id"])
    assert (found["id"], found["store"], found["background"]) == (made["id"], True, True)
    assert found["output"] == [item("one")]
    assert got(served, user, "resp_theirs").status_code == 404
