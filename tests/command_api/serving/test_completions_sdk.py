"""OpenAI's SDK completes prompts at the gateway, unchanged: whole, streamed, async, with errors."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.command_api.calls.completions import (
    INSTRUCT,
    choice,
    plays,
    says,
    serving,
    stream_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

ECHO = "simulator/echo"
BOTH = pytest.mark.parametrize("model", [ECHO, INSTRUCT])


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


@BOTH
def test_create(served: RunningGateway, client: openai.OpenAI, model: str) -> None:
    """At a model that completes, and at one that chats (rule: contract)."""
    served.upstream.answer = says(whole("one two three"))
    got = client.completions.create(model=model, prompt="one two three", max_tokens=20, seed=7)
    assert [each.text for each in got.choices] == ["one two three"]
    assert (got.object, got.model) == ("text_completion", model)
    assert got.choices[0].finish_reason == "stop"
    assert got.usage is not None
    assert got.usage.model_extra is not None
    assert got.usage.model_extra["cost"] > 0
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens


@BOTH
def test_a_stream(served: RunningGateway, client: openai.OpenAI, model: str) -> None:
    """The texts add up, and usage comes at the end when asked for (rule: contract)."""
    served.upstream.answer = plays(*stream_of("one ", "two ", "three"))
    asked: Any = {"model": model, "prompt": "one two three", "stream": True}
    got = list(client.completions.create(**asked, stream_options={"include_usage": True}))
    assert "".join(each.choices[0].text for each in got if each.choices) == "one two three"
    assert {(each.object, each.model) for each in got} == {("text_completion", model)}
    assert got[-1].usage is not None
    assert got[-1].usage.completion_tokens > 0
    assert [each.choices[0].finish_reason for each in got if each.choices][-1] == "stop"
    plain = list(client.completions.create(**asked))
    assert all(each.choices for each in plain)


def test_several_prompts_and_log_probabilities(
    served: RunningGateway, client: openai.OpenAI
) -> None:
    """As the model gives them (rule: contract)."""
    columns = {"tokens": ["Hi"], "token_logprobs": [-0.5], "text_offset": [3]}
    told = [choice("Hi", place) | {"logprobs": columns} for place in range(4)]
    served.upstream.answer = says(whole(choices=told))
    got = client.completions.create(
        model=INSTRUCT, prompt=["one", "two"], n=2, best_of=3, logprobs=1, echo=False, suffix="!"
    )
    assert [each.index for each in got.choices] == [0, 1, 2, 3]
    assert got.choices[0].logprobs is not None
    assert got.choices[0].logprobs.tokens == ["Hi"]


def test_async_and_many_at_once(served: RunningGateway) -> None:
    """Twenty calls side by side, all charged (P3, rule: contract)."""
    user = served.user()

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(
            api_key=user.api_key, base_url=f"{served.url}/v1", max_retries=0
        ) as many:
            calls = (
                many.completions.create(model=ECHO, prompt=f"say {n}", max_tokens=9)
                for n in range(20)
            )
            return [each.choices[0].text for each in await asyncio.gather(*calls)]

    assert asyncio.run(run()) == [f"say {number}" for number in range(20)]
    assert served.balance(user)["held_nano_usd"] == 0


def test_errors_are_the_sdks_own(served: RunningGateway, client: openai.OpenAI) -> None:
    """By their class, with our code (rule: contract)."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=ECHO, prompt="one", suffix="two")
    assert refused.value.code == "unsupported_by_provider"
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="no/such", prompt="one")
    limited = json.dumps({"error": {"message": "Slow down", "type": "rate_limit"}}).encode()
    served.upstream.answer = says(limited, status=429)
    with pytest.raises(openai.RateLimitError):
        client.completions.create(model=INSTRUCT, prompt="one")
