"""Guards at calls of the four APIs, whole and streamed, through a real gateway."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    DONE,
    USAGE,
    RunningGateway,
    ScriptedUpstream,
    chunk,
    completion,
    reply,
    running_gateway,
    stream,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

MAIL, CARD, BADGE = "ann.lee@example.org", "4111 1111 1111 1111", 'E-"7"\\x'
FILE = r"""
[[guard]]
name = "personal-data"
kind = "redact"
fail = "closed"
detect = ["email", "phone", "card", "iban", "ip"]
patterns = { BADGE = 'E-"\d{1,9}"\\x' }

[[guard]]
name = "house-words"
kind = "blocked_terms"
fail = "closed"
terms = ["project nightjar"]
"""
PROMPT = f"Write to {MAIL} of {CARD}, {BADGE}."
SENT = "Write to [EMAIL_1] of [CARD_1], [BADGE_1]."
TOOL = {"mail": MAIL, "badge": BADGE, "other": "[EMAIL_9]"}
TOOL_SENT = '{"mail": "[EMAIL_1]", "badge": "[BADGE_1]", "other": "[EMAIL_9]"}'
APIS = ("chat", "completions", "messages", "responses")


class Model:
    """An upstream that says what a test wants, cut into pieces of so many characters."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream, self.text, self.tool, self.size, self.ends = upstream, "", "", 1, True
        upstream.answer = self._answer

    def _answer(self, connection: socket.socket, request: Request) -> None:
        if not request.body.get("stream"):
            reply(connection, self._whole())
            return
        texts = [self.text[at : at + self.size] for at in range(0, len(self.text), self.size)]
        pieces = [chunk({"role": "assistant", "content": ""})]
        pieces += [chunk({"content": each}) for each in texts]
        if self.tool:
            call = {"index": 0, "id": "call_1", "type": "function"}
            first = {**call, "function": {"name": "send", "arguments": ""}}
            pieces.append(chunk({"tool_calls": [first]}))
            for at in range(0, len(self.tool), self.size):
                part = {"index": 0, "function": {"arguments": self.tool[at : at + self.size]}}
                pieces.append(chunk({"tool_calls": [part]}))
        last = [chunk({}, finish="tool_calls" if self.tool else "stop"), USAGE, DONE]
        stream(connection, *pieces, *(last if self.ends else ()))

    def _whole(self) -> bytes:
        if not self.tool:
            return completion(self.text)
        made = json.loads(completion(self.text))
        function = {"name": "send", "arguments": self.tool}
        calls = [{"id": "call_1", "type": "function", "function": function}]
        made["choices"][0]["message"]["tool_calls"] = calls
        made["choices"][0]["finish_reason"] = "tool_calls"
        return json.dumps(made).encode()

    @property
    def heard(self) -> str:
        """The last prompt that reached it, as JSON with its own escapes alone."""
        posts = [each for each in self.upstream.requests if each.method == "POST"]
        return json.dumps(posts[-1].body["messages"], ensure_ascii=False)


@pytest.fixture
def guarded(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with both guards."""
    file = tmp_path / "guards.toml"
    file.write_text(FILE)
    with running_gateway(database, tmp_path / "home", upstream, guardrails_file=file) as made:
        yield made
        made.verified()


def asked(api: str, prompt: str = PROMPT, *, streamed: bool, **more: Any) -> tuple[str, Any]:
    """The path and body of a call."""
    body: dict[str, Any] = {"model": "local/m", "stream": streamed, **more}
    if api == "completions":
        return "/v1/completions", {**body, "prompt": prompt}
    if api == "responses":
        return "/v1/responses", {**body, "input": prompt}
    body["messages"] = [{"role": "user", "content": prompt}]
    if api == "messages":
        return "/v1/messages", {**body, "max_tokens": 100}
    return "/v1/chat/completions", body


def events_of(text: str) -> list[dict[str, Any]]:
    """The data of a stream."""
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def told(api: str, answer: Any) -> tuple[str, str]:
    """The text, and what the tool is given, of an answer in any form."""
    text = tool = ""
    if answer.headers["content-type"].startswith("text/event-stream"):
        for event in events_of(answer.text):
            if api in ("chat", "completions"):
                for choice in event.get("choices", ()):
                    delta = choice.get("delta", {})
                    text += choice.get("text") or delta.get("content") or ""
                    for each in delta.get("tool_calls", ()):
                        tool += each["function"].get("arguments", "")
            elif event["type"] == "content_block_delta":
                text += event["delta"].get("text", "")
                tool += event["delta"].get("partial_json", "")
            elif event["type"] == "response.output_text.delta":
                text += event["delta"]
            elif event["type"] == "response.function_call_arguments.delta":
                tool += event["delta"]
        return text, tool
    body = answer.json()
    if api == "completions":
        return body["choices"][0]["text"], ""
    if api == "chat":
        message = body["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        return message["content"], "".join(each["function"]["arguments"] for each in calls)
    for each in body["content"] if api == "messages" else body["output"]:
        if each["type"] == "text":
            text += each["text"]
        elif each["type"] == "message":
            text += each["content"][0]["text"]
        elif each["type"] == "tool_use":
            tool += json.dumps(each["input"])
        elif each["type"] == "function_call":
            tool += each["arguments"]
    return text, tool


def post(gateway: RunningGateway, user: Any, path: str, body: Any, **headers: str) -> Any:
    """One call."""
    with gateway.client(user, **headers) as client:
        return client.post(path, json=body)


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS)
def test_personal_data_goes_out_as_placeholders_and_comes_back(
    guarded: RunningGateway, upstream: ScriptedUpstream, api: str, streamed: bool, size: int
) -> None:
    """However the answer is cut; what the model makes up is restored for nobody, and no event says
    what was found (rule: access, rule: wire, P5).
    """
    model, user = Model(upstream), guarded.user()
    model.text, model.size = f"{SENT} And [EMAIL_2], [IP_1] [EMAIL_", size
    answer = post(guarded, user, *asked(api, streamed=streamed))
    assert answer.status_code == 200, answer.text
    assert SENT in model.heard.replace("\\", "")
    assert told(api, answer)[0] == f"{PROMPT} And [EMAIL_2], [IP_1] [EMAIL_"
    story = guarded.story(user, answer)
    assert story["status"] == "settled"
    assert story["guards"] == [
        {"guard": "personal-data", "stage": "input", "decision": "redacted", "count": 3},
        {"guard": "house-words", "stage": "input", "decision": "passed", "count": 0},
        {"guard": "house-words", "stage": "output", "decision": "passed", "count": 0},
        {"guard": "personal-data", "stage": "output", "decision": "restored", "count": 3},
    ]
    with guarded.database.connect() as connection:
        rows = connection.execute("SELECT state FROM events WHERE topic LIKE 'ledger.%'").fetchall()
    said = b"".join(bytes(row[0]) for row in rows)
    assert MAIL.encode() not in said
    assert b"4111" not in said


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
def test_a_tool_is_given_valid_json(
    guarded: RunningGateway, upstream: ScriptedUpstream, api: str, streamed: bool
) -> None:
    """Values are escaped inside JSON's text, and prior arguments stay JSON on their way out
    (rule: wire).
    """
    model, user = Model(upstream), guarded.user()
    model.tool, model.size = TOOL_SENT, 3
    answer = post(guarded, user, *asked(api, streamed=streamed))
    assert json.loads(told(api, answer)[1]) == TOOL
    if api == "chat":
        function = {"name": "send", "arguments": json.dumps(TOOL)}
        calls = [{"id": "call_1", "type": "function", "function": function}]
        messages = [
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "sent"},
        ]
        path, body = asked(api, streamed=streamed)
        assert post(guarded, user, path, {**body, "messages": messages}).status_code == 200
        sent = json.loads(model.heard)[1]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(sent) == {**TOOL, "mail": "[EMAIL_1]", "badge": "[BADGE_1]"}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS[:1] + APIS[3:])
def test_a_structured_answer_stays_json(
    guarded: RunningGateway, upstream: ScriptedUpstream, api: str, streamed: bool
) -> None:
    """Where the text is asked for as JSON, values in it are JSON's (rule: wire)."""
    model, user = Model(upstream), guarded.user()
    model.text, model.size = TOOL_SENT, 5
    form: dict[str, Any] = {"type": "json_object"}
    more = {"response_format": form} if api == "chat" else {"text": {"format": form}}
    answer = post(guarded, user, *asked(api, streamed=streamed, **more))
    assert json.loads(told(api, answer)[0]) == TOOL


@pytest.mark.parametrize("api", APIS)
def test_a_blocked_prompt_holds_nothing(
    guarded: RunningGateway, upstream: ScriptedUpstream, api: str
) -> None:
    """In the API's envelope, which names the guard and not what it found
    (rule: refuse clearly, P2).
    """
    Model(upstream)
    user = guarded.user()
    before = guarded.events()
    answer = post(
        guarded, user, *asked(api, "About Project\u200b ＮＩＧＨＴＪＡＲ", streamed=False)
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["guard"], error["stage"]) == (
        "guardrail_blocked",
        "house-words",
        "input",
    )
    assert "nightjar" not in answer.text.lower()
    assert (guarded.events(), upstream.calls, guarded.open_holds()) == (before, 0, 0)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS)
def test_a_blocked_answer_is_charged_and_not_told(
    guarded: RunningGateway, upstream: ScriptedUpstream, api: str, streamed: bool
) -> None:
    """What passed before in whole sentences stays; the provider was paid, and no other is asked
    (P2, money rule 4, rule: refuse clearly).
    """
    model, user = Model(upstream), guarded.user()
    model.text, model.size = "First this. It is Project Nightjar. And more.", 4
    answer = post(guarded, user, *asked(api, "Hi", streamed=streamed))
    assert "nightjar" not in answer.text.lower()
    if streamed:
        assert told(api, answer)[0] == "First this. "
        assert "guardrail_blocked" in answer.text
    else:
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "guardrail_blocked"
        assert answer.json()["error"]["stage"] == "output"
    story = guarded.story(user, answer)
    assert (story["status"], story["reason"]) == ("settled", "guardrail_blocked")
    assert story["charged_nano_usd"] > 0
    assert [each["decision"] for each in story["guards"]] == ["passed", "passed", "blocked"]
    assert upstream.calls == 1
    assert guarded.open_holds() == 0


def test_a_key_answers_a_blocked_answer_again(
    guarded: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """With the same refusal, for one charge; another value under the key is another body
    (P3, money rule 8).
    """
    model, user = Model(upstream), guarded.user()
    model.text = "Project Nightjar"
    key = {"idempotency-key": "one"}
    first = guarded.chat(user, {}, **key)
    again = guarded.chat(user, {}, **key)
    assert (first.status_code, again.status_code) == (400, 400)
    assert again.json() == first.json()
    assert (again.headers["idempotent-replayed"], upstream.calls) == ("true", 1)
    model.text = SENT
    mine = [{"role": "user", "content": PROMPT}]
    other = [{"role": "user", "content": PROMPT.replace("ann", "bob")}]
    assert guarded.chat(user, {"messages": mine}, **{"idempotency-key": "two"}).status_code == 200
    refused = guarded.chat(user, {"messages": other}, **{"idempotency-key": "two"})
    assert refused.status_code == 422


def test_the_cache_mixes_no_callers_values(
    guarded: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Two prompts that are sent as the same one are two (rule: access)."""
    model, user = Model(upstream), guarded.user()
    model.text = "[EMAIL_1]"
    on = {"x-gatewayz-cache": "on"}
    results = []
    for name in ("ann", "bob", "ann"):
        body = {"messages": [{"role": "user", "content": f"{name}@example.org"}]}
        answer = guarded.chat(user, body, **on)
        assert answer.json()["choices"][0]["message"]["content"] == f"{name}@example.org"
        results.append(answer.headers["x-gatewayz-cache"])
    assert (results, upstream.calls) == (["miss", "miss", "hit"], 2)


def test_a_response_that_goes_on_is_looked_at_whole(
    guarded: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """It is stored as its caller wrote and read it, and sent with placeholders again
    (rule: access).
    """
    model, user = Model(upstream), guarded.user()
    model.text = "Sent to [EMAIL_1]."
    first = post(guarded, user, *asked("responses", streamed=False, instructions=f"Be {MAIL}"))
    assert first.json()["instructions"] == f"Be {MAIL}"
    path, body = asked("responses", "And 10.0.0.1?", streamed=False)
    second = post(guarded, user, path, {**body, "previous_response_id": first.json()["id"]})
    assert second.status_code == 200, second.text
    assert MAIL not in model.heard
    assert "[EMAIL_1]" in model.heard
    assert "[IP_1]" in model.heard
    with guarded.client(user) as client:
        stored = client.get(f"/v1/responses/{first.json()['id']}").json()
        items = client.get(f"/v1/responses/{second.json()['id']}/input_items").text
    assert stored["output"][0]["content"][0]["text"] == f"Sent to {MAIL}."
    assert "10.0.0.1" in items


def test_a_stream_that_breaks_off_tells_what_was_held(
    guarded: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Also in the midst of a placeholder, restored to nothing (rule: wire, money rule 4)."""
    model, user = Model(upstream), guarded.user()
    model.text, model.ends = "To [EMAIL_1] and [EMAIL_", False
    for api in APIS:
        answer = post(guarded, user, *asked(api, streamed=True))
        assert told(api, answer)[0] == f"To {MAIL} and [EMAIL_", api
        assert guarded.story(user, answer)["status"] == "settled"


@pytest.mark.parametrize(
    "content",
    [
        "x" * 500_001,
        json.loads("[" * 90 + "]" * 90),
    ],
    ids=["huge", "deep"],
)
def test_what_cannot_be_looked_at_is_refused(
    guarded: RunningGateway, upstream: ScriptedUpstream, content: Any
) -> None:
    """By the guard's rule `closed`, and not guessed (rule: bounded, P10)."""
    Model(upstream)
    user = guarded.user()
    metadata: Any = {"x": content} if isinstance(content, list) else {}
    for _ in range(30 if metadata else 0):
        metadata = {"x": metadata}
    text = content if isinstance(content, str) else "Hi"
    body = {"messages": [{"role": "user", "content": text}], "metadata": metadata}
    answer = guarded.chat(user, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "guardrail_failed")
    assert answer.json()["error"]["guard"] == "personal-data"
    assert upstream.calls == 0


def test_a_member_that_stands_twice_hides_nothing(
    guarded: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """What was looked at is what is sent (rule: access)."""
    model, user = Model(upstream), guarded.user()
    model.text = "Yes."
    mine = json.dumps([{"role": "user", "content": MAIL}])
    body = f'{{"model":"local/m","messages":{mine},"messages":[{{"role":"user","content":"Hi"}}]}}'
    with guarded.client(user) as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    sent = next(each for each in upstream.requests if each.method == "POST")
    assert MAIL.encode() not in sent.raw


def test_a_guard_looks_at_whose_calls_it_is_told(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """By key and by organisation; who is not meant is sent as he wrote. A guard that fails open is
    passed over, and said so in log, story and metric (rule: observable, rule: access).
    """
    model = Model(upstream)
    model.text = "[EMAIL_1]"
    file = tmp_path / "guards.toml"
    entry = '[[guard]]\nname="{}"\nkind="redact"\nfail="open"\ndetect=["email"]\n{}=["{}"]\n'
    with running_gateway(database, tmp_path / "home", upstream) as plain:
        users = [plain.user() for _ in range(3)]
    by_key = entry.format("by-key", "keys", users[0].key_id)
    file.write_text(by_key + entry.format("by-owner", "organisations", users[1].user_id))
    with running_gateway(database, tmp_path / "home2", upstream, guardrails_file=file) as made:
        said = []
        for user in users:
            answer = made.chat(user, {"messages": [{"role": "user", "content": MAIL}]})
            said.append([each["guard"] for each in made.story(user, answer)["guards"]])
            assert (MAIL in model.heard) == (not said[-1])
        assert said == [["by-key"] * 2, ["by-owner"] * 2, []]
        with caplog.at_level(logging.ERROR, "gatewayz.guardrails"):
            answer = made.chat(users[0], {"messages": [{"role": "user", "content": MAIL * 30_000}]})
        assert answer.status_code == 200
        story = made.story(users[0], answer)
        assert [each["decision"] for each in story["guards"]] == ["failed_open"]
        assert MAIL not in caplog.text
        assert "'by-key' failed at a prompt (TooMuchTextError); its rule is open" in caplog.text
        with made.client(users[0]) as client:
            metrics = client.get("/metrics").text
        line = 'gatewayz_guard_decisions_total{decision="failed_open",guard="by-key",stage="input"}'
        assert f"{line} 1.0" in metrics
        made.verified()
