"""Streams whose answer waits for a model's verdict, through a real gateway."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from command_api.guardrails.moderating import STREAM_CHARACTERS_MAX, Heard
from tests.command_api.batches.making import Customer, close_clients, line
from tests.command_api.guardrails.moderated import BAD, Judging, judged_gateway
from tests.command_api.guardrails.test_calls import APIS, asked, post, told
from tests.support.harness import DONE, USAGE, chunk, eventually, stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

OUTPUT = 'stages = ["output"]\n'
SENTENCE = "This is one sentence of some forty letters. "


@pytest.fixture
def judge(upstream: ScriptedUpstream) -> Judging:
    """A model that answers and moderates."""
    made = Judging(upstream)
    made.size = 11
    return made


@pytest.fixture
def served(database: Database, tmp_path: Path, judge: Judging) -> Iterator[RunningGateway]:
    """A gateway whose guard looks at answers."""
    with judged_gateway(database, tmp_path, judge.upstream, OUTPUT) as made:
        yield made


def _asked(api: str) -> tuple[str, Any]:
    """A stream without any maximum that would cut it."""
    path, body = asked(api, streamed=True)
    return path, {**body, "max_tokens": 5_000} if api == "messages" else body


@pytest.mark.parametrize("api", APIS)
def test_a_stream_is_told_whole_in_portions(
    served: RunningGateway, judge: Judging, api: str
) -> None:
    """Each text is asked about once, however often its API repeats it, the first ones soon and
    none longer than its maximum (rule: wire, rule: bounded).
    """
    user = served.user()
    judge.text, judge.size, judge.pause_s = SENTENCE * 60, 110, 0.02
    answer = post(served, user, *_asked(api))
    assert told(api, answer)[0] == judge.text
    texts = [each for call in judge.judged for each in call]
    assert "".join(texts).replace(" ", "") == judge.text.replace(" ", "")
    assert len(texts[0]) < STREAM_CHARACTERS_MAX
    assert len(judge.judged) >= 3
    assert max(map(len, texts)) <= 2 * (1_000 - 8)  # What the model takes, in bytes.
    story = served.story(user, answer)
    assert (story["status"], story["reason"]) == ("settled", "completed")
    assert story["guards"][-1]["decision"] == "passed"
    assert len(story["guards"][-1]["calls"]) == len(judge.judged)


@pytest.mark.parametrize("api", APIS)
def test_nothing_of_what_is_flagged_is_told(
    served: RunningGateway, judge: Judging, api: str
) -> None:
    """What passed before stays, the end says why, and the provider's own usage is paid
    (money rule 4, rule: refuse clearly).
    """
    user = served.user()
    judge.text = SENTENCE * 12 + f"It is {BAD}. " + SENTENCE * 30
    judge.size, judge.pause_s = 110, 0.02
    answer = post(served, user, *_asked(api))
    heard = told(api, answer)[0]
    assert heard
    assert judge.text.startswith(heard)
    assert BAD not in answer.text
    assert "guardrail_blocked" in answer.text
    story = served.story(user, answer)
    assert (story["status"], story["reason"]) == ("settled", "guardrail_blocked")
    assert story["guards"][-1]["decision"] == "blocked"
    assert story["usage"]["source"] == "provider"
    assert (story["usage"]["input_tokens"], story["usage"]["output_tokens"]) == (10, 5)


def test_a_sentence_without_an_end_waits_for_none(served: RunningGateway, judge: Judging) -> None:
    """(rule: bounded)"""  # noqa: D415 - the name says the rest.
    judge.text, judge.size, judge.pause_s = "x" * 5_000, 200, 0.02
    answer = post(served, served.user(), *asked("chat", streamed=True))
    assert told("chat", answer)[0] == judge.text
    texts = [each for call in judge.judged for each in call]
    assert "".join(texts) == judge.text
    assert len(texts) >= 3


@pytest.mark.parametrize("on_error", ["refuse", "pass"])
def test_a_model_that_fails_midway_ends_by_the_rule(
    database: Database, tmp_path: Path, judge: Judging, on_error: str
) -> None:
    """Refused is said openly; passed over, the rest passes, and the story says so (P10)."""
    judge.text = SENTENCE * 30
    judge.verdicts, judge.late_s = b'{"results": []}', 0
    more = OUTPUT + f'on_error = "{on_error}"\ntimeout_s = 1\n'
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        for late_s in (0, 2):
            judge.late_s, user = late_s, made.user()
            answer = post(made, user, *asked("chat", streamed=True))
            story = made.story(user, answer)
            (said,) = (each for each in story["guards"] if each["stage"] == "output")
            if on_error == "refuse":
                assert told("chat", answer)[0] == ""
                assert "guardrail_failed" in answer.text
                assert said["decision"] == "failed_closed"
            else:
                assert told("chat", answer)[0] == judge.text
                assert said["decision"] == "failed_open"
            assert story["status"] == "settled"


def test_there_is_a_most_of_calls(database: Database, tmp_path: Path, judge: Judging) -> None:
    """Beyond it the guard cannot look (rule: bounded)."""
    judge.text, judge.size, judge.pause_s = SENTENCE * 200, 1_000, 0.1
    with judged_gateway(database, tmp_path, judge.upstream, OUTPUT + "calls_max = 3\n") as made:
        answer = post(made, made.user(), *asked("chat", streamed=True))
        assert "guardrail_failed" in answer.text
        assert len(judge.judged) == 3


@pytest.mark.parametrize("api", APIS)
def test_what_nobody_looked_at_is_not_told_where_a_stream_breaks(
    served: RunningGateway, judge: Judging, api: str
) -> None:
    """The story says that it was not seen (rule: access, money rule 4)."""

    def broken(connection: socket.socket, request: Request) -> None:
        if request.path.endswith("/moderations"):
            judge._answer(connection, request)
            return
        pieces = [chunk({"role": "assistant", "content": ""}), chunk({"content": f"Some {BAD}"})]
        stream(connection, *pieces, chunk(None, error={"message": "broke", "code": 500}))

    judge.upstream.answer = broken
    user = served.user()
    answer = post(served, user, *asked(api, streamed=True))
    assert BAD not in answer.text
    story = served.story(user, answer)
    assert story["status"] in ("settled", "voided")
    if story["status"] == "settled":
        assert story["guards"][-1]["decision"] == "unseen"


def test_a_slow_stream_is_told_while_it_goes(served: RunningGateway, judge: Judging) -> None:
    """Text waits for more of it only so long (rule: bounded)."""

    def slow(connection: socket.socket, request: Request) -> None:
        if request.path.endswith("/moderations"):
            judge._answer(connection, request)
            return
        pieces = [chunk({"content": f"word{at} "}) for at in range(8)]
        last = (chunk({}, finish="stop"), USAGE, DONE)
        stream(connection, chunk({"role": "assistant"}), *pieces, *last, pause_s=0.4)

    judge.upstream.answer = slow
    assert told("chat", post(served, served.user(), *asked("chat", streamed=True)))[0]
    assert 2 <= len(judge.judged) <= 4


@pytest.mark.parametrize("bad", [False, True], ids=["passed", "blocked"])
def test_a_stored_response_is_what_was_told(
    served: RunningGateway, judge: Judging, bad: bool
) -> None:
    """One that a guard ended too: it failed, without what it made (rule: contract)."""
    user = served.user()
    judge.text = SENTENCE * 3 + (BAD if bad else "")
    answer = post(served, user, *asked("responses", streamed=True))
    data = [each[5:] for each in answer.text.split("\n") if each.startswith("data:")]
    last = json.loads(data[-1])["response"]
    with served.client(user) as client:
        stored = client.get(f"/v1/responses/{last['id']}")
    assert stored.status_code == 200, stored.text
    made = stored.json()
    assert (made["status"], made["store"]) == ("failed" if bad else "completed", True)
    assert (BAD in stored.text) is False
    assert (made["output"] == []) is bad
    assert made["error"] == last["error"]


@pytest.mark.parametrize("stream_too", [False, True])
@pytest.mark.parametrize("bad", ["", "prompt", "answer"])
def test_responses_in_the_background_are_guarded(
    database: Database, tmp_path: Path, judge: Judging, bad: str, stream_too: bool
) -> None:
    """A prompt before its hold, an answer before anybody has it (P2, rule: access)."""
    judge.text = SENTENCE + (BAD if bad == "answer" else "")
    with judged_gateway(database, tmp_path, judge.upstream) as served:
        user = served.user()
        prompt = f"Some {BAD}" if bad == "prompt" else "Hi"
        path, body = asked("responses", prompt, streamed=stream_too, background=True)
        begun = post(served, user, path, body)
        if bad == "prompt":
            assert begun.status_code == 400, begun.text
            assert judge.answered == 0
            return
        assert begun.status_code == 200, begun.text
        call_id = begun.headers["x-gatewayz-call-id"]
        place = f"/v1/responses/resp_{call_id.replace('-', '')}"
        with served.client(user) as client:
            eventually(lambda: client.get(place).json()["status"] not in ("queued", "in_progress"))
            made = client.get(place)
        assert made.json()["status"] == ("failed" if bad else "completed")
        assert BAD not in made.text + begun.text
        story = served.story(user, call_id)
        assert [each["decision"] for each in story["guards"]] == [
            "passed",
            "blocked" if bad else "passed",
        ]


def test_lines_of_a_batch_are_guarded(database: Database, tmp_path: Path, judge: Judging) -> None:
    """Each by itself, its moderation is its own key's (P3)."""
    judge.text = "Fine."
    with judged_gateway(database, tmp_path, judge.upstream) as served:
        customer = Customer(served, served.user())
        try:
            said = [{"role": "user", "content": each} for each in ("Hi", f"Some {BAD}")]
            lines = [line(f"l{at}", messages=[each]) for at, each in enumerate(said)]
            batch = customer.begin(*lines)
            customer.ended(batch)
            done = customer.look(batch)
            assert (done.request_counts.completed, done.request_counts.failed) == (1, 1)
        finally:
            close_clients()
        assert sorted(map(str, judge.judged)) == sorted(
            [str(["Hi"]), str([f"Some {BAD}"]), str(["Fine."])]
        )


def test_a_text_that_came_in_pieces_is_heard_once() -> None:
    """Whatever is told again of it whole (rule: bounded)."""
    heard = Heard()
    channel = heard.channel(inside_json=False)
    assert [channel.add(each) for each in ("One. ", "Two.")] == ["One. ", "Two."]
    assert (channel.end(), channel.held) == ("", "")
    assert heard.whole("One. Two.", inside_json=False) == "One. Two."
    assert heard.whole("\ud800 Other", inside_json=False) == "\ud800 Other"
    assert heard.whole("\ud800 Other", inside_json=True) == "\ud800 Other"
    assert heard.echoed("Prompt") == "Prompt"
    assert heard.pending
    assert not heard.ready
    assert heard.take() == ["\ud800 Other", "One. Two."]
    assert (heard.pending, heard.take()) == (False, [])


def test_a_blocked_stream_waits_for_its_usage_only_so_long(
    database: Database, tmp_path: Path, judge: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what came is counted here (money rule 4, rule: bounded)."""
    monkeypatch.setattr("command_api.calls.judged.answers.DRAIN_S", 0.3)

    def stuck(connection: socket.socket, request: Request) -> None:
        if request.path.endswith("/moderations"):
            judge._answer(connection, request)
            return
        pieces: list[Any] = [chunk({"content": f"Some {BAD}. " + SENTENCE * 6})]
        stream(connection, *pieces, chunk({"content": "more"}), pause_s=3)

    judge.upstream.answer = stuck
    with judged_gateway(database, tmp_path, judge.upstream, OUTPUT) as made:
        user, began = made.user(), time.monotonic()
        answer = post(made, user, *asked("chat", streamed=True))
        assert "guardrail_blocked" in answer.text
        assert time.monotonic() - began < 3
        assert made.story(user, answer)["usage"]["source"] == "estimated"
