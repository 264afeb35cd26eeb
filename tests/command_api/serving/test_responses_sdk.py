"""Clients of Responses work against the gateway unchanged: OpenAI's SDK, and Codex CLI's wire."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

from tests.command_api.background.playing import Waiting
from tests.command_api.calls.responses import (
    GPT,
    LOCAL,
    asked_last,
    event,
    item,
    plays,
    response,
    says,
    serving,
    stream_of,
    whole,
)
from tests.support.harness import DONE, USAGE, chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

ECHO = "simulator/echo"
TOOL: Any = {"type": "function", "name": "roll", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with OpenAI, played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


@pytest.fixture
def client(served: RunningGateway) -> Iterator[openai.OpenAI]:
    """The SDK, with a new user's key."""
    with openai.OpenAI(
        api_key=served.user().api_key, base_url=f"{served.url}/v1", max_retries=0
    ) as made:
        yield made


@pytest.mark.parametrize("model", [ECHO, GPT])
def test_create(served: RunningGateway, client: openai.OpenAI, model: str) -> None:
    """At OpenAI, and elsewhere (rule: contract)."""
    served.upstream.answer = says(whole(item("one two three")))
    got = client.responses.create(model=model, input="one two three", instructions="Be brief.")
    assert got.output_text == "one two three"
    assert (got.object, got.status, got.error) == ("response", "completed", None)
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens > 0
    assert got._request_id


@pytest.mark.parametrize("model", [ECHO, GPT])
def test_stream(served: RunningGateway, client: openai.OpenAI, model: str) -> None:
    """The SDK's own accumulation finds the text and the response (rule: contract)."""
    served.upstream.answer = plays(*stream_of("one ", "two ", "three"))
    with client.responses.stream(model=model, input="one two three") as stream:
        text = "".join(each.delta for each in stream if each.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "one two three"
    assert final.usage is not None
    assert final.usage.output_tokens > 0


class Point(BaseModel):
    """What an answer is to be."""

    x: int
    y: int


def test_parse(client: openai.OpenAI) -> None:
    """JSON by a schema comes as an object (rule: contract)."""
    got = client.responses.parse(model=ECHO, input="A point", text_format=Point)
    assert isinstance(got.output_parsed, Point)
    with client.responses.stream(model=ECHO, input="A point", text_format=Point) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Point)


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_by_previous_response(client: openai.OpenAI, streamed: bool) -> None:
    """A required tool is called; its result alone is sent, and the rest is known
    (rule: contract).
    """
    asked: dict[str, Any] = {"model": ECHO, "tools": [TOOL]}
    if streamed:
        with client.responses.stream(input="Roll", tool_choice="required", **asked) as events:
            got: Any = events.get_final_response()
    else:
        got = client.responses.create(input="Roll", tool_choice="required", **asked)
    (called,) = [each for each in got.output if each.type == "function_call"]
    assert called.name == "roll"
    result: Any = {"type": "function_call_output", "call_id": called.call_id, "output": "rolled 4"}
    final: Any = client.responses.create(input=[result], previous_response_id=got.id, **asked)
    assert final.output_text == "rolled 4"
    assert final.previous_response_id == got.id


def test_retrieve_list_and_delete(client: openai.OpenAI) -> None:
    """What is stored is the caller's to see and to delete (rule: contract)."""
    made = client.responses.create(model=ECHO, input="one two three")
    found = client.responses.retrieve(made.id)
    assert found.output_text == made.output_text
    items: Any = list(client.responses.input_items.list(made.id, limit=1))
    assert [each.content[0].text for each in items] == ["one two three"]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.retrieve(made.id)
    assert refused.value.code == "response_not_found"


def test_errors_are_the_sdks_own(served: RunningGateway, client: openai.OpenAI) -> None:
    """Each has its class and its code (rule: contract)."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=ECHO, input="x", tools=[{"type": "web_search"}])
    assert (refused.value.code, refused.value.param) == ("extra_unpriced", "tools")
    with pytest.raises(openai.BadRequestError) as waited:
        client.responses.create(model=ECHO, input="x", background=True, store=False)
    assert (waited.value.code, waited.value.param) == ("background_not_stored", "background")
    served.upstream.answer = plays(*stream_of("one ")[:3])
    kinds = [each.type for each in client.responses.create(model=GPT, input="x", stream=True)]
    assert kinds[-1] == "response.failed"


def test_background(served: RunningGateway, client: openai.OpenAI) -> None:
    """Made, polled until it is done, and cancelled twice (rule: contract)."""
    made = client.responses.create(model=ECHO, input="one two three", background=True)
    assert made.status == "queued"
    assert made.background
    found = made
    while found.status in {"queued", "in_progress"}:
        time.sleep(0.05)
        found = client.responses.retrieve(made.id)
    assert (found.status, found.output_text) == ("completed", "one two three")
    assert client.responses.cancel(made.id).status == "completed"
    provider = served.upstream.answer = Waiting()
    made = client.responses.create(model=GPT, input="x", background=True)
    assert provider.begun.acquire(timeout=20)
    assert client.responses.retrieve(made.id).status == "in_progress"
    for _ in range(2):
        cancelled = client.responses.cancel(made.id)
        assert (cancelled.id, cancelled.status) == (made.id, "cancelled")
        assert cancelled.output_text == "one "
    plain = client.responses.create(model=ECHO, input="x")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(plain.id)
    assert refused.value.code == "response_not_in_background"


@pytest.mark.parametrize("model", [ECHO, GPT])
def test_background_stream(served: RunningGateway, client: openai.OpenAI, model: str) -> None:
    """Left after its first text, and taken up again where that was (rule: contract)."""
    served.upstream.answer = plays(*stream_of("one ", "two ", "three"))
    seen: list[Any] = []
    with client.responses.stream(model=model, input="one two three", background=True) as first:
        for each in first:
            seen.append(each)
            if each.type == "response.output_text.delta":
                break
    response_id, last = seen[0].response.id, seen[-1].sequence_number
    rest: list[Any] = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    numbers = [each.sequence_number for each in [*seen, *rest]]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].response.output_text == "one two three"
    with client.responses.stream(response_id=response_id, starting_after=last) as again:
        told = [each.sequence_number for each in again]
        assert again.get_final_response().output_text == "one two three"
    assert told == [each.sequence_number for each in rest]


def test_a_cancelled_stream_ends(served: RunningGateway, client: openai.OpenAI) -> None:
    """The SDK takes the last event, which OpenAI's document does not have (rule: contract)."""
    served.upstream.answer = Waiting()
    seen: list[Any] = []
    for each in client.responses.create(model=GPT, input="x", background=True, stream=True):
        seen.append(each)
        if each.type == "response.output_text.delta":
            client.responses.cancel(seen[0].response.id)
    assert seen[-1].type == "response.cancelled"
    assert seen[-1].response["status"] == "cancelled"


def turn(client: Any, body: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What Codex CLI reads of a stream: the items that are done, and the completed response."""
    done: list[Any] = []
    with client.stream(
        "POST",
        "/v1/responses",
        json=body,
        headers={
            "accept": "text/event-stream",
            "originator": "codex_cli_rs",
            "session_id": "0198",
            "conversation_id": "0198",
        },
    ) as got:
        assert got.status_code == 200, got.read()
        kind = ""
        for line in got.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
                assert told["type"] == kind
                if kind == "response.output_item.done":
                    done.append(told["item"])
                elif kind == "response.completed":
                    return done, told["response"]
                elif kind == "response.failed":
                    raise AssertionError(told["response"]["error"])
    message = "stream closed before response.completed"
    raise AssertionError(message)


CODEX: dict[str, Any] = {
    "instructions": "You are a coding agent.",
    "tools": [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs a command.",
            "strict": False,
            "parameters": {"type": "object", "properties": {"command": {"type": "array"}}},
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0198",
    "text": {"verbosity": "low"},
}
ASKED = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it"}]},
]


def calls(name: str, arguments: str, call_id: str) -> bytes:
    """A call of a tool in a chunk."""
    function = {"name": name, "arguments": arguments}
    told = {"index": 0, "id": call_id, "type": "function", "function": function}
    return chunk({"tool_calls": [told]})


def test_codex_at_a_provider_of_chat(served: RunningGateway) -> None:
    """Thoughts, a command, a patch, an answer: each turn sends all that was before
    (rule: contract, rule: translation).
    """
    user = served.user()
    history: list[Any] = list(ASKED)
    with served.client(user) as client:
        served.upstream.answer = plays(
            chunk({"reasoning_content": "Look first."}),
            calls("shell", '{"command":["ls"]}', "c1"),
            chunk({}, finish="tool_calls"),
            USAGE,
            DONE,
        )
        done, last = turn(client, {**CODEX, "model": LOCAL, "input": history})
        assert [each["type"] for each in done] == ["reasoning", "function_call"]
        assert json.loads(done[1]["arguments"]) == {"command": ["ls"]}
        assert last["usage"]["total_tokens"] == 15
        result = {"type": "function_call_output", "call_id": "c1", "output": "a.py"}
        history += [*done, result]
        served.upstream.answer = plays(
            calls("apply_patch", '{"input":"*** Begin Patch"}', "c2"),
            chunk({}, finish="tool_calls"),
            USAGE,
            DONE,
        )
        done, _ = turn(client, {**CODEX, "model": LOCAL, "input": history})
        assert done[0]["type"] == "custom_tool_call"
        assert done[0]["input"] == "*** Begin Patch"
        patched = {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done"}
        history += [*done, patched]
        served.upstream.answer = plays(
            chunk({"content": "Fixed."}), chunk({}, finish="stop"), USAGE, DONE
        )
        done, last = turn(client, {**CODEX, "model": LOCAL, "input": history})
    assert done[0]["content"][0]["text"] == "Fixed."
    assert last["id"].startswith("resp_")
    roles = [each["role"] for each in asked_last(served).body["messages"]]
    assert roles == ["system", "system", "user", "assistant", "tool", "assistant", "tool"]


def test_codex_at_openai(served: RunningGateway) -> None:
    """Its bytes pass, sealed thoughts with them (rule: contract, rule: wire)."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "E"}
    command = {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "shell",
        "arguments": "{}",
    }
    pieces = [stream_of("x")[0]]
    for place, made in enumerate((thought, command)):
        pieces.append(event("response.output_item.done", 2 + place, output_index=place, item=made))
    pieces.append(event("response.completed", 4, response=response(thought, command)))
    served.upstream.answer = plays(*pieces)
    with served.client(served.user()) as client:
        done, last = turn(client, {**CODEX, "model": GPT, "input": ASKED})
        assert (done, last["id"]) == ([thought, command], "resp_up")
        result = {"type": "function_call_output", "call_id": "c1", "output": "a.py"}
        served.upstream.answer = plays(*stream_of("Fixed."))
        history = [*ASKED, *done, result]
        turn(client, {**CODEX, "model": GPT, "input": history})
    sent = asked_last(served).body
    assert sent == {**CODEX, "model": "gpt-test", "input": history}
