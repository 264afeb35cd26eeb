"""The official OpenAI SDK works against the gateway, sync and async."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

    from tests.support.harness import RunningGateway

MODEL = "simulator/echo"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "roll", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    """The SDK, with a new user's key."""
    with openai.OpenAI(
        api_key=gateway.user().api_key, base_url=f"{gateway.url}/v1", max_retries=0
    ) as made:
        yield made


def test_a_whole_answer(client: openai.OpenAI) -> None:
    """Choices and usage, with `n` (rule: contract)."""
    got = client.chat.completions.create(model=MODEL, messages=HELLO, n=2)
    assert [choice.message.content for choice in got.choices] == ["one two three"] * 2
    assert got.usage is not None
    assert got.usage.completion_tokens == 6
    assert got.model == MODEL
    assert got.usage.model_extra is not None
    tokens = got.usage.prompt_tokens * 150 + got.usage.completion_tokens * 600
    assert got.usage.model_extra["cost"] == tokens / 10**9


def test_a_stream(client: openai.OpenAI) -> None:
    """The deltas add up, and usage comes when asked for (rule: contract)."""
    got = list(
        client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in got if chunk.choices)
    assert text == "one two three"
    assert got[-1].usage is not None
    assert got[-1].usage.model_extra is not None
    assert got[-1].usage.model_extra["cost"] > 0
    assert {chunk.model for chunk in got} == {MODEL}
    plain = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert all(chunk.choices for chunk in plain)


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client: openai.OpenAI, stream: bool) -> None:
    """A required tool is called, and its result can be sent back (rule: contract)."""
    asked: dict[str, Any] = {"model": MODEL, "tools": [TOOL]}
    if stream:
        chunks: Any = client.chat.completions.create(
            messages=HELLO, tool_choice="required", stream=True, **asked
        )
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices[0].delta.tool_calls]
        call = deltas[0].tool_calls[0]
    else:
        got: Any = client.chat.completions.create(messages=HELLO, tool_choice="required", **asked)
        call = got.choices[0].message.tool_calls[0]
    assert call.function.name == "roll"
    again: list[Any] = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": "roll", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"rolled": 4})},
    ]
    final = client.chat.completions.create(messages=again, **asked)
    assert final.choices[0].message.content == '{"rolled": 4}'


def test_images_in_messages(client: openai.OpenAI) -> None:
    """Parts pass; an image's bytes are not counted as text (money rule 2, rule: contract)."""
    picture = "data:image/png;base64," + "A" * 400_000
    content: list[Any] = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    got = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], max_tokens=5
    )
    assert got.choices[0].message.content == "look"


def test_async_and_many_at_once(gateway: RunningGateway) -> None:
    """Forty calls and streams side by side, all charged (P3, rule: contract)."""
    user = gateway.user()

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(
            api_key=user.api_key, base_url=f"{gateway.url}/v1", max_retries=0
        ) as client:

            async def whole() -> str:
                got = await client.chat.completions.create(model=MODEL, messages=HELLO)
                return got.choices[0].message.content or ""

            async def streamed() -> str:
                chunks = await client.chat.completions.create(
                    model=MODEL, messages=HELLO, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

            return await asyncio.gather(*[f() for _ in range(20) for f in (whole, streamed)])

    assert set(asyncio.run(run())) == {"one two three"}
    report = gateway.verified()
    assert report.open_holds == 0
    assert report.settled_nano_usd == 40 * (4 * 150 + 3 * 600)


def test_errors_have_the_sdks_classes(gateway: RunningGateway, client: openai.OpenAI) -> None:
    """Status, code and type are where the SDK looks for them (rule: contract)."""
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nope", messages=HELLO)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            extra_body={"simulator": {"status": 429, "retry_after": 3}},
        )
    assert limited.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model=MODEL, messages=HELLO)
    with pytest.raises(openai.APIStatusError) as poor:
        client.with_options(api_key=gateway.user(grant=1).api_key).chat.completions.create(
            model=MODEL, messages=HELLO
        )
    assert (poor.value.status_code, poor.value.code) == (402, "insufficient_credits")
    broken = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, extra_body={"simulator": {"fail_after_chunks": 3}}
    )
    with pytest.raises(openai.APIError, match="broke its reply off"):
        list(broken)


def test_models(client: openai.OpenAI) -> None:
    """The list and one of it; ids hold slashes (rule: contract)."""
    ids = [model.id for model in client.models.list()]
    assert MODEL in ids
    assert client.models.retrieve(MODEL).owned_by == "simulator"


def test_embeddings(client: openai.OpenAI) -> None:
    """Vectors as numbers, which the SDK asks for in base64 (rule: contract)."""
    got = client.embeddings.create(model="simulator/embed", input=["a", "b"])
    assert [len(each.embedding) for each in got.data] == [8, 8]
    assert got.usage.prompt_tokens == 2
    short = client.embeddings.create(model="simulator/embed", input="a", dimensions=3)
    assert len(short.data[0].embedding) == 3


def test_images(client: openai.OpenAI) -> None:
    """As many as were asked for (rule: contract)."""
    got = client.images.generate(model="simulator/paint", prompt="A cat", n=2)
    assert got.data is not None
    assert [bool(each.b64_json) for each in got.data] == [True, True]
