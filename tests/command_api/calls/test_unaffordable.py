"""What is told of a call that costs more than there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PROVIDER = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "gpt-4o-mini"
input_per_million = "1"
output_per_million = "10"
max_output_tokens = 4000
context_length = 128000
[[provider.model]]
id = "dall-e-3"
per_image = "1"
[[provider.model]]
id = "tts-1"
per_million_characters = "1000"
[[provider.model]]
id = "embed"
input_per_million = "1000"
output_per_million = "0"
"""
GRANT = 5_000_000
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 40_000}]}


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose upstream must not be asked."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream(lambda connection, _: reply(connection, b'{"data":[]}'))
    text = PROVIDER.format(base_url=upstream.base_url)
    home = tmp_path_factory.mktemp("home")
    with (
        fresh_database(server) as database,
        running_gateway(database, home, upstream, providers=text) as made,
    ):
        yield made
        made.verified()
    upstream.close()


@pytest.mark.parametrize(
    ("path", "body", "cure"),
    [
        ("chat/completions", {**HI, "max_tokens": 4_000}, "Set max_tokens to at most "),
        ("messages", {**HI, "max_tokens": 4_000}, "Set max_tokens to at most "),
        ("responses", {"input": "Hi", "max_output_tokens": 4_000}, "Set max_output_tokens to at "),
        ("completions", {"prompt": "Hi", "max_tokens": 4_000}, "Set max_tokens to at most "),
        ("chat/completions", LONG, "Add credits, or send a shorter prompt, or fewer and smaller "),
        (
            "images/generations",
            {"prompt": "A cat."},
            "Add credits, or send fewer or smaller images",
        ),
        ("audio/speech", {"input": "x" * 4_000, "voice": "alloy"}, "or send a shorter input."),
        ("embeddings", {"input": "x " * 9_000}, "or send fewer or shorter texts."),
    ],
)
def test_the_cure_is_one_that_the_caller_can_take(
    served: RunningGateway, path: str, body: dict[str, Any], cure: str
) -> None:
    """A 402 names the member that the body has, and what would cost less (rule: refuse clearly)."""
    model = {"images/generations": "dall-e-3", "audio/speech": "tts-1", "embeddings": "embed"}
    user = served.user(GRANT)
    before = served.upstream.calls
    with served.client(user) as client:
        sent = {"model": f"openai/{model.get(path, 'gpt-4o-mini')}", **body}
        got = client.post(f"/v1/{path}", json=sent)
    assert got.status_code == 402
    assert cure in got.json()["error"]["message"]
    assert served.upstream.calls == before
    assert served.balance(user)["available_nano_usd"] == GRANT
