"""Service tiers and searches: held for what may come, paid by what the provider says it was."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.calls import responses
from tests.command_api.calls.messages import (
    OPEN,
    START,
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
from tests.support.harness import DONE, chunk, completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PRICED = """
[[provider]]
name = "openai"
base_url = "{base_url}"
api_key = "sk-oa"
[[provider.model]]
id = "gpt"
input_per_million = "2"
output_per_million = "8"
max_output_tokens = 1000
web_search_per_thousand = "10"
file_search_per_thousand = "2.5"
code_interpreter_per_thousand = "30"
[provider.model.service_tiers]
flex = "0.5"
priority = {{ input_per_million = "3.5", output_per_million = "14" }}
[[provider.model]]
id = "plain"
input_per_million = "2"
output_per_million = "8"
[[provider]]
name = "claude"
protocol = "anthropic"
base_url = "{base_url}"
api_key = "sk-up"
[[provider.model]]
id = "c"
input_per_million = "3"
output_per_million = "15"
max_output_tokens = 1000
web_search_per_thousand = "10"
service_tiers = {{ priority = {{ input_per_million = "6", output_per_million = "30" }} }}
"""
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
HI = [{"role": "user", "content": "Hi"}]
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
PLAIN, FLEX, PRIORITY = 10 * 2_000 + 5 * 8_000, 10 * 1_000 + 5 * 4_000, 10 * 3_500 + 5 * 14_000
SEARCH = 10_000_000
TOOL = {"type": "web_search_20250305", "name": "web_search"}
CLAUDE_PLAIN = 10 * 3_000 + 5 * 15_000


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with providers whose tiers and searches have prices."""
    with serving(server, tmp_path_factory, PRICED) as made:
        yield made


def post(gateway: RunningGateway, user: NewUser, path: str, body: dict[str, Any]) -> httpx.Response:
    """One call."""
    with gateway.client(user) as client:
        return client.post(path, json=body)


def chat(**more: Any) -> dict[str, Any]:
    """A chat body."""
    return {"model": "openai/gpt", "messages": HI, "max_tokens": 100, **more}


def chat_answers(stream: bool, tier: Any, **usage: Any) -> Any:
    """An upstream of chat that says what tier it served."""
    told = {} if tier is None else {"service_tier": tier}
    if stream:
        last = chunk(None, usage={**COUNTS, **usage}, **told)
        return plays(chunk({"content": "Hello."}, **told), chunk(None, **told), last, DONE)
    return says(completion(usage={**COUNTS, **usage}, **told))


def line_of(story: dict[str, Any], term: str) -> dict[str, Any] | None:
    """A line of a story's arithmetic."""
    return next((each for each in story["arithmetic"]["terms"] if each["term"] == term), None)


def sums_up(story: dict[str, Any]) -> bool:
    """Whether the lines come to what was charged, and that to what was held at most."""
    total = sum(Decimal(each["nano_usd"]) for each in story["arithmetic"]["terms"])
    return bool(total == story["settled_nano_usd"] <= story["held_nano_usd"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "told", "cost", "tier"),
    [
        ("flex", "flex", FLEX, "flex"),
        ("flex", None, FLEX, "flex"),
        ("priority", "priority", PRIORITY, "priority"),
        ("priority", "default", PLAIN, None),
        ("priority", "ultra", PRIORITY, "priority"),
        ("priority", 7, PRIORITY, "priority"),
        ("auto", "priority", PRIORITY, "priority"),
        ("auto", "default", PLAIN, None),
        ("auto", "ultra", PLAIN, None),
        (None, "priority", PLAIN, None),
        ("default", "priority", PLAIN, None),
    ],
)
def test_a_chat_pays_the_tier_that_was_served(
    served: RunningGateway, stream: bool, asked: Any, told: Any, cost: int, tier: str | None
) -> None:
    """And what it asked for where that cannot be (money rule 1, money rule 6)."""
    served.upstream.answer = chat_answers(stream, told)
    user = served.user()
    more = {} if asked is None else {"service_tier": asked}
    got = post(served, user, CHAT, chat(stream=stream, **more))
    assert got.status_code == 200
    assert asked_last(served).body.get("service_tier") == asked
    story = served.story(user, got)
    assert (story["settled_nano_usd"], story["usage"].get("service_tier")) == (cost, tier)
    line = line_of(story, "service_tier")
    if tier is None:
        assert line is None
    else:
        assert line is not None
        assert line["service_tier"] == tier
        assert Decimal(line["nano_usd"]) == Decimal(cost - PLAIN)
    assert sums_up(story)


def test_a_hold_covers_the_dearest_tier_that_may_be_served(served: RunningGateway) -> None:
    """No dearer one, and the plain one for who asks for none (money rule 2)."""
    served.upstream.answer = chat_answers(stream=False, tier="default")
    user, held = served.user(), {}
    for tier in (None, "default", "flex", "auto", "priority"):
        more = {} if tier is None else {"service_tier": tier}
        held[tier] = served.story(user, post(served, user, CHAT, chat(**more)))["held_nano_usd"]
    assert held[None] == held["default"] == held["flex"]
    assert held["auto"] == held["priority"]
    assert held["priority"] * 8 == held[None] * 14


@pytest.mark.parametrize("tier", ["scale", "ultra", "", "Flex", 7, ["flex"], {}, "speed"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_tier_without_a_price_is_refused(served: RunningGateway, path: str, tier: Any) -> None:
    """By name, before anything is held or asked (P10)."""
    asked = served.upstream.calls
    body = chat() if path != RESPONSES else {"model": "openai/gpt", "input": "Hi"}
    got = post(served, served.user(), path, {**body, "service_tier": tier})
    assert got.status_code == 400
    assert "'service_tier' costs extra" in got.json()["error"]["message"]
    assert served.upstream.calls == asked


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_pays_its_tier_and_what_its_output_shows(
    served: RunningGateway, stream: bool
) -> None:
    """Searches, files and containers by their calls (money rule 1, money rule 6)."""
    output: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "web_search_call", "id": "ws_2", "action": {"type": "open_page"}},
        {"type": "file_search_call", "id": "fs_1"},
        {"type": "file_search_call", "id": "fs_2"},
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
        {"type": "code_interpreter_call", "id": "ci_2", "container_id": "cntr_1"},
        responses.item(),
    ]
    made = responses.response(*output, service_tier="flex")
    end = responses.event("response.completed", 2, response=made)
    said = responses.event("response.output_text.delta", 1, output_index=0, delta="Hello.")
    served.upstream.answer = plays(said, end) if stream else says(json.dumps(made).encode())
    user = served.user()
    tools = [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["vs_1"]}]
    tools.append({"type": "code_interpreter", "container": {"type": "auto"}})
    body = {"model": "openai/gpt", "input": "Hi", "store": False, "tools": tools}
    got = post(served, user, RESPONSES, {**body, "service_tier": "flex", "stream": stream})
    story = served.story(user, got)
    uses = {"web_search": 1, "file_search": 2, "code_interpreter": 1}
    assert story["usage"]["uses"] == uses
    assert story["settled_nano_usd"] == FLEX + SEARCH + 2 * 2_500_000 + 30_000_000
    assert line_of(story, "file_search") == {
        "term": "file_search",
        "count": 2,
        "usd": "2.5",
        "nano_usd": "5000000.0",
    }
    assert sums_up(story)


@pytest.mark.parametrize(
    ("told", "paid"),
    [
        (3, 3),
        (0, 0),
        (None, 2),
        (10**18, 4),
        (-1, 1),
        ("3", 1),
        (True, 1),
        ([], 1),
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, CHAT])
@pytest.mark.parametrize("stream", [False, True])
def test_claude_pays_by_its_own_count(
    served: RunningGateway, path: str, stream: bool, told: Any, paid: int
) -> None:
    """By the blocks where there is none, never beyond what it allowed (money rule 6, P1)."""
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    usage: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5}
    if told is not None:
        usage["server_tool_use"] = {"web_search_requests": told}
    if stream:
        opens = [event("content_block_start", index=n, content_block=use) for n in (1, 2)]
        ends = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
        served.upstream.answer = plays(START, OPEN, delta("Hello."), *opens, ends, STOP)
    else:
        text = {"type": "text", "text": "Hello."}
        served.upstream.answer = says(message(usage=usage, content=[use, use, text]))
    user = served.user()
    body = ask(model="claude/c", tools=[{**TOOL, "max_uses": 4}], stream=stream)
    story = served.story(user, post(served, user, path, body))
    assert story["settled_nano_usd"] == CLAUDE_PLAIN + paid * SEARCH
    assert story["usage"].get("uses", {}) == ({"web_search": paid} if paid else {})
    assert story["held_nano_usd"] > 4 * SEARCH
    assert sums_up(story)


@pytest.mark.parametrize("stream", [False, True])
def test_claude_pays_the_tier_of_its_report(served: RunningGateway, stream: bool) -> None:
    """Where it left that to the provider (money rule 1, money rule 6)."""
    usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "priority"}
    ends = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    served.upstream.answer = (
        plays(START, OPEN, delta("Hello."), ends, STOP) if stream else says(message(usage=usage))
    )
    user = served.user()
    for asked, cost in (("auto", 2 * CLAUDE_PLAIN), ("standard_only", CLAUDE_PLAIN)):
        body = ask(model="claude/c", service_tier=asked, stream=stream)
        story = served.story(user, call(served, user, body))
        assert story["settled_nano_usd"] == cost
        assert sums_up(story)


SEARCHED: list[tuple[dict[str, Any], dict[str, Any], int, int]] = [
    ({"web_search_options": {}}, {}, 1, 10),
    ({"web_search_options": {}}, {"num_search_queries": 4}, 4, 10),
    ({"plugins": [{"id": "web"}]}, {"server_tool_use": {"web_search_requests": 2}}, 2, 10),
    ({"search_parameters": {"mode": "on"}}, {"num_sources_used": 6}, 6, 10),
    ({"search_parameters": {"max_search_results": 3}}, {"num_sources_used": 10**18}, 3, 3),
    ({"search_parameters": {"mode": "on"}}, {"num_sources_used": -(10**18)}, 1, 10),
    ({"search_parameters": {"mode": "on"}}, {"num_sources_used": "x"}, 1, 10),
    ({"search_parameters": {"mode": "on"}}, {"num_sources_used": 0}, 0, 10),
    ({}, {"num_sources_used": 6, "server_tool_use": {"web_search_requests": 9}}, 0, 0),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("asked", "told", "paid", "most"), SEARCHED)
def test_a_chat_pays_for_its_searches(
    served: RunningGateway,
    stream: bool,
    asked: dict[str, Any],
    told: dict[str, Any],
    paid: int,
    most: int,
) -> None:
    """By whichever count the provider gives, else one (money rule 2, money rule 6)."""
    served.upstream.answer = chat_answers(stream, "default", **told)
    user = served.user()
    story = served.story(user, post(served, user, CHAT, chat(stream=stream, **asked)))
    assert story["settled_nano_usd"] == PLAIN + paid * SEARCH
    assert story["held_nano_usd"] // SEARCH == most
    assert sums_up(story)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "file_search"}]},
        {"tools": [{"type": "code_interpreter"}]},
    ],
)
def test_a_use_without_a_price_is_refused(served: RunningGateway, more: dict[str, Any]) -> None:
    """By name (P10)."""
    user = served.user()
    body = {"model": "openai/plain", "input": "Hi", **more}
    got = post(served, user, RESPONSES, body)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "extra_unpriced")


def test_a_maximum_beyond_any_call_is_refused(served: RunningGateway) -> None:
    """No call may cost so much (rule: bounded)."""
    got = call(served, served.user(), ask(model="claude/c", tools=[{**TOOL, "max_uses": 10**18}]))
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")


def test_too_few_credits_reckon_with_searches_and_tiers(served: RunningGateway) -> None:
    """What could be afforded is what a call that asks for so much gets (money rule 2)."""
    user = served.user(grant=10 * SEARCH + 500_000)
    served.upstream.answer = chat_answers(stream=False, tier="priority")
    body = chat(web_search_options={}, service_tier="priority")
    got = post(served, user, CHAT, body)
    assert got.status_code == 402
    affordable = got.json()["error"]["max_tokens_affordable"]
    assert 0 < affordable < 100
    assert post(served, user, CHAT, {**body, "max_tokens": affordable + 1}).status_code == 402
    assert post(served, user, CHAT, {**body, "max_tokens": affordable}).status_code == 200


def test_the_catalog_shows_every_term(served: RunningGateway) -> None:
    """As they are charged (P10)."""
    with served.client(served.user()) as client:
        (model,) = [
            each for each in client.get("/v1/models").json()["data"] if each["id"] == "openai/gpt"
        ]
    for name, text in {
        "web_search_per_thousand": "10",
        "file_search_per_thousand": "2.5",
        "code_interpreter_per_thousand": "30",
        "input_per_million_at_flex": "1",
        "output_per_million_at_flex": "4",
        "input_per_million_at_priority": "3.5",
    }.items():
        assert model["price"][name] == text
