"""Messages at providers that speak OpenAI's API, or Gemini's: translated there and back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.messages import (
    CLAUDE,
    HELLO,
    ask,
    asked_last,
    call,
    events_of,
    message,
    says,
    serving,
)
from tests.providers.inference.test_messages_recordings import accumulated
from tests.support.harness import (
    DONE,
    USAGE,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    send_piece,
    stream,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

OTHERS = """
[[provider]]
name = "openrouter"
base_url = "{base_url}"
api_key = "sk-or"
[[provider.model]]
id = "anthropic/claude-test"
input_per_million = "3"
output_per_million = "15"
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "gpt-5-test"
input_per_million = "1"
output_per_million = "2"
[[provider]]
name = "google-vertex"
base_url = "{base_url}"
api_key = "token"
[[provider.model]]
id = "gemini-test"
input_per_million = "1"
output_per_million = "2"
"""
LOCAL = "local/m"
TOOL = {
    "name": "roll",
    "description": "Roll a die.",
    "input_schema": {"type": "object", "properties": {"sides": {"type": "integer"}}},
}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "Roll."}]},
    {
        "role": "assistant",
        "content": [
            THOUGHT,
            {"type": "text", "text": "I do."},
            {"type": "tool_use", "id": "t1", "name": "roll", "input": {"sides": 6}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "4"},
            {"type": "text", "text": "And?"},
        ],
    },
]


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with several providers, all played by each test."""
    with serving(server, tmp_path_factory, OTHERS) as made:
        yield made


def chunks(*pieces: bytes) -> Any:
    """An upstream that streams chunks."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        else:
            stream(connection, *pieces)

    return answer


def test_a_conversation_goes_in_openais_form(served: RunningGateway) -> None:
    """System, tools, calls, results and limits; thoughts stay here (rule: translation)."""
    served.upstream.answer = says(completion("Four."))
    user = served.user()
    body = ask(
        model=LOCAL,
        messages=TURNS,
        system=[
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be kind."},
        ],
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        top_k=5,
        temperature=1.0,
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 1_024},
    )
    got = call(served, user, body)
    assert got.status_code == 200
    request = asked_last(served)
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "max_tokens": 100,
        "temperature": 1.0,
        "messages": [
            {"role": "system", "content": "Be brief.\n\nBe kind."},
            {"role": "user", "content": "Roll."},
            {
                "role": "assistant",
                "content": "I do.",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "roll", "arguments": '{"sides":6}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "4"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "roll",
                    "description": "Roll a die.",
                    "parameters": TOOL["input_schema"],
                },
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "user": "u",
    }


def test_a_whole_answer_comes_in_anthropics_form(served: RunningGateway) -> None:
    """With what it costs, and the full name of the model (rule: translation, P4)."""
    call_ = {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"n":1}'}}
    choice = {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "I roll.",
            "reasoning_content": "Hm.",
            "tool_calls": [call_],
        },
        "finish_reason": "tool_calls",
    }
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 7,
        "total_tokens": 37,
        "prompt_tokens_details": {"cached_tokens": 10},
    }
    served.upstream.answer = says(completion(choices=[choice], usage=usage))
    user = served.user()
    got = call(served, user, ask(model=LOCAL, tools=[TOOL]))
    story = served.story(user, got)
    assert got.json() == {
        "id": "up-1",
        "type": "message",
        "role": "assistant",
        "model": LOCAL,
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "I roll."},
            {"type": "tool_use", "id": "c1", "name": "roll", "input": {"n": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 10,
            "output_tokens": 7,
            "cost": story["settled_nano_usd"] / 10**9,
        },
    }
    assert story["settled_nano_usd"] == 20 * 150 + 10 * 75 + 7 * 600


def test_a_stream_comes_as_anthropics_events(served: RunningGateway) -> None:
    """Thoughts, text and calls as blocks one after the other; the count of the prompt is told at
    the end, when it is known (rule: translation).
    """

    def calls(index: int, arguments: str, **more: Any) -> bytes:
        function = {"arguments": arguments, **more.pop("named", {})}
        return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

    served.upstream.answer = chunks(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "H"}),
        chunk({"reasoning_content": "m."}),
        chunk({"content": "I "}),
        b": keep-alive\n\n",
        chunk({"content": "roll."}),
        calls(0, "", id="a", type="function", named={"name": "roll"}),
        calls(0, '{"n"'),
        calls(0, ":1}"),
        calls(1, "{}", id="b", type="function", named={"name": "roll"}),
        chunk({}, finish="tool_calls"),
        USAGE,
        DONE,
    )
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True))
    told = events_of(got.content)
    assert [each["type"] for each in told].count("ping") == 1
    found = accumulated(got.content)
    assert found is not None
    assert found["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "I roll."},
        {"type": "tool_use", "id": "a", "name": "roll", "input": {"n": 1}},
        {"type": "tool_use", "id": "b", "name": "roll", "input": {}},
    ]
    assert (found["stop_reason"], found["model"]) == ("tool_use", LOCAL)
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (10, 5)
    story = served.story(user, got)
    assert round(found["usage"]["cost"] * 10**9) == story["settled_nano_usd"]
    assert asked_last(served).body["stream_options"] == {"include_usage": True}


def test_calls_that_are_mixed_up_are_an_error(served: RunningGateway) -> None:
    """Rather than arguments that are not whole (P10)."""

    def calls(index: int, arguments: str, **more: Any) -> bytes:
        function = {"arguments": arguments, "name": more.pop("name", None)}
        return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

    served.upstream.answer = chunks(
        calls(0, '{"a"', id="a", name="roll"),
        calls(1, "{}", id="b", name="roll"),
        calls(0, ":1}"),
        DONE,
    )
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True))
    assert events_of(got.content)[-1]["type"] == "error"
    assert served.story(user, got)["status"] == "settled"


def test_without_a_report_our_count_is_told(served: RunningGateway) -> None:
    """And charged (money rule 6)."""
    served.upstream.answer = chunks(chunk({"content": "one two three"}), chunk({}, finish="stop"))
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True))
    found = accumulated(got.content)
    assert found is not None
    story = served.story(user, got)
    assert story["usage"]["source"] == "estimated"
    assert found["usage"]["output_tokens"] == story["usage"]["output_tokens"]
    assert round(found["usage"]["cost"] * 10**9) == story["settled_nano_usd"]


def test_an_endless_stream_is_cut_and_closed(served: RunningGateway) -> None:
    """As events of Anthropic's (P1, money rule 2)."""
    served.upstream.answer = chunks(*[chunk({"content": "word " * 400})] * 200)
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True, max_tokens=20))
    found = accumulated(got.content)
    assert found is not None
    assert found["stop_reason"] == "max_tokens"
    assert found["usage"]["output_tokens"] <= 20
    assert served.story(user, got)["usage"]["output_tokens"] <= 20


def test_a_hang_up_is_charged_for_what_came(served: RunningGateway) -> None:
    """As in chat (P11)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return ""
        begin_stream(connection)
        send_piece(connection, chunk({"content": "one two"}))
        time.sleep(2)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    with (
        served.client(user) as client,
        client.stream("POST", "/v1/messages", json=ask(model=LOCAL, stream=True)) as got,
    ):
        assert b"message_start" in next(got.iter_raw())
        call_id = got.headers["x-gatewayz-call-id"]
    story = eventually(lambda: (found := served.story(user, call_id))["status"] != "held" and found)
    assert (story["status"], story["reason"]) == ("settled", "client_disconnected")


def test_aggregators_get_what_they_pass_on(served: RunningGateway) -> None:
    """Caches, `top_k`, budgets, and thoughts with their signature; and give signatures back
    (rule: translation).
    """
    details = [{"type": "reasoning.text", "text": "So.", "signature": "T"}]
    more = [*details, {"type": "reasoning.encrypted", "data": "D"}]
    said = {"role": "assistant", "content": "4", "reasoning": "So.", "reasoning_details": more}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    served.upstream.answer = says(completion(choices=[choice]))
    user = served.user()
    cached = {"type": "ephemeral"}
    body = ask(
        model="openrouter/anthropic/claude-test",
        system=[{"type": "text", "text": "S", "cache_control": cached}],
        messages=TURNS,
        top_k=5,
        thinking={"type": "enabled", "budget_tokens": 2_000},
    )
    got = call(served, user, body)
    sent = asked_last(served).body
    assert sent["messages"][0]["content"][0]["cache_control"] == cached
    assert sent["messages"][2]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm.", "signature": "S"}
    ]
    assert (sent["top_k"], sent["reasoning"]) == (5, {"max_tokens": 2_000})
    assert got.json()["content"] == [
        {"type": "thinking", "thinking": "So.", "signature": "T"},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "text", "text": "4"},
    ]


def test_reasoning_models_get_their_own_maximum(served: RunningGateway) -> None:
    """And effort for thinking (rule: translation)."""
    served.upstream.answer = says(completion())
    budget = {"type": "enabled", "budget_tokens": 10_000}
    call(served, served.user(), ask(model="openai/gpt-5-test", thinking=budget))
    sent = asked_last(served).body
    assert (sent["max_completion_tokens"], sent["reasoning_effort"]) == (100, "high")
    assert "max_tokens" not in sent


def test_gemini_is_two_steps_away(served: RunningGateway) -> None:
    """Through chat's form, both ways (rule: translation)."""
    parts = [{"functionCall": {"name": "roll", "args": {"sides": 6}}}]
    answer = {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13},
        "responseId": "r",
    }
    served.upstream.answer = says(json.dumps(answer).encode())
    user = served.user()
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    picture = {"type": "image", "source": source}
    body = ask(
        model="google-vertex/gemini-test",
        system="Be brief.",
        messages=[{"role": "user", "content": [picture]}, *TURNS[1:]],
        tools=[TOOL],
        top_k=5,
    )
    got = call(served, user, body)
    told = got.json()
    assert (told["stop_reason"], told["content"][0]["name"]) == ("tool_use", "roll")
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (9, 4)
    sent = asked_last(served).body
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert sent["contents"][0]["parts"][0]["inlineData"]["data"] == "aGk="
    assert sent["contents"][2]["parts"][0]["functionResponse"]["name"] == "roll"
    assert sent["generationConfig"]["maxOutputTokens"] == 100


REFUSED: list[dict[str, Any]] = [
    {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    {"container": {"id": "c"}},
    {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
    {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]},
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    {"tools": [{"name": "roll"}]},
    {"tools": 7},
    {"thinking": 7},
    {"tools": [TOOL], "tool_choice": {"type": "whatever"}},
]


@pytest.mark.parametrize("more", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(
    served: RunningGateway, more: dict[str, Any]
) -> None:
    """Nothing is sent, and nothing charged (P10)."""
    served.upstream.answer = says(completion())
    user = served.user()
    before = served.upstream.calls
    got = call(served, user, ask(model=LOCAL, **more))
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (400, "unsupported_by_provider")
    assert error["type"] == "invalid_request_error"
    assert served.upstream.calls == before
    assert served.story(user, got)["status"] == "voided"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_fails_over_between_forms(served: RunningGateway, streamed: bool) -> None:
    """Anthropic is overloaded, an OpenAI-shaped provider answers: one call, one charge
    (P3, rule: routing).
    """

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        elif request.path == "/v1/messages":
            reply(connection, b'{"type":"error","error":{"type":"overloaded_error"}}', status=529)
        elif streamed:
            stream(connection, chunk({"content": "Hello."}), chunk({}, finish="stop"), USAGE, DONE)
        else:
            reply(connection, completion())

    served.upstream.answer = answer
    user = served.user()
    body = ask(model="claude-test", models=[LOCAL], stream=streamed)
    got = call(served, user, body)
    assert got.status_code == 200
    story = served.story(user, got)
    assert story["attempts"][0]["provider"] == "anthropic"
    assert story["provider"] in ("local", "openrouter")
    assert story["status"] == "settled"
    found = accumulated(got.content) if streamed else got.json()
    assert found is not None
    assert found["content"] == [{"type": "text", "text": "Hello."}]


def test_chat_and_messages_cost_the_same(served: RunningGateway) -> None:
    """The same prompt and answer, whichever API asks for it (P4)."""
    user = served.user()
    costs = set()
    for model, answer in ((LOCAL, says(completion())), (CLAUDE, says(message()))):
        served.upstream.answer = answer
        asked = call(served, user, ask(model=model))
        chatted = served.chat(user, {"model": model, "messages": HELLO, "max_tokens": 100})
        told = [served.story(user, each) for each in (asked, chatted)]
        assert told[0]["usage"] == told[1]["usage"]
        assert told[0]["settled_nano_usd"] == told[1]["settled_nano_usd"]
        costs.add(told[0]["settled_nano_usd"])
    assert len(costs) == 2


def test_the_simulator_answers_messages(served: RunningGateway) -> None:
    """Without any provider's key (rule: contract)."""
    got = call(served, served.user(), ask(model="simulator/echo"))
    assert got.json()["content"] == [{"type": "text", "text": "Hi"}]
