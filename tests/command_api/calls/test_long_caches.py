"""Caches that are written for an hour: held for, and charged by what the provider says it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls.messages import (
    END,
    OPEN,
    STOP,
    ask,
    asked_last,
    call,
    delta,
    event,
    message,
    plays,
    says,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

MODEL = "caching/claude"
PRICED = """
[[provider]]
name = "caching"
protocol = "anthropic"
base_url = "{base_url}"
api_key = "sk-up"
[[provider.model]]
id = "claude"
input_per_million = "3"
output_per_million = "15"
cached_input_per_million = "0.3"
cache_write_per_million = "3.75"
cache_write_1h_per_million = "6"
max_output_tokens = 8192
[[provider.model]]
id = "unpriced"
input_per_million = "3"
output_per_million = "15"
cache_write_per_million = "3.75"
"""
HOUR = {"type": "ephemeral", "ttl": "1h"}
FIVE = {"type": "ephemeral", "ttl": "5m"}
WRITTEN = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 1_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
}
PLAIN = 10 * 3_000 + 100 * 300 + 5 * 15_000


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a provider of Messages that has a price for an hour of cache."""
    with serving(server, tmp_path_factory, PRICED) as made:
        yield made


def cached(control: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A body whose prompt is cached."""
    text = {"type": "text", "text": "x" * 4_000, "cache_control": control}
    return ask(model=MODEL, messages=[{"role": "user", "content": [text]}], **more)


def start(usage: dict[str, Any]) -> bytes:
    """A stream's first event, which tells what was written."""
    told = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m"}
    return event("message_start", message={**told, "usage": usage})


@pytest.mark.parametrize("stream", [False, True])
def test_each_lifetime_is_charged_at_its_price(served: RunningGateway, stream: bool) -> None:
    """Told term by term, within what was held (money rule 1, money rule 2, money rule 6)."""
    served.upstream.answer = (
        plays(start(WRITTEN), OPEN, delta("Hello."), END, STOP)
        if stream
        else says(message(usage=WRITTEN))
    )
    user = served.user()
    got = call(served, user, cached(HOUR, stream=stream))
    assert got.status_code == 200
    story = served.story(user, got)
    assert story["usage"]["cache_write_1h_tokens"] == 600
    assert story["settled_nano_usd"] == PLAIN + 400 * 3_750 + 600 * 6_000
    terms = {
        each["term"]: each["tokens"] for each in story["arithmetic"]["terms"] if "tokens" in each
    }
    assert (terms["cache_write"], terms["cache_write_1h"]) == (400, 600)
    assert story["settled_nano_usd"] <= story["held_nano_usd"]


def test_an_hour_is_held_for_where_it_is_asked_for(served: RunningGateway) -> None:
    """And no dearer price than can come elsewhere (money rule 2)."""
    served.upstream.answer = says(message(usage=WRITTEN))
    user = served.user()
    held = []
    for control in (HOUR, FIVE):
        story = served.story(user, call(served, user, cached(control)))
        held.append(story["held_nano_usd"] - 100 * 15_000)
    assert held[0] % 6_000 == held[1] % 3_750 == 0
    assert held[0] // 6_000 == held[1] // 3_750 > 2_000


@pytest.mark.parametrize(
    "lives", [None, {}, {"ephemeral_1h_input_tokens": 10**18}, {"ephemeral_1h_input_tokens": 1_000}]
)
def test_what_nobody_asked_for_is_not_paid(served: RunningGateway, lives: Any) -> None:
    """A call of five minutes pays five minutes, whatever is told (money rule 6)."""
    served.upstream.answer = says(message(usage={**WRITTEN, "cache_creation": lives}))
    user = served.user()
    got = call(served, user, cached(FIVE))
    story = served.story(user, got)
    assert "cache_write_1h_tokens" not in story["usage"]
    assert story["settled_nano_usd"] == PLAIN + 1_000 * 3_750


@pytest.mark.parametrize(
    ("lives", "long"),
    [
        (None, 1_000),
        ({}, 1_000),
        ({"ephemeral_1h_input_tokens": 0}, 0),
        ({"ephemeral_1h_input_tokens": -5}, 0),
        ({"ephemeral_1h_input_tokens": 10**18}, 1_000),
    ],
)
def test_a_split_that_is_missing_or_cannot_be(
    served: RunningGateway, lives: Any, long: int
) -> None:
    """Never more than was written; without a split it is as asked for (money rule 6, P1)."""
    served.upstream.answer = says(message(usage={**WRITTEN, "cache_creation": lives}))
    user = served.user()
    story = served.story(user, call(served, user, cached(HOUR)))
    assert story["usage"].get("cache_write_1h_tokens", 0) == long
    assert story["settled_nano_usd"] == PLAIN + (1_000 - long) * 3_750 + long * 6_000


@pytest.mark.parametrize("lives", ["many", 7, {"ephemeral_1h_input_tokens": "x"}])
def test_a_split_that_cannot_be_read_is_no_report(served: RunningGateway, lives: Any) -> None:
    """Our own count stands in (money rule 6)."""
    served.upstream.answer = says(message(usage={**WRITTEN, "cache_creation": lives}))
    user = served.user()
    story = served.story(user, call(served, user, cached(HOUR)))
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")


def test_chat_pays_the_same(served: RunningGateway) -> None:
    """Translated there and back (rule: translation, money rule 6)."""
    served.upstream.answer = says(message(usage=WRITTEN))
    user = served.user()
    got = served.chat(user, cached(HOUR))
    assert asked_last(served).body["messages"][0]["content"][0]["cache_control"] == HOUR
    assert served.story(user, got)["settled_nano_usd"] == PLAIN + 400 * 3_750 + 600 * 6_000


def test_without_a_price_for_it_an_hour_is_refused(served: RunningGateway) -> None:
    """By name, as before (P10)."""
    got = call(served, served.user(), cached(HOUR) | {"model": "caching/unpriced"})
    assert got.status_code == 400
    assert got.json()["error"]["message"].startswith("'cache_control' costs extra")
