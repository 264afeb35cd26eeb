"""Audio of prompts and replies: at prices of its own, and refused where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.messages import plays, says, serving
from tests.support.harness import DONE, chunk, completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PRICED = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "hears"
input_per_million = "2"
output_per_million = "8"
audio_input_per_million = "40"
audio_output_per_million = "80"
max_output_tokens = 1000
[[provider.model]]
id = "deaf"
input_per_million = "2"
output_per_million = "8"
[[provider]]
name = "kind"
base_url = "{base_url}"
allow_unpriced = ["input_audio"]
[[provider.model]]
id = "deaf"
input_per_million = "2"
output_per_million = "8"
"""
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
CLIP = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a model that has prices for audio."""
    with serving(server, tmp_path_factory, PRICED) as made:
        yield made


def body(path: str, model: str, **more: Any) -> dict[str, Any]:
    """A prompt that is heard."""
    if path == CHAT:
        return {"model": model, "messages": [{"role": "user", "content": [CLIP]}], **more}
    item = {"type": "message", "role": "user", "content": [CLIP]}
    return {"model": model, "input": [item], "store": False, **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("heard", "spoken", "counted"),
    [(60, 20, (60, 20)), (10**18, 10**18, (100, 40)), (-5, -5, (0, 0)), (0, 0, (0, 0))],
)
def test_audio_is_paid_at_its_own_prices(
    served: RunningGateway, stream: bool, heard: int, spoken: int, counted: tuple[int, int]
) -> None:
    """As the provider counts it within its whole (money rule 1, money rule 2, money rule 6)."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "total_tokens": 140,
        "prompt_tokens_details": {"audio_tokens": heard},
        "completion_tokens_details": {"audio_tokens": spoken},
    }
    pieces = (chunk({"content": "Hi"}), chunk({}, finish="stop"), chunk(None, usage=usage), DONE)
    served.upstream.answer = plays(*pieces) if stream else says(completion(usage=usage))
    user = served.user()
    got = served.chat(user, body(CHAT, "openai/hears", stream=stream, max_tokens=100, **SPOKEN))
    assert got.status_code == 200
    story = served.story(user, got)
    told_in, told_out = counted
    text = (100 - told_in) * 2_000 + (40 - told_out) * 8_000
    assert story["settled_nano_usd"] == text + told_in * 40_000 + told_out * 80_000
    assert story["settled_nano_usd"] <= story["held_nano_usd"]
    lines = {each["term"]: each.get("tokens") for each in story["arithmetic"]["terms"]}
    assert (lines.get("audio_input", 0), lines.get("audio_output", 0)) == counted


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_prompt_that_is_heard_needs_a_price(served: RunningGateway, path: str) -> None:
    """Refused by name, before anything is held or asked (P10)."""
    asked = served.upstream.calls
    with served.client(served.user()) as client:
        got = client.post(path, json=body(path, "openai/deaf"))
    assert (got.status_code, got.json()["error"]["code"]) == (400, "extra_unpriced")
    assert got.json()["error"]["param"] == "input_audio"
    assert served.upstream.calls == asked


def test_what_is_spoken_needs_a_price(served: RunningGateway) -> None:
    """Refused by name (P10)."""
    hello = {"model": "openai/deaf", "messages": [{"role": "user", "content": "Hi"}]}
    got = served.chat(served.user(), {**hello, **SPOKEN})
    assert (got.status_code, got.json()["error"]["param"]) == (400, "modalities")


def test_the_operator_may_let_it_pass(served: RunningGateway) -> None:
    """At the price of text, at his own cost (P10)."""
    served.upstream.answer = says(completion())
    user = served.user()
    got = served.chat(user, body(CHAT, "kind/deaf"))
    assert served.story(user, got)["settled_nano_usd"] == 10 * 2_000 + 5 * 8_000
