"""Images of a prompt: held for by their pixels at the model that is asked."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls import responses
from tests.command_api.calls.messages import ask, message, says, serving
from tests.support.harness import completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PRICED = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
responses = true
[[provider.model]]
id = "gpt-4o-mini"
input_per_million = "1"
output_per_million = "1"
context_length = 128000
[[provider.model]]
id = "gpt-4o"
input_per_million = "1"
output_per_million = "1"
context_length = 128000
[[provider.model]]
id = "my-own"
input_per_million = "1"
output_per_million = "1"
images_as = "gpt-4o-mini"
document_tokens_max = 700
[[provider.model]]
id = "capped"
input_per_million = "1"
output_per_million = "1"
image_tokens_max = 40
per_input_image = "0.000001"
[[provider]]
name = "claude"
protocol = "anthropic"
base_url = "{base_url}"
api_key = "sk-up"
[[provider.model]]
id = "claude-sonnet-4-5"
input_per_million = "1"
output_per_million = "1"
cache_write_per_million = "1"
max_output_tokens = 1000
context_length = 200000
[[provider.model]]
id = "claude-opus-4-7"
input_per_million = "1"
output_per_million = "1"
cache_write_per_million = "1"
max_output_tokens = 1000
context_length = 200000
"""
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
NANO = 1_000
"""What a token costs here."""


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with models that bill images in several ways, each token at the same price."""
    with serving(server, tmp_path_factory, PRICED) as made:
        yield made


def png(width: int, height: int, more: bytes = b"") -> str:
    """A PNG of this size as base64, as far as anybody here looks."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size + b"\0\0\0\0"
    return b64encode(head + more + struct.pack(">I", 0) + b"IDAT" + b"\0" * 4).decode()


def url(width: int, height: int, more: bytes = b"") -> str:
    """The same as a data URL."""
    return f"data:image/png;base64,{png(width, height, more)}"


def held(gateway: RunningGateway, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Tokens of input that a call was held for, and its story."""
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post(path, json=body)
    assert got.status_code == 200, got.text
    story = gateway.story(user, got)
    return story["held_nano_usd"] // NANO, story


def chat_tokens(gateway: RunningGateway, model: str, *images: Any, tokens: int = 20) -> Any:
    """What a chat with these images is held for, beside its one token of output."""
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
    claude = model.startswith("claude")
    gateway.upstream.answer = says(message() if claude else completion(usage=usage))
    parts = [{"type": "image_url", "image_url": each} for each in images]
    body = {
        "model": model,
        "max_tokens": 1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts]}],
    }
    found, story = held(gateway, CHAT, body)
    return found - 1, story


CHATS: list[tuple[str, Any, int]] = [
    ("openai/gpt-4o-mini", {"url": url(1_024, 1_024)}, 25_501),
    ("openai/gpt-4o-mini", {"url": url(1_024, 1_024), "detail": "auto"}, 25_501),
    ("openai/gpt-4o-mini", {"url": url(1_024, 1_024), "detail": "low"}, 2_833),
    ("openai/gpt-4o-mini", {"url": url(1_024, 1_024), "detail": None}, 25_501),
    ("openai/gpt-4o-mini", {"url": "https://x.test/a.png"}, 48_169),
    ("openai/gpt-4o-mini", {"url": "https://x.test/a.png", "detail": "low"}, 2_833),
    ("openai/gpt-4o-mini", {"url": "https://x.test/a.png", "detail": "ultra"}, 48_169),
    # What contradicts itself, hides something beside, or is no image's address has no size.
    ("openai/gpt-4o-mini", {"url": url(0, 1_024)}, 48_169),
    ("openai/gpt-4o-mini", {"url": url(1, 1, b"\0" * 300_000)}, 48_169),
    ("openai/gpt-4o-mini", {"url": url(1, 1), "image": "a" * 300, "detail": "low"}, 48_169),
    ("openai/gpt-4o-mini", {"url": 7, "detail": "low"}, 48_169),
    ("openai/gpt-4o-mini", url(1, 1), 48_169),
    ("openai/gpt-4o-mini", None, 48_169),
    ("openai/gpt-4o", {"url": url(1_024, 1_024)}, 765),
    ("openai/my-own", {"url": url(1_024, 1_024)}, 25_501),
    ("claude/claude-sonnet-4-5", {"url": url(4_000, 4_000)}, 1_600),
    ("claude/claude-opus-4-7", {"url": url(4_000, 4_000)}, 4_784),
    ("claude/claude-opus-4-7", {"url": url(280, 280)}, 105),
]


@pytest.mark.parametrize(("model", "image", "tokens"), CHATS)
def test_a_chat_holds_what_its_image_costs_at_the_model(
    served: RunningGateway, model: str, image: Any, tokens: int
) -> None:
    """By the provider's own formula, and at the most where nobody knows it (money rule 2)."""
    text, _ = chat_tokens(served, model)
    found, _ = chat_tokens(served, model, image)
    assert found - text == tokens


def test_what_the_provider_bills_was_held(served: RunningGateway) -> None:
    """Tiles that count thirty-threefold are charged whole, and never beyond the hold (P1)."""
    billed = 5 + 2 * 48_169
    found, story = chat_tokens(
        served, "openai/gpt-4o-mini", *[{"url": url(4_000, 1_500)}] * 2, tokens=billed
    )
    assert billed <= found
    assert story["settled_nano_usd"] == (billed + 1) * NANO <= story["held_nano_usd"]
    # The context bounds them together.
    many, _ = chat_tokens(served, "openai/gpt-4o-mini", *[{"url": url(4_000, 1_500)}] * 9)
    assert many == 128_000


def test_without_a_report_no_more_counts_than_was_held(served: RunningGateway) -> None:
    """An image may be less than our own count of one (P1, money rule 6)."""
    unreported = json.loads(completion())
    del unreported["usage"]
    served.upstream.answer = says(json.dumps(unreported).encode())
    body = {
        "model": "openai/capped",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}] * 3}],
    }
    tokens, story = held(served, CHAT, body)
    assert tokens == 8 + 3 * 40 + 50 + 3
    assert story["usage"]["input_tokens"] == 8 + 3 * 40
    assert story["usage"]["source"] == "estimated"
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


SOURCES: list[tuple[Any, int]] = [
    ({"type": "base64", "media_type": "image/png", "data": png(280, 280)}, 105),
    ({"type": "base64", "media_type": "image/png", "data": png(4_000, 4_000)}, 1_600),
    ({"type": "base64", "media_type": "image/png", "data": "!" + png(280, 280)}, 1_600),
    ({"type": "base64", "data": png(1, 1), "media_type": "image/png", "url": "a" * 300}, 1_600),
    ({"type": "url", "url": "https://x.test/a.png"}, 1_600),
    ({"type": "file", "file_id": "file_1"}, 1_600),
    (7, 1_600),
]


@pytest.mark.parametrize(("source", "tokens"), SOURCES)
def test_messages_hold_by_the_pixels_of_a_source(
    served: RunningGateway, source: Any, tokens: int
) -> None:
    """Links and files at the most of the model (money rule 2)."""
    served.upstream.answer = says(message())
    counts = []
    for blocks in ([], [{"type": "image", "source": source}]):
        text = {"type": "text", "text": "Hi"}
        body = ask(
            model="claude/claude-sonnet-4-5",
            max_tokens=1,
            messages=[{"role": "user", "content": [text, *blocks]}],
        )
        counts.append(held(served, MESSAGES, body)[0])
    assert counts[1] - counts[0] == tokens


PARTS: list[tuple[dict[str, Any], int]] = [
    ({"image_url": url(1_024, 1_024)}, 765),
    ({"image_url": url(1_024, 1_024), "detail": "low"}, 85),
    ({"image_url": url(1, 1), "file_id": "file_1"}, 1_445),
    ({"file_id": "file_1"}, 1_445),
    ({"file_id": "file_1", "detail": "low"}, 85),
    ({"image_url": "https://x.test/a.png"}, 1_445),
]


@pytest.mark.parametrize(("members", "tokens"), PARTS)
def test_responses_hold_by_the_pixels_of_a_part(
    served: RunningGateway, members: dict[str, Any], tokens: int
) -> None:
    """Links and files at the most of the model (money rule 2)."""
    made = responses.response(responses.item())
    served.upstream.answer = says(json.dumps(made).encode())
    counts = []
    for parts in ([], [{"type": "input_image", **members}]):
        text = {"type": "input_text", "text": "Hi"}
        body = {
            "model": "openai/gpt-4o",
            "max_output_tokens": 16,
            "store": False,
            "input": [{"role": "user", "content": [text, *parts]}],
        }
        counts.append(held(served, RESPONSES, body)[0])
    assert counts[1] - counts[0] == tokens


def test_a_document_is_held_for_by_its_pages(served: RunningGateway) -> None:
    """All that its provider reads, at most the context, or as the operator says (money rule 2)."""
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}
    for model, tokens in (("openai/gpt-4o", 128_000), ("openai/my-own", 8 + 700)):
        body = {
            "model": model,
            "max_tokens": 1,
            "messages": [{"role": "user", "content": [file]}],
        }
        served.upstream.answer = says(completion())
        assert held(served, CHAT, body)[0] == tokens + 1
