"""Completions where the model completes a bare prompt, and where it chats: there and back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.completions import (
    INSTRUCT,
    LAST,
    LOCAL,
    USED,
    ask,
    asked,
    asked_last,
    call,
    choice,
    chunks_of,
    piece,
    plays,
    says,
    serving,
    stream_of,
    text_of,
    whole,
)
from tests.support.harness import (
    DONE,
    USAGE,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

TOKENS = [1212, 318, 257]


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with several providers, all played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


PROMPTS: list[Any] = ["Say hi", ["Say hi"], ["one", "two"], TOKENS, [TOKENS, [1]]]


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_a_bare_prompt_reaches_a_model_that_completes_one(
    served: RunningGateway, number: int
) -> None:
    """With all its members, and the answer comes with the full id and the cost (rule: wire)."""
    served.upstream.answer = says(whole("Hello.", "Bye."))
    user = served.user()
    more: dict[str, Any] = {"suffix": "!", "logprobs": 2, "best_of": 3, "n": 2, "echo": True}
    body = ask(prompt=PROMPTS[number], stop=["\n"], seed=7, logit_bias={"5": 1}, novel=1, **more)
    got = call(served, user, body)
    request = asked_last(served)
    assert request.path == "/v1/completions"
    assert request.body == {**body, "model": "gpt-3.5-turbo-instruct"}
    told = got.json()
    assert [each["text"] for each in told["choices"]] == ["Hello.", "Bye."]
    assert (told["object"], told["model"], told["id"]) == ("text_completion", INSTRUCT, "cmpl-up")
    assert told["usage"] == {**json.loads(whole())["usage"], "cost": 25e-6}
    story = served.story(user, got)
    assert (story["usage"]["input_tokens"], story["usage"]["output_tokens"]) == (10, 5)
    assert story["settled_nano_usd"] == 10 * 1_500 + 5 * 2_000


def test_a_native_stream_passes(served: RunningGateway) -> None:
    """Usage is asked for in any case, and told to whoever asked (rule: wire, money rule 6)."""
    served.upstream.answer = plays(*stream_of("Hel", "lo."))
    user = served.user()
    for options in (None, {"include_usage": True}):
        got = call(served, user, ask(stream=True, stream_options=options))
        assert asked_last(served).body["stream_options"] == {"include_usage": True}
        told = chunks_of(got.content)
        assert text_of(told) == "Hello."
        assert {each["model"] for each in told} == {INSTRUCT}
        assert {each["object"] for each in told} == {"text_completion"}
        ends = [each["choices"][0]["finish_reason"] for each in told if each["choices"]]
        assert ends == [None, None, "stop"]
        used = [each["usage"] for each in told if each.get("usage")]
        assert [each["cost"] for each in used] == ([25e-6] if options else [])
        assert served.story(user, got)["settled_nano_usd"] == 25_000


@pytest.mark.parametrize("native", [True, False])
def test_a_stream_tells_usage_that_nobody_reported(served: RunningGateway, native: bool) -> None:
    """To whoever asked, by our own count (money rule 6, rule: contract)."""
    pieces = stream_of("Hello you")[:2] if native else [chunk({"content": "Hello you"})]
    served.upstream.answer = plays(*pieces, DONE)
    user = served.user()
    model = INSTRUCT if native else LOCAL
    got = call(served, user, ask(model=model, stream=True, stream_options={"include_usage": True}))
    used = [each for each in chunks_of(got.content) if not each["choices"]]
    assert len(used) == 1
    story = served.story(user, got)
    assert story["usage"]["source"] == "estimated"
    assert used[0]["usage"]["completion_tokens"] == story["usage"]["output_tokens"] > 1
    assert used[0]["usage"]["cost"] == story["settled_nano_usd"] / 10**9
    assert used[0]["object"] == "text_completion"


def test_a_prompt_is_a_message_where_the_model_chats(served: RunningGateway) -> None:
    """What is called alike goes as it came, and the answer is a completion (rule: translation)."""
    top = [{"token": "Hi", "logprob": -0.5}, {"token": "Ho", "logprob": -2}]
    content = [
        {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": top},
        {"token": " you", "logprob": -1, "bytes": None, "top_logprobs": []},
    ]
    message = {"role": "assistant", "content": "Hi you"}
    made = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    made["logprobs"] = {"content": content, "refusal": None}
    served.upstream.answer = says(completion(choices=[made], system_fingerprint="fp"))
    user = served.user()
    sampling = {"temperature": 0.5, "stop": ["\n"], "seed": 7, "n": 1, "top_k": 4, "user": "u"}
    neutral = {"suffix": None, "echo": False, "best_of": 1}
    got = call(served, user, ask(model=LOCAL, prompt=["Say hi"], logprobs=2, **sampling, **neutral))
    request = asked_last(served)
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Say hi"}],
        "max_tokens": 20,
        "logprobs": True,
        "top_logprobs": 2,
        **sampling,
    }
    told = got.json()
    columns = {
        "tokens": ["Hi", " you"],
        "token_logprobs": [-0.5, -1],
        "top_logprobs": [{"Hi": -0.5, "Ho": -2}, {}],
        "text_offset": [6, 8],
    }
    ends = {"finish_reason": "stop", "logprobs": columns}
    assert told["choices"] == [{"text": "Hi you", "index": 0, **ends}]
    assert (told["object"], told["model"], told["id"]) == ("text_completion", LOCAL, "up-1")
    assert told["system_fingerprint"] == "fp"
    assert told["usage"]["cost"] > 0
    assert served.story(user, got)["status"] == "settled"


def test_a_reasoning_model_of_openais_gets_its_own_maximum(served: RunningGateway) -> None:
    """It refuses the plain one (rule: translation)."""
    served.upstream.answer = says(completion("Hi"))
    call(served, served.user(), ask(model="openai/gpt-5-test"))
    sent = asked_last(served)
    assert sent.path == "/v1/chat/completions"
    assert sent.body["max_completion_tokens"] == 20
    assert "max_tokens" not in sent.body


def test_whoever_speaks_another_protocol_is_never_asked_for_completions(
    served: RunningGateway,
) -> None:
    """Whatever the file says; it is asked in its own form (rule: translation)."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test"}
    usage = {"input_tokens": 10, "output_tokens": 5}
    ends = {"stop_reason": "max_tokens", "usage": usage}
    told = {**message, "content": [{"type": "text", "text": "Hi"}], **ends}
    served.upstream.answer = says(json.dumps(told).encode())
    got = call(served, served.user(), ask(model="anthropic/claude-test"))
    assert asked_last(served).path == "/v1/messages"
    assert got.json()["choices"][0]["text"] == "Hi"
    assert got.json()["choices"][0]["finish_reason"] == "length"


def test_a_translated_stream_is_one_of_completions(served: RunningGateway) -> None:
    """Two choices, reasoning left out but for a sign of life, and usage (rule: translation)."""

    def two(text: str, index: int, finish: str | None = None) -> bytes:
        each = {"index": index, "delta": {"content": text}, "finish_reason": finish}
        return chunk(None, choices=[each])

    served.upstream.answer = plays(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        b": here\n\n",
        two("Hel", 0),
        two("By", 1),
        two("lo.", 0),
        two("e.", 1, "length"),
        two("", 0, "stop"),
        USAGE,
        DONE,
    )
    user = served.user()
    body = ask(model=LOCAL, n=2, stream=True, stream_options={"include_usage": True})
    got = call(served, user, body)
    assert got.content.count(b": alive\n\n") == 2
    assert b": here\n\n" in got.content
    told = chunks_of(got.content)
    assert (text_of(told, 0), text_of(told, 1)) == ("Hello.", "Bye.")
    assert {each["object"] for each in told} == {"text_completion"}
    assert {each["model"] for each in told} == {LOCAL}
    assert not any("delta" in each for chunk in told for each in chunk["choices"])
    ends = {each["index"]: each["finish_reason"] for x in told[:-1] for each in x["choices"]}
    assert ends == {0: "stop", 1: "length"}
    assert told[-1]["usage"]["completion_tokens"] == 5
    assert served.story(user, got)["usage"]["source"] == "provider"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"suffix": "x"}, "suffix"),
    ({"echo": True}, "echo"),
    ({"best_of": 2}, "best_of"),
    ({"best_of": 4, "n": 2}, "best_of"),
    ({"prompt": ["one", "two"]}, "prompt: more than one"),
    ({"prompt": TOKENS}, "prompt: tokens"),
    ({"prompt": [TOKENS]}, "prompt: tokens"),
    ({"max_tokens": 0}, "max_tokens: 0"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"images": ["x"]}, "images"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_chat_has_no_counterpart_for_is_refused_by_name(
    served: RunningGateway, number: int, stream: bool
) -> None:
    """And free; nothing is sent (P10, rule: refuse clearly)."""
    more, named = REFUSED[number]
    user = served.user()
    before = asked(served)
    got = call(served, user, ask(**{"model": LOCAL, "stream": stream, **more}))
    assert (got.status_code, got.json()["error"]["code"]) == (400, "unsupported_by_provider")
    assert named in got.json()["error"]["message"]
    assert served.story(user, got)["status"] == "voided"
    assert asked(served) == before


def test_a_call_goes_on_to_a_model_that_can(served: RunningGateway) -> None:
    """From one form to the other, and one charge (P3)."""
    served.upstream.answer = says(whole("def f(): pass"))
    user = served.user()
    got = call(served, user, ask(model="m", suffix="\n", provider={"order": ["local", "vllm"]}))
    assert got.json()["model"] == "vllm/m"
    attempts = served.story(user, got)["attempts"]
    assert [each.get("error") for each in attempts] == ["unsupported_by_provider", None]

    def answer(connection: socket.socket, request: Request) -> None:
        if request.path == "/v1/completions":
            reply(connection, b'{"error":{"message":"down"}}', status=503)
        else:
            reply(connection, completion("Hi"))

    served.upstream.answer = answer
    got = call(served, user, ask(model="m", provider={"order": ["vllm", "local"]}))
    assert (got.json()["model"], got.json()["object"]) == (LOCAL, "text_completion")


HELD: list[tuple[dict[str, Any], int, int]] = [
    # (what is asked, the most tokens of input, the most of output), at 1 and 2 USD a million.
    ({"prompt": "x" * 40}, 28, 20),
    ({"prompt": "x" * 40, "n": 3}, 28, 60),
    ({"prompt": "x" * 40, "best_of": 5, "n": 3}, 28, 100),
    ({"prompt": ["x" * 40] * 4, "best_of": 5}, 112, 400),
    ({"prompt": [TOKENS] * 2}, 22, 40),
    ({"prompt": ["x" * 4_000] * 2}, 200, 40),
    ({"prompt": "x" * 40, "suffix": "y" * 20}, 38, 20),
    ({"prompt": "x" * 40, "max_tokens": 0}, 28, 1),
    ({"prompt": "x" * 40, "max_tokens": None}, 28, 100),
    ({"prompt": "x" * 40, "novel": "z" * 93}, 78, 20),
]


@pytest.mark.parametrize("number", range(len(HELD)))
def test_every_prompt_and_candidate_is_held_for(served: RunningGateway, number: int) -> None:
    """Each prompt up to the model's context, each candidate of `best_of` (money rule 2)."""
    more, most_input, most_output = HELD[number]
    served.upstream.answer = says(whole())
    user = served.user()
    got = call(served, user, ask(**{"model": "vllm/base", **more}))
    story = served.story(user, got)
    assert story["held_nano_usd"] == most_input * 1_000 + most_output * 2_000


def test_candidates_that_are_dropped_are_paid_for(served: RunningGateway) -> None:
    """As the provider counts them, up to what was asked for (money rule 6)."""
    usage = {"prompt_tokens": 3, "completion_tokens": 100, "total_tokens": 103}
    served.upstream.answer = says(whole("Hello.", usage=usage))
    user = served.user()
    got = call(served, user, ask(best_of=5))
    story = served.story(user, got)
    assert (story["usage"]["source"], story["usage"]["output_tokens"]) == ("provider", 100)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


def test_a_maximum_of_ours_is_told(served: RunningGateway) -> None:
    """Where the caller gave none and could not pay for all that the model makes (money rule 2)."""
    served.upstream.answer = says(whole())
    user = served.user(grant=9_000_000)
    got = call(served, user, {"model": "vllm/m", "prompt": "Hi"})
    assert got.status_code == 200
    assert asked_last(served).body["max_tokens"] == 4_096


@pytest.mark.parametrize("stream", [False, True])
def test_an_echoed_prompt_is_no_output(served: RunningGateway, stream: bool) -> None:
    """It is neither counted nor taken for a provider that ignores its maximum (money rule 6)."""
    prompt = "one two three four " * 50
    usage = {"prompt_tokens": 200, "completion_tokens": 0, "total_tokens": 200}
    ends = choice(prompt, 0, "length")
    served.upstream.answer = (
        plays(piece(choice(prompt, 0, None)), LAST, piece(usage=usage), DONE)
        if stream
        else says(whole(choices=[ends], usage=usage))
    )
    user = served.user()
    got = call(served, user, ask(prompt=prompt, echo=True, max_tokens=0, stream=stream))
    assert prompt.encode() in got.content
    story = served.story(user, got)
    assert (story["usage"]["source"], story["usage"]["output_tokens"]) == ("provider", 0)
    assert story["settled_nano_usd"] == 200 * 1_500


@pytest.mark.parametrize("prompt", ["one two three four " * 50, [TOKENS * 40] * 2])
@pytest.mark.parametrize("stream", [False, True])
def test_what_was_made_behind_an_echo_is_counted_by_us(
    served: RunningGateway, prompt: Any, stream: bool
) -> None:
    """Where no report tells it (money rule 6)."""
    echoed = prompt if isinstance(prompt, str) else "one two three " * 40
    made = echoed + "word " * 40
    body = json.loads(whole(made))
    del body["usage"]
    served.upstream.answer = (
        plays(piece(choice(made, 0, None)), LAST, DONE)
        if stream
        else says(json.dumps(body).encode())
    )
    user = served.user()
    got = call(served, user, ask(prompt=prompt, echo=True, max_tokens=50, stream=stream))
    story = served.story(user, got)
    assert story["usage"]["source"] == "estimated"
    assert story["usage"]["output_tokens"] <= 50


@pytest.mark.parametrize("model", [INSTRUCT, LOCAL])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_gives_the_same_answer_once(served: RunningGateway, model: str, stream: bool) -> None:
    """The same bytes and one charge (P3)."""
    native = model == INSTRUCT
    parts = stream_of("Hel", "lo.") if native else [chunk({"content": "Hi"}), USAGE, DONE]
    body = whole() if native else completion("Hi")
    served.upstream.answer = plays(*parts) if stream else says(body)
    user = served.user()
    first = call(served, user, ask(model=model, stream=stream), idempotency_key="k")
    before, balance = asked(served), served.balance(user)
    again = call(served, user, ask(model=model, stream=stream), idempotency_key="k")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert asked(served) == before
    assert served.balance(user) == balance
    other = call(served, user, ask(model=model, stream=stream, n=2), idempotency_key="k")
    assert other.status_code == 422


@pytest.mark.parametrize("model", [INSTRUCT, LOCAL])
def test_a_call_is_found_by_the_id_in_its_reply(served: RunningGateway, model: str) -> None:
    """As a client knows it (rule: contract)."""
    served.upstream.answer = says(whole() if model == INSTRUCT else completion("Hi"))
    user = served.user()
    got = call(served, user, ask(model=model))
    with served.client(user) as client:
        found = client.get("/v1/calls", params={"completion_id": got.json()["id"]})
    assert found.json()["id"] == got.headers["x-gatewayz-call-id"]


@pytest.mark.parametrize("model", [INSTRUCT, LOCAL])
def test_a_stream_that_is_left_is_charged_for_what_was_made(
    served: RunningGateway, model: str
) -> None:
    """By our own count (money rule 5)."""

    def answer(connection: socket.socket, request: Request) -> str:
        del request
        begin_stream(connection)
        text = "one two three"
        native = model == INSTRUCT
        send_piece(connection, piece(choice(text)) if native else chunk({"content": text}))
        time.sleep(2)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    with (
        served.client(user) as client,
        client.stream("POST", "/v1/completions", json=ask(model=model, stream=True)) as got,
    ):
        assert b"one" in next(got.iter_raw())
        call_id = got.headers["x-gatewayz-call-id"]
    story = eventually(lambda: (found := served.story(user, call_id))["status"] != "held" and found)
    assert (story["status"], story["reason"]) == ("settled", "client_disconnected")


def test_a_reply_that_does_not_fit_is_mended(served: RunningGateway) -> None:
    """Together's, which has no index, another object and other ends (rule: contract)."""
    odd = {"text": "Hi", "finish_reason": "eos", "seed": 7}
    body = json.loads(whole(choices=[odd, {"text": None, "finish_reason": "length"}]))
    body |= {"object": "text.completion", "id": None}
    served.upstream.answer = says(json.dumps(body).encode())
    user = served.user()
    got = call(served, user, ask(n=2)).json()
    assert got["object"] == "text_completion"
    assert [each["index"] for each in got["choices"]] == [0, 1]
    assert [each["finish_reason"] for each in got["choices"]] == ["stop", "length"]
    assert [each["text"] for each in got["choices"]] == ["Hi", ""]
    assert got["id"].startswith("cmpl-")
    with served.client(user) as client:
        found = client.get("/v1/calls", params={"completion_id": got["id"]})
    assert found.json()["status"] == "settled"
    served.upstream.answer = plays(
        piece(odd | {"finish_reason": None}, object="text.completion"),
        piece({"text": "", "finish_reason": "eos"}),
        USED,
        DONE,
    )
    told = chunks_of(call(served, served.user(), ask(stream=True)).content)
    assert (text_of(told), told[-1]["choices"][0]["finish_reason"]) == ("Hi", "stop")
