"""Anthropic's clients work against the gateway unchanged: its SDK, LangChain, and Claude Code."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import pytest
from langchain_anthropic import ChatAnthropic

from tests.command_api.calls.messages import (
    CLAUDE,
    CLOSE,
    END,
    HELLO,
    PING,
    START,
    STOP,
    asked_last,
    event,
    message,
    plays,
    says,
    serving,
    stream_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types import ToolParam

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

ECHO = "simulator/echo"
TOOL: ToolParam = {"name": "roll", "input_schema": {"type": "object", "properties": {}}}
SAY: Any = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with Anthropic, played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


@pytest.fixture
def client(served: RunningGateway) -> Iterator[anthropic.Anthropic]:
    """The SDK, with a new user's key where it keeps Anthropic's."""
    with anthropic.Anthropic(
        api_key=served.user().api_key, base_url=served.url, max_retries=0
    ) as made:
        yield made


@pytest.mark.parametrize("model", [ECHO, "claude-test"])
def test_a_whole_message(served: RunningGateway, client: anthropic.Anthropic, model: str) -> None:
    """At Anthropic, and elsewhere (rule: contract)."""
    served.upstream.answer = says(message("one two three"))
    got = client.messages.create(model=model, max_tokens=50, messages=SAY, system="Be brief.")
    assert [each.text for each in got.content if each.type == "text"] == ["one two three"]
    assert (got.role, got.type, got.stop_reason) == ("assistant", "message", "end_turn")
    assert got.usage.input_tokens > 0
    assert got.usage.output_tokens > 0
    assert got._request_id


@pytest.mark.parametrize("model", [ECHO, "claude-test"])
def test_a_stream(served: RunningGateway, client: anthropic.Anthropic, model: str) -> None:
    """The SDK's own accumulation finds text and usage (rule: contract)."""
    served.upstream.answer = plays(*stream_of("one ", "two ", "three"))
    with client.messages.stream(model=model, max_tokens=50, messages=SAY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "one two three"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0
    assert final.usage.input_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client: anthropic.Anthropic, stream: bool) -> None:
    """A required tool is called, and its result goes back (rule: contract)."""
    asked: dict[str, Any] = {"model": ECHO, "max_tokens": 100, "tools": [TOOL]}
    choice: Any = {"type": "any"}
    if stream:
        with client.messages.stream(messages=SAY, tool_choice=choice, **asked) as events:
            got: Any = events.get_final_message()
    else:
        got = client.messages.create(messages=SAY, tool_choice=choice, **asked)
    (call,) = [each for each in got.content if each.type == "tool_use"]
    assert (call.name, got.stop_reason) == ("roll", "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": json.dumps({"rolled": 4})}
    again: Any = [
        *SAY,
        {"role": "assistant", "content": got.content},
        {"role": "user", "content": [result]},
    ]
    final: Any = client.messages.create(messages=again, **asked)
    assert final.content[0].text == '{"rolled": 4}'


def test_tokens_are_counted(served: RunningGateway, client: anthropic.Anthropic) -> None:
    """By Anthropic, and by us (rule: contract)."""
    served.upstream.answer = says(b'{"input_tokens":14}')
    assert client.messages.count_tokens(model=CLAUDE, messages=SAY).input_tokens == 14
    assert client.messages.count_tokens(model=ECHO, messages=SAY).input_tokens == 8


def test_errors_are_the_sdks_own(served: RunningGateway) -> None:
    """Each has its class, its type and the request's id (rule: contract)."""
    asked: dict[str, Any] = {"model": CLAUDE, "max_tokens": 50, "messages": SAY}

    def refused(key: str, kind: type[anthropic.APIStatusError], **more: Any) -> Any:
        with (
            anthropic.Anthropic(api_key=key, base_url=served.url, max_retries=0) as client,
            pytest.raises(kind) as found,
        ):
            list(client.messages.create(**{**asked, **more}))
        assert found.value.request_id
        assert isinstance(found.value.body, dict)
        return found.value.body["error"]["type"]

    unknown = refused("sk-ant-theirs", anthropic.AuthenticationError)
    assert unknown == "authentication_error"
    key = served.user().api_key
    assert refused(key, anthropic.NotFoundError, model="claude-none") == "not_found_error"
    assert refused(key, anthropic.BadRequestError, messages=[]) == "invalid_request_error"
    served.upstream.answer = says(b'{"type":"error","error":{"type":"overloaded_error"}}', 529)
    assert refused(key, anthropic.APIStatusError) == "overloaded_error"
    served.upstream.answer = plays(
        *stream_of("one")[:4], event("error", error={"type": "overloaded_error", "message": "No"})
    )
    assert refused(key, anthropic.APIStatusError, stream=True) == "overloaded_error"
    poor = served.user(grant=1_000).api_key
    assert refused(poor, anthropic.APIStatusError) == "billing_error"


def test_a_token_instead_of_a_key(served: RunningGateway) -> None:
    """The SDK's `auth_token`, sync and async (rule: contract)."""
    served.upstream.answer = says(message())
    key = served.user().api_key

    async def run() -> str:
        async with anthropic.AsyncAnthropic(auth_token=key, base_url=served.url) as client:
            got = await client.messages.create(model="claude-test", max_tokens=9, messages=SAY)
            return got.content[0].type

    assert asyncio.run(run()) == "text"


def test_betas_of_the_sdk(served: RunningGateway, client: anthropic.Anthropic) -> None:
    """Its beta namespace asks `?beta=true` with a header that goes on (rule: wire)."""
    served.upstream.answer = says(message())
    client.beta.messages.create(
        model="claude-test",
        max_tokens=9,
        messages=[{"role": "user", "content": "Hi"}],
        betas=["interleaved-thinking-2025-05-14"],
    )
    assert asked_last(served).headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


CODE_HEADERS = {
    "accept": "application/json",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,"
    "fine-grained-tool-streaming-2025-05-14",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
    "user-agent": "claude-cli/2.0.0 (external, cli)",
    "x-app": "cli",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
}
EPHEMERAL = {"type": "ephemeral"}
CODE_TOOLS = [
    {
        "name": name,
        "description": f"{name} something",
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    }
    for name in ("Bash", "Read")
]


def code_body(messages: list[Any]) -> dict[str, Any]:
    """A turn as Claude Code sends it."""
    return {
        "model": "claude-test",
        "messages": messages,
        "temperature": 1,
        "system": [
            {"type": "text", "text": "You are Claude Code.", "cache_control": EPHEMERAL},
            {"type": "text", "text": "You help with software.", "cache_control": EPHEMERAL},
        ],
        "tools": CODE_TOOLS,
        "metadata": {"user_id": "user_1_account__session_2"},
        "max_tokens": 8_000,
        "thinking": {"budget_tokens": 4_000, "type": "enabled"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stream": True,
    }


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    """A block of a stream."""
    return [
        event("content_block_start", index=index, content_block=begin),
        *(event("content_block_delta", index=index, delta=each) for each in deltas),
        event("content_block_stop", index=index),
    ]


def test_a_conversation_of_claude_code(served: RunningGateway) -> None:
    """Its headers, cached system blocks, thinking and finely streamed tools, over two turns: bytes
    pass both ways, and both turns are charged (rule: wire, P4).
    """
    user = served.user()
    opened = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
    first = [
        START,
        PING,
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "I look."},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(
            1,
            opened,
            *(
                {"type": "input_json_delta", "partial_json": e}
                for e in ("", '{"com', 'mand":"ls"}')
            ),
        ),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 40}),
        STOP,
    ]
    ask_first: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "List.", "cache_control": EPHEMERAL}]}
    ]
    with httpx.Client(
        base_url=served.url, headers={**CODE_HEADERS, "x-api-key": user.api_key}
    ) as client:
        served.upstream.answer = plays(*first)
        got = client.post("/v1/messages?beta=true", json=code_body(ask_first))
        assert got.content == b"".join(first)
        sent = asked_last(served)
        assert sent.body == code_body(ask_first)
        assert sent.headers["anthropic-beta"] == CODE_HEADERS["anthropic-beta"]
        turns = [
            *ask_first,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "I look.", "signature": "c2ln"},
                    {**opened, "input": {"command": "ls"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py"},
                    {"type": "text", "text": "<system-reminder>", "cache_control": EPHEMERAL},
                ],
            },
        ]
        second = [*stream_of("There is a.py.")[:-3], CLOSE, END, STOP]
        served.upstream.answer = plays(*second)
        again = client.post("/v1/messages?beta=true", json=code_body(turns))
        assert again.content == b"".join(second)
        assert asked_last(served).body["messages"] == turns
        served.upstream.answer = says(b'{"input_tokens":321}')
        asked = {"model": "claude-test", "messages": HELLO, "tools": CODE_TOOLS}
        counted = client.post("/v1/messages/count_tokens?beta=true", json=asked)
        assert counted.json() == {"input_tokens": 321}
    stories = [served.story(user, each) for each in (got, again)]
    assert [each["status"] for each in stories] == ["settled"] * 2
    assert stories[0]["usage"]["output_tokens"] == 40
    # The same turn goes to another provider as well: what it cannot take of it is left out.
    with httpx.Client(
        base_url=served.url, headers={**CODE_HEADERS, "x-api-key": user.api_key}
    ) as client:
        body = {**code_body(turns), "model": ECHO}
        other = client.post("/v1/messages?beta=true", json=body)
    assert other.status_code == 200
    assert b"message_stop" in other.content


def test_langchain(served: RunningGateway) -> None:
    """Whole, streamed, and with a tool (rule: contract)."""
    model = ChatAnthropic(
        model=ECHO,
        api_key=served.user().api_key,
        base_url=served.url,
        max_tokens_to_sample=50,
        timeout=None,
        stop=None,
    )
    assert model.invoke("one two").content == "one two"
    assert "".join(str(each.text) for each in model.stream("one two")) == "one two"
    with_tool = model.bind_tools([TOOL], tool_choice="any")
    assert [each["name"] for each in with_tool.invoke("Roll.").tool_calls] == ["roll"]
