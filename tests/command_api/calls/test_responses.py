"""Responses where the provider speaks them, and where it speaks chat: there and back."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.responses import (
    GPT,
    LOCAL,
    OPEN,
    START,
    ask,
    asked_last,
    call,
    delta,
    event,
    events_of,
    item,
    plays,
    says,
    serving,
    stream_of,
    whole,
)
from tests.providers.inference.test_responses_recordings import responded
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

TOOL = {
    "type": "function",
    "name": "roll",
    "description": "Roll a die.",
    "parameters": {"type": "object", "properties": {"sides": {"type": "integer"}}},
    "strict": True,
}
PATCH = {"type": "custom", "name": "patch", "description": "Patch files."}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_text", "text": "Roll."}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "theirs"},
    {**item("I do."), "id": "msg_1"},
    {"type": "function_call", "call_id": "t1", "name": "roll", "arguments": '{"sides":6}'},
    {"type": "custom_tool_call", "call_id": "t2", "name": "patch", "input": "+x"},
    {"type": "function_call_output", "call_id": "t1", "output": "4"},
    {
        "type": "custom_tool_call_output",
        "call_id": "t2",
        "output": [
            {"type": "input_text", "text": "done"},
            {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        ],
    },
    {"role": "developer", "content": "Now think."},
    {"role": "user", "content": "And?"},
]


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with several providers, all played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


def chunks(*pieces: bytes) -> Any:
    """An upstream that streams chunks."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        else:
            stream(connection, *pieces)

    return answer


def test_the_callers_bytes_reach_who_speaks_responses(served: RunningGateway) -> None:
    """But for the model's id; and its bytes reach the caller (rule: wire)."""
    served.upstream.answer = says(whole())
    raw = (
        b'{ "model":"openai/gpt-test",\n "input":[{"role":"user","content":"Hi"}], '
        b'"store" : false,  "novel":{"a" :1.50}}'
    )
    got = call(served, served.user(), raw)
    request = asked_last(served)
    assert request.path == "/v1/responses"
    assert request.raw == raw.replace(b"openai/gpt-test", b"gpt-test")
    assert got.content == whole()


def test_nothing_is_stored_at_the_provider(served: RunningGateway) -> None:
    """Who has a key of the gateway's would read what others said (P5)."""
    served.upstream.answer = says(whole())
    user = served.user()
    for store in (True, None):
        body = ask(store=store, model="openai/gpt-5-test")
        call(served, user, {name: value for name, value in body.items() if value is not None})
        sent = asked_last(served).body
        assert sent["store"] is False
        assert sent["include"] == ["reasoning.encrypted_content"]
    call(served, user, ask(store=True))
    assert "include" not in asked_last(served).body


def test_a_native_stream_passes(served: RunningGateway) -> None:
    """Byte for byte, charged by what its last event says (rule: wire, money rule 6)."""
    pieces = stream_of("Hel", "lo.")
    served.upstream.answer = plays(*pieces)
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.content == b"".join(pieces)
    story = served.story(user, got)
    assert (story["usage"]["input_tokens"], story["usage"]["output_tokens"]) == (10, 5)
    assert story["settled_nano_usd"] == 10 * 3_000 + 5 * 15_000


def test_a_conversation_goes_in_chats_form(served: RunningGateway) -> None:
    """Instructions, tools, calls, results and limits; foreign thoughts stay (rule: translation)."""
    served.upstream.answer = says(completion("Four."))
    body = ask(
        model=LOCAL,
        input=TURNS,
        instructions="Be brief.",
        tools=[TOOL, PATCH],
        tool_choice={"type": "function", "name": "roll"},
        parallel_tool_calls=False,
        max_output_tokens=100,
        temperature=0.5,
        reasoning={"effort": "high"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        truncation="auto",
        prompt_cache_key="k",
        user="u",
    )
    got = call(served, served.user(), body)
    assert got.status_code == 200
    request = asked_last(served)
    assert request.path == "/v1/chat/completions"
    tools = request.body.pop("tools")
    calls = [
        {"id": "t1", "type": "function", "function": {"name": "roll", "arguments": '{"sides":6}'}},
        {
            "id": "t2",
            "type": "function",
            "function": {"name": "patch", "arguments": '{"input":"+x"}'},
        },
    ]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert request.body == {
        "model": "m",
        "max_tokens": 100,
        "temperature": 0.5,
        "user": "u",
        "parallel_tool_calls": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Roll."},
            {"role": "assistant", "content": "I do.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "t1", "content": "4"},
            {"role": "tool", "tool_call_id": "t2", "content": "done"},
            {"role": "user", "content": [picture]},
            {"role": "system", "content": "Now think."},
            {"role": "user", "content": "And?"},
        ],
        "tool_choice": {"type": "function", "function": {"name": "roll"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
    }
    roll = {name: TOOL[name] for name in ("name", "description", "parameters", "strict")}
    assert tools[0] == {"type": "function", "function": roll}
    assert tools[1]["function"]["parameters"]["required"] == ["input"]


def test_a_whole_answer_comes_in_the_form_of_responses(served: RunningGateway) -> None:
    """With what it costs, and the full name of the model (rule: translation, P4)."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"n":1}'}},
        {
            "id": "c2",
            "type": "function",
            "function": {"name": "patch", "arguments": '{"input":"+"}'},
        },
    ]
    message = {
        "role": "assistant",
        "content": "I roll.",
        "reasoning_content": "Hm.",
        "tool_calls": calls,
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 7,
        "total_tokens": 37,
        "prompt_tokens_details": {"cached_tokens": 10},
    }
    served.upstream.answer = says(completion(choices=[choice], usage=usage))
    user = served.user()
    got = call(served, user, ask(model=LOCAL, tools=[TOOL, PATCH], metadata={"k": "v"}))
    story = served.story(user, got)
    told = got.json()
    hex_id = got.headers["x-gatewayz-call-id"].replace("-", "")
    assert told["id"] == f"resp_{hex_id}"
    assert (told["object"], told["status"], told["model"]) == ("response", "completed", LOCAL)
    assert (told["metadata"], told["store"], told["tools"]) == ({"k": "v"}, False, [TOOL, PATCH])
    thought, said, rolled, patched = told["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert said["content"][0]["text"] == "I roll."
    assert (rolled["type"], rolled["call_id"], rolled["arguments"]) == (
        "function_call",
        "c1",
        '{"n":1}',
    )
    assert (patched["type"], patched["call_id"], patched["input"]) == (
        "custom_tool_call",
        "c2",
        "+",
    )
    assert told["usage"] == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 37,
        "cost": story["settled_nano_usd"] / 10**9,
    }


def test_a_stream_comes_as_events(served: RunningGateway) -> None:
    """Thoughts, text, refusal and calls, numbered, in OpenAI's order (rule: translation)."""

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
        chunk({"refusal": "No."}),
        calls(0, "", id="a", type="function", named={"name": "roll"}),
        calls(0, '{"n"'),
        calls(0, ":1}"),
        calls(1, '{"inp', id="b", type="function", named={"name": "patch"}),
        calls(1, 'ut":"+"}'),
        chunk({}, finish="tool_calls"),
        USAGE,
        DONE,
    )
    user = served.user()
    got = call(served, user, ask(model=LOCAL, stream=True, tools=[TOOL, PATCH]))
    kinds = [each["type"].removeprefix("response.") for each in events_of(got.content)]
    assert kinds == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "content_part.added", "refusal.delta"),
        *("refusal.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("output_item.done", "completed"),
    ]
    found = responded(got.content)
    assert found is not None
    assert [each["type"] for each in found["output"]] == [
        *("reasoning", "message", "function_call", "custom_tool_call"),
    ]
    assert [part["type"] for part in found["output"][1]["content"]] == ["output_text", "refusal"]
    assert (found["output"][2]["arguments"], found["output"][3]["input"]) == ('{"n":1}', "+")
    story = served.story(user, got)
    assert round(found["usage"]["cost"] * 10**9) == story["settled_nano_usd"]
    assert asked_last(served).body["stream_options"] == {"include_usage": True}


ENDS = [("length", "max_output_tokens"), ("content_filter", "content_filter")]


@pytest.mark.parametrize(("finish", "reason"), ENDS)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_not_whole_is_incomplete(
    served: RunningGateway, finish: str, reason: str, streamed: bool
) -> None:
    """With why (rule: translation)."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hel"},
        "finish_reason": finish,
    }
    if streamed:
        pieces = (chunk({"content": "Hel"}), chunk({}, finish=finish), USAGE, DONE)
        served.upstream.answer = chunks(*pieces)
    else:
        served.upstream.answer = says(completion(choices=[choice]))
    got = call(served, served.user(), ask(model=LOCAL, stream=streamed))
    found = responded(got.content) if streamed else got.json()
    assert found is not None
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert found["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("streamed", [False, True])
def test_sealed_thoughts_go_round(served: RunningGateway, streamed: bool) -> None:
    """Anthropic's signatures come as encrypted content, and go back to it (rule: translation)."""
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
    use = {"type": "tool_use", "id": "t1", "name": "roll", "input": {}}
    told = {"input_tokens": 9, "output_tokens": 4}
    body: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "c"}
    body |= {"usage": told, "content": [thinking, use], "stop_reason": "tool_use"}

    def named(kind: str, **more: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()

    deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": "Hm."}]
    deltas += [{"type": "signature_delta", "signature": "S"}]
    begun = {**thinking, "thinking": "", "signature": ""}
    pieces = [
        named("message_start", message={**body, "content": [], "stop_reason": None}),
        named("content_block_start", index=0, content_block=begun),
        *(named("content_block_delta", index=0, delta=each) for each in deltas),
        named("content_block_stop", index=0),
        named("content_block_start", index=1, content_block=use),
        named("content_block_stop", index=1),
        named("message_delta", delta={"stop_reason": "tool_use"}, usage=told),
        named("message_stop"),
    ]
    served.upstream.answer = plays(*pieces) if streamed else says(json.dumps(body).encode())
    user = served.user()
    asked = ask(model="anthropic/claude-test", tools=[TOOL], stream=streamed)
    got = call(served, user, asked)
    found = responded(got.content) if streamed else got.json()
    assert found is not None
    thought = found["output"][0]
    assert thought["summary"][0]["text"] == "Hm."
    assert "Hm." not in thought["encrypted_content"]
    result = {"type": "function_call_output", "call_id": "t1", "output": "4"}
    turns = [{"role": "user", "content": "Roll"}, *found["output"], result]
    call(served, user, {**asked, "input": turns})
    sent = asked_last(served).body["messages"]
    assert sent[1]["content"][0] == thinking
    call(served, user, ask(input=turns))
    kinds = [each.get("type") for each in asked_last(served).body["input"]]
    assert kinds == [None, "function_call", "function_call_output"]


def test_a_call_fails_over_between_forms(served: RunningGateway) -> None:
    """OpenAI is overloaded, another answers: one call, one charge (P3, rule: routing)."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
        elif request.path == "/v1/responses":
            reply(connection, b'{"error":{"message":"busy"}}', status=503)
        else:
            reply(connection, completion())

    served.upstream.answer = answer
    user = served.user()
    got = call(served, user, ask(models=[LOCAL]))
    story = served.story(user, got)
    assert (story["attempts"][0]["provider"], story["provider"]) == ("openai", "local")
    assert got.json()["output"][0]["content"][0]["text"] == "Hello."


def test_chat_and_responses_cost_the_same(served: RunningGateway) -> None:
    """The same prompt and answer, whichever API asks for it (P4)."""
    user = served.user()
    for model, answer in ((LOCAL, says(completion())), (GPT, says(whole()))):
        served.upstream.answer = answer
        asked = served.story(user, call(served, user, ask(model=model, max_output_tokens=100)))
        served.upstream.answer = says(completion())
        messages = [{"role": "user", "content": "Hi"}]
        body = {"model": model, "messages": messages, "max_tokens": 100}
        chatted = served.story(user, served.chat(user, body))
        assert asked["usage"] == chatted["usage"]
        assert asked["settled_nano_usd"] == chatted["settled_nano_usd"]
        assert asked["held_nano_usd"] == chatted["held_nano_usd"]


def test_an_idempotency_key_answers_again(served: RunningGateway) -> None:
    """The same bytes, whole and streamed, charged once (P3, money rule 8)."""
    user = served.user()
    for streamed in (False, True):
        served.upstream.answer = plays(*stream_of("Hello.")) if streamed else says(whole())
        key = f"k{streamed}"
        first = call(served, user, ask(stream=streamed), idempotency_key=key)
        again = call(served, user, ask(stream=streamed), idempotency_key=key)
        assert again.content == first.content
        assert again.headers["idempotent-replayed"] == "true"


def test_a_hang_up_is_charged_for_what_was_made(served: RunningGateway) -> None:
    """And the provider is not asked for more (money rule 5)."""

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return
        begin_stream(connection)
        for piece in (START, OPEN, delta("one two three")):
            send_piece(connection, piece)
        time.sleep(2)

    served.upstream.answer = answer
    user = served.user()
    with (
        served.client(user) as client,
        client.stream("POST", "/v1/responses", json=ask(stream=True)) as got,
    ):
        call_id = got.headers["x-gatewayz-call-id"]
        next(got.iter_bytes())
    story = eventually(
        lambda: (found := served.story(user, call_id))["status"] == "settled" and found
    )
    assert story["usage"]["source"] == "estimated"
    assert story["settled_nano_usd"] > 0


REFUSED: list[dict[str, Any]] = [
    {"tools": [{"type": "local_shell"}]},
    {"tools": [{"type": "web_search"}]},
    {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
    {"tools": [{"type": "image_generation"}]},
    {"tools": [{"type": "computer_use_preview"}]},
    {"tools": [{"type": "mcp", "server_url": "https://x"}]},
    {"tools": [{"type": "file_search", "vector_store_ids": []}]},
]


@pytest.mark.parametrize("model", [LOCAL, GPT])
@pytest.mark.parametrize("more", REFUSED)
def test_tools_that_the_provider_runs_need_a_price(
    served: RunningGateway, more: dict[str, Any], model: str
) -> None:
    """Without one they are refused by name, and nothing is sent (P10)."""
    before = len(served.upstream.requests)
    got = call(served, served.user(), ask(model=model, **more))
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, "extra_unpriced", "tools")
    # The lists of models are asked for in the background.
    assert {each.path for each in served.upstream.requests[before:]} <= {"/v1/models"}


ELSEWHERE: list[dict[str, Any]] = [
    {"input": [{"type": "web_search_call", "id": "ws", "status": "completed"}]},
    {"input": [{"type": "hologram"}]},
    {"input": [{"role": "wizard", "content": "x"}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
    {"input": [7]},
    {"input": [{"type": "function_call_output", "call_id": "none", "output": "4"}]},
    {"tools": [{"type": "function"}]},
    {"tools": [TOOL], "tool_choice": {"type": "hosted"}},
    {"text": {"format": {"type": "json_schema", "name": "n", "schema": "no object"}}},
    {"text": {"format": {"type": "json_schema", "name": "n"}}},
    {"text": {"format": {"type": "grammar"}}},
    {"tools": [{**TOOL, "parameters": "no object"}]},
    {"reasoning": 7},
]


@pytest.mark.parametrize("number", range(len(ELSEWHERE)))
def test_what_has_no_counterpart_is_refused_by_name(served: RunningGateway, number: int) -> None:
    """Nothing is sent, and nothing charged (P10)."""
    served.upstream.answer = says(completion())
    user = served.user()
    before = served.upstream.calls
    got = call(served, user, ask(model=LOCAL, **ELSEWHERE[number]))
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (400, "unsupported_by_provider")
    assert served.upstream.calls == before
    assert served.story(user, got)["status"] == "voided"


def test_sealed_details_that_are_none_are_left_out(served: RunningGateway) -> None:
    """Whoever writes our mark himself is not believed (rule: refuse clearly)."""
    message = {"role": "assistant", "content": "x"}
    served.upstream.answer = says(
        json.dumps(
            {
                "id": "m",
                "type": "message",
                "content": [{"type": "text", "text": "x"}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        ).encode()
    )
    forged = ("gwd1.!!", "gwd1." + base64.b64encode(b"[7]").decode(), "gwd1.")
    for text in forged:
        thought = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": text}
        turns = [
            {"role": "user", "content": "Hi"},
            thought,
            message,
            {"role": "user", "content": "?"},
        ]
        body = ask(model="anthropic/claude-test", input=turns)
        assert call(served, served.user(), body).status_code == 200
        assert asked_last(served).body["messages"][1]["content"] == [{"type": "text", "text": "x"}]


def test_an_event_of_anothers_is_passed_on(served: RunningGateway) -> None:
    """What OpenAI will add passes, and counts as what it says (rule: wire)."""
    novel = event("response.hologram.delta", 3, delta="xyz")
    pieces = [*stream_of("Hello.")[:-1], novel, stream_of("Hello.")[-1]]
    served.upstream.answer = plays(*pieces)
    got = call(served, served.user(), ask(stream=True))
    assert got.content == b"".join(pieces)
