"""The guard that asks a model: at prompts and whole answers, through a real gateway."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.guardrails.moderated import BAD, Judging, judged_gateway, verdict
from tests.command_api.guardrails.test_calls import APIS, asked, post, told
from tests.support.harness import RunningGateway, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def judge(upstream: ScriptedUpstream) -> Judging:
    """A model that answers "Fine." and moderates."""
    made = Judging(upstream)
    made.text, made.size = "Fine. ", 3
    return made


@pytest.fixture
def served(database: Database, tmp_path: Path, judge: Judging) -> Iterator[RunningGateway]:
    """A gateway with the guard as it is by default."""
    with judged_gateway(database, tmp_path, judge.upstream) as made:
        yield made


def decisions(story: dict[str, Any]) -> list[tuple[str, str]]:
    """What the guards said."""
    return [(each["stage"], each["decision"]) for each in story["guards"]]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS)
def test_prompt_and_answer_are_asked_about_by_calls_of_their_own(
    served: RunningGateway, judge: Judging, api: str, streamed: bool
) -> None:
    """Held, priced and told as any call, linked both ways, and paid by the same account
    (P2, money rule 1, rule: observable).
    """
    user = served.user()
    answer = post(served, user, *asked(api, "Hello there", streamed=streamed))
    assert answer.status_code == 200, answer.text
    assert told(api, answer)[0] == "Fine. "
    assert judge.judged == [["Hello there"], ["Fine. "]]
    story = served.story(user, answer)
    assert decisions(story) == [("input", "passed"), ("output", "passed")]
    calls = [each for said in story["guards"] for each in said["calls"]]
    charged = story["charged_nano_usd"]
    for call_id in calls:
        beside = served.story(user, call_id)
        assert (beside["status"], beside["model"]) == ("settled", "moderation-1")
        assert beside["guarded_call_id"] == story["id"]
        assert beside["guards"] == []
        assert beside["held_nano_usd"] >= beside["charged_nano_usd"] > 0
        charged += beside["charged_nano_usd"]
    assert len(set(calls)) == 2
    spent = 10 * 10**9 - served.balance(user)["available_nano_usd"]
    assert spent == charged


@pytest.mark.parametrize("api", APIS)
def test_a_flagged_prompt_is_refused_before_its_hold(
    served: RunningGateway, judge: Judging, api: str
) -> None:
    """It costs its moderation, which the refusal names (P2, rule: refuse clearly)."""
    user = served.user()
    answer = post(served, user, *asked(api, f"Some {BAD}", streamed=False))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["guard"], error["stage"]) == (
        "guardrail_blocked",
        "judge",
        "input",
    )
    assert BAD not in answer.text
    (call_id,) = error["moderation_calls"]
    assert served.story(user, call_id)["status"] == "settled"
    assert judge.answered == 0


@pytest.mark.parametrize("api", APIS)
def test_a_flagged_answer_is_charged_and_not_told(
    served: RunningGateway, judge: Judging, api: str
) -> None:
    """The provider was paid (money rule 4)."""
    user = served.user()
    judge.text = f"It is {BAD}."
    answer = post(served, user, *asked(api, "Hi", streamed=False))
    assert (answer.status_code, BAD in answer.text) == (400, False)
    story = served.story(user, answer)
    assert (story["status"], story["reason"]) == ("settled", "guardrail_blocked")
    assert decisions(story) == [("input", "passed"), ("output", "blocked")]
    assert story["guards"][1]["count"] == 1


LIES = {
    "empty": b'{"results": []}',
    "two": json.dumps({"results": [verdict(), verdict()]}).encode(),
    "nan": json.dumps({"results": [verdict(score=float("nan"))]}).encode(),
    "huge": json.dumps({"results": [verdict(score=10**18)]}).encode(),
    "beyond": json.dumps({"results": [verdict(score=0.5)]}).replace("0.5", "1e999").encode(),
    "below": json.dumps({"results": [verdict(score=-0.1)]}).encode(),
    "nothing": b'{"results": [{"categories": {}, "category_scores": {}}]}',
    "null": b'{"results": null}',
    "cut": b'{"results": [{"flag',
    "deep": b'{"results": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
}


@pytest.mark.parametrize("on_error", ["refuse", "pass"])
@pytest.mark.parametrize("lie", LIES)
def test_a_verdict_that_cannot_be_is_none(
    database: Database, tmp_path: Path, judge: Judging, lie: str, on_error: str
) -> None:
    """The guard's own rule decides, and the story says so (P10, rule: bounded)."""
    more = f'on_error = "{on_error}"\nstages = ["input"]\nthresholds = {{ violence = 0.5 }}\n'
    judge.verdicts = LIES[lie]
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        user = made.user()
        answer = post(made, user, *asked("chat", streamed=False))
        if on_error == "refuse":
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["code"] == "guardrail_failed"
            assert judge.answered == 0
        else:
            assert answer.status_code == 200, answer.text
            assert decisions(made.story(user, answer)) == [("input", "failed_open")]


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_provider_that_fails_is_a_failure(
    served: RunningGateway, judge: Judging, status: int
) -> None:
    """Its call is voided, and the prompt refused (P2, P10)."""
    user = served.user()
    judge.status = status
    answer = post(served, user, *asked("chat", streamed=False))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "guardrail_failed")
    calls = answer.json()["error"]["moderation_calls"]
    assert [served.story(user, each)["status"] for each in calls] == ["voided"]
    assert served.balance(user)["available_nano_usd"] == 10 * 10**9


def test_failures_that_pass_do_not_fill_the_log(
    database: Database, tmp_path: Path, judge: Judging, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is counted, and a line a minute says so (rule: bounded, rule: observable)."""
    judge.verdicts = LIES["deep"]
    with judged_gateway(database, tmp_path, judge.upstream, 'on_error = "pass"\n') as made:
        user = made.user()
        for _ in range(4):
            assert post(made, user, *asked("chat", streamed=False)).status_code == 200
        with made.client(user) as client:
            metrics = client.get("/metrics").text
    for stage in ("input", "output"):
        labels = f'{{decision="failed_open",guard="judge",stage="{stage}"}}'
        assert f"gatewayz_guard_decisions_total{labels} 4.0" in metrics
    lines = [each.message for each in caplog.records if each.name == "gatewayz.guardrails"]
    assert [each.partition(" (")[0] for each in lines] == [
        "the guard 'judge' failed at a prompt",
        "the guard 'judge' failed at an answer",
    ]


def test_a_verdict_has_its_time(database: Database, tmp_path: Path, judge: Judging) -> None:
    """Then it is a failure, and its hold is released (rule: bounded, P2)."""
    judge.late_s = 3
    more = 'timeout_s = 1\non_error = "pass"\nstages = ["input"]\n'
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        user = made.user()
        answer = post(made, user, *asked("chat", streamed=False))
        assert answer.status_code == 200
        (said,) = made.story(user, answer)["guards"]
        assert said["decision"] == "failed_open"
        assert [made.story(user, each)["status"] for each in said["calls"]] == ["voided"]


def test_thresholds_are_the_operators(database: Database, tmp_path: Path, judge: Judging) -> None:
    """Of named categories alone; what the model flags beside them passes (rule: contract)."""
    more = 'stages = ["input"]\nthresholds = { violence = 0.7 }\n'
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        user = made.user()
        for score, status in ((0.69, 200), (0.7, 400), (1, 400)):
            judge.verdicts = json.dumps({"results": [verdict(bad=True, score=score)]}).encode()
            assert post(made, user, *asked("chat", streamed=False)).status_code == status
        judge.verdicts = json.dumps({"results": [verdict(category_scores={"other": 1})]}).encode()
        assert post(made, user, *asked("chat", streamed=False)).status_code == 503


def test_long_prompts_are_cut_to_what_the_model_takes(
    database: Database, tmp_path: Path, judge: Judging
) -> None:
    """Nothing is left out, and there is a most of calls (rule: bounded)."""
    more = 'stages = ["input"]\ncalls_max = 2\n'
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        user = made.user()
        text = "Ten words. " * 2_000
        assert post(made, user, *asked("chat", text, streamed=False)).status_code == 200
        inputs = [each for call in judge.judged for each in call]
        assert "".join(inputs).split() == text.split()
        assert max(len(each.encode()) for each in inputs) <= 2 * (1_000 - 8)
        bad = text + BAD
        assert post(made, user, *asked("chat", bad, streamed=False)).status_code == 400
        refused = post(made, user, *asked("chat", text * 10, streamed=False))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "guardrail_failed")


@pytest.mark.parametrize("images", ["send", "pass", None])
def test_pictures_are_sent_where_the_model_takes_them(
    database: Database, tmp_path: Path, judge: Judging, images: str | None
) -> None:
    """One in a call; where neither file nor catalog says so they pass (rule: contract)."""
    more = 'stages = ["input"]\n' + (f'images = "{images}"\n' if images else "")
    parts = [
        {"type": "text", "text": "Look"},
        *({"type": "image_url", "image_url": {"url": PICTURE}} for _ in range(2)),
    ]
    body = {"messages": [{"role": "user", "content": parts}]}
    with judged_gateway(database, tmp_path, judge.upstream, more) as made:
        assert made.chat(made.user(), body).status_code == 200
        sent = [{"type": "image_url", "image_url": {"url": PICTURE}}]
        assert judge.judged == [["Look"], *([sent, sent] if images == "send" else [])]
        if images == "send":
            file = [{"type": "input_image", "file_id": "file-1"}]
            turn = [{"role": "user", "content": file}]
            refused = post(made, made.user(), "/v1/responses", {"model": "local/m", "input": turn})
            assert refused.status_code in (400, 503), refused.text


def test_who_cannot_pay_the_moderation_is_refused(
    database: Database, tmp_path: Path, judge: Judging
) -> None:
    """As for any call, whatever the guard's rule for failures (P1, rule: refuse clearly)."""
    with judged_gateway(database, tmp_path, judge.upstream, 'on_error = "pass"\n') as made:
        user = made.user(grant=10)
        answer = post(made, user, *asked("chat", streamed=False, max_tokens=1))
        assert answer.status_code == 402, answer.text
        error = answer.json()["error"]
        assert (error["code"], error["guard"]) == ("insufficient_credits", "judge")
        assert (judge.judged, judge.answered) == ([], 0)


def test_a_key_is_moderated_once(served: RunningGateway, judge: Judging) -> None:
    """A replay asks nobody; another attempt under the key is not charged twice for the same prompt
    (P3, money rule 8).
    """
    user, key = served.user(), {"idempotency-key": "one"}
    first, again = (served.chat(user, {}, **key) for _ in range(2))
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert len(judge.judged) == 2
    other = {"idempotency-key": "two"}
    judge.ends = True
    judge.upstream.answer, real = _failing(judge), judge.upstream.answer
    failed = served.chat(user, {}, **other)
    assert failed.status_code >= 500
    judge.upstream.answer = real
    done = served.chat(user, {}, **other)
    assert done.status_code == 200
    story = served.story(user, done)
    assert len(judge.judged) == 4  # Its prompt once, its answer once.
    for said in story["guards"]:
        for call_id in said["calls"]:
            assert served.story(user, call_id)["guarded_call_id"] == story["id"]


def _failing(judge: Judging) -> Any:
    real = judge.upstream.answer

    def answer(connection: Any, request: Any) -> None:
        if request.path.endswith("/moderations"):
            real(connection, request)
        else:
            judge.status, before = 500, judge.status
            from tests.support.harness import reply

            reply(connection, b'{"error": {"message": "no"}}', status=500)
            judge.status = before

    return answer


def test_a_cached_answer_is_not_moderated_again(served: RunningGateway, judge: Judging) -> None:
    """The same guards looked at it and at its prompt (rule: contract)."""
    user, on = served.user(), {"x-gatewayz-cache": "on"}
    first, again = (served.chat(user, {}, **on) for _ in range(2))
    assert again.headers["x-gatewayz-cache"] == "hit"
    assert len(judge.judged) == 2
    assert decisions(served.story(user, again)) == [("input", "cached")]
    assert first.json()["choices"] == again.json()["choices"]


def test_a_moderation_is_not_one_more_under_way(served: RunningGateway, judge: Judging) -> None:
    """Whoever may have one call under way can be guarded; requests count (rule: bounded)."""
    from tests.command_api.limits.test_gate import key_of, limit

    user = served.user()
    limit(served, key_of(user), concurrency=1, requests_per_minute=4)
    for status in (200, 429):
        answer = post(served, user, *asked("chat", streamed=False))
        assert answer.status_code == status, answer.text
    assert len(judge.judged) == 2


def test_a_caller_who_leaves_while_it_is_asked_about_leaves_nothing(
    served: RunningGateway, judge: Judging
) -> None:
    """The moderation runs to its end and settles, and no hold stays (P2, money rule 5)."""
    user = served.user()
    judge.late_s = 1
    path, body = asked("chat", streamed=True)
    with (
        httpx.Client(base_url=served.url, timeout=0.4) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(path, json=body, headers={"Authorization": f"Bearer {user.api_key}"})
    eventually(lambda: judge.judged and served.open_holds() == 0)
    eventually(lambda: served.balance(user)["available_nano_usd"] < 10 * 10**9)


def test_equal_calls_at_once_are_each_asked_about(served: RunningGateway, judge: Judging) -> None:
    """And none waits for another's place in the queue (rule: bounded)."""
    user, answers = served.user(), list[int]()
    judge.late_s = 0.2

    def call() -> None:
        answers.append(post(served, user, *asked("chat", streamed=False)).status_code)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [200] * 12
    assert len(judge.judged) == 24


def test_counts_of_tokens_are_not_moderated(served: RunningGateway, judge: Judging) -> None:
    """No model reads them (rule: contract)."""
    path, body = asked("messages", f"Some {BAD}", streamed=False)
    body.pop("stream")
    answer = post(served, served.user(), f"{path}/count_tokens", body)
    assert answer.status_code == 200, answer.text
    assert judge.judged == []


def test_an_own_provider_key_is_not_the_guard_s(
    database: Database, tmp_path: Path, judge: Judging
) -> None:
    """The house's key asks, at its price: a key that is refused ends no guard (P10)."""
    own = "sk-own-0123456789abcdefWXYZ"
    with judged_gateway(database, tmp_path, judge.upstream, 'on_error = "pass"\n') as gateway:
        user = gateway.user()
        stored = httpx.post(
            f"{gateway.url}/user/provider-keys",
            headers={"authorization": f"Bearer {user.api_key}"},
            json={"provider": "local", "key": own},
        )
        assert stored.status_code == 200, stored.text
        answer = post(gateway, user, *asked(APIS[0], "Hello there", streamed=False))
        assert answer.status_code == 200, answer.text
        keys = {
            request.path.rpartition("/")[2]: request.headers["authorization"]
            for request in judge.upstream.requests
            if request.method == "POST"
        }
        assert own in keys.pop("completions")
        assert own not in keys.pop("moderations")
        story = gateway.story(user, answer)
        for said in story["guards"]:
            for call_id in said["calls"]:
                assert gateway.story(user, call_id)["charged_nano_usd"] > 0
