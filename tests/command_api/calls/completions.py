"""What the tests of completions share: bodies, replies and chunks, and who plays them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.command_api.calls.messages import asked_last, plays, says
from tests.support.harness import DONE, ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    import pytest

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

__all__ = ["asked_last", "plays", "says"]
INSTRUCT = "openai/gpt-3.5-turbo-instruct"
LOCAL = "local/m"
PROVIDER = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "gpt-3.5-turbo-instruct"
input_per_million = "1.5"
output_per_million = "2"
context_length = 4096
max_output_tokens = 4096
[[provider.model]]
id = "gpt-5-test"
input_per_million = "1"
output_per_million = "2"
[[provider]]
name = "vllm"
base_url = "{base_url}"
api_key = "sk-v"
completions = true
[[provider.model]]
id = "base"
input_per_million = "1"
output_per_million = "2"
context_length = 100
max_output_tokens = 100
[[provider.model]]
id = "m"
input_per_million = "0.1"
output_per_million = "0.2"
[[provider]]
name = "anthropic"
base_url = "{base_url}"
api_key = "sk-ant"
completions = true
[[provider.model]]
id = "claude-test"
input_per_million = "3"
output_per_million = "15"
max_output_tokens = 8192
"""


@contextmanager
def serving(
    server: Database, factory: pytest.TempPathFactory, **settings: Any
) -> Iterator[RunningGateway]:
    """A gateway for the tests of a module, with several providers, played by whoever asks."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(says(b"{}"))
    text = PROVIDER.format(base_url=upstream.base_url)
    with (
        fresh_database(server) as database,
        running_gateway(
            database, factory.mktemp("home"), upstream, providers=text, **settings
        ) as made,
    ):
        yield made
        made.verified()
        assert made.open_holds() == 0
    upstream.close()


def ask(**more: Any) -> dict[str, Any]:
    """A body."""
    return {"model": INSTRUCT, "prompt": "Say hi", "max_tokens": 20, **more}


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def choice(text: str, index: int = 0, finish: str | None = "stop") -> dict[str, Any]:
    """One choice."""
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def whole(*texts: str, **more: Any) -> bytes:
    """A whole reply as OpenAI writes it."""
    return json.dumps(
        {
            "id": "cmpl-up",
            "object": "text_completion",
            "created": 1,
            "model": "gpt-3.5-turbo-instruct:20230824-v2",
            "choices": [choice(each, place) for place, each in enumerate(texts or ("Hello.",))],
            "usage": USAGE,
            **more,
        }
    ).encode()


def piece(*choices: dict[str, Any], **more: Any) -> bytes:
    """One chunk of a stream as OpenAI writes it."""
    told = {
        "id": "cmpl-up",
        "object": "text_completion",
        "created": 1,
        "choices": list(choices),
        "model": "gpt-3.5-turbo-instruct:20230824-v2",
        **more,
    }
    return b"data: " + json.dumps(told).encode() + b"\n\n"


LAST = piece(choice("", 0, "stop"))
USED = piece(usage=USAGE)


def stream_of(*texts: str) -> list[bytes]:
    """A whole stream, with its usage."""
    return [*(piece(choice(each, 0, None)) for each in texts), LAST, USED, DONE]


def call(
    gateway: RunningGateway, user: NewUser, body: dict[str, Any] | bytes, **headers: str
) -> httpx.Response:
    """One call; a header's underscores are hyphens."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with gateway.client(user, **told) as client:
        return client.post("/v1/completions", content=raw)


def chunks_of(content: bytes) -> list[dict[str, Any]]:
    """A stream's chunks; it ends with [DONE]."""
    lines = [line[6:] for line in content.decode().splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def text_of(chunks: list[dict[str, Any]], index: int = 0) -> str:
    """What the chunks say of one choice."""
    return "".join(
        each["text"] for chunk in chunks for each in chunk["choices"] if each["index"] == index
    )


def asked(gateway: RunningGateway) -> int:
    """How often a provider was asked for something else than its list."""
    return sum(each.method == "POST" for each in gateway.upstream.requests)
