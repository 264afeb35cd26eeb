"""Reports of usage that cannot be: replaced by our own count, marked, and the books stay right."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.support.harness import DONE, chunk, reply, stream

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway, ScriptedUpstream

TEXT = "One, two, three, four."
OURS = {"input_tokens": 5, "output_tokens": 6, "source": "estimated", "implausible": True}
"""Our own count of the prompt and of TEXT."""


def told(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    """A report."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


ABSURD: list[tuple[str, dict[str, Any]]] = [
    ("no real number", told(10**18, 10**18, total_tokens=2 * 10**18)),
    ("minus one of 64 bits", told(2**64 - 1, 5)),
    ("more than any integer", told(10, 10**40)),
    ("negative", told(-10, 5)),
    ("negative output", told(10, -5, total_tokens=5)),
    ("nothing", told(0, 0, total_tokens=0)),
    ("no output", told(10, 0, total_tokens=10)),
    ("no prompt", told(0, 5, total_tokens=5)),
    ("a part of a token", told(10.5, 5)),
    ("endless", told(1e300, 5)),
    ("true", told(True, 5)),
    ("words", told("ten", 5)),
    ("a list", told([10], 5)),
    ("beyond the context", told(200_000, 5)),
    ("beyond the model's output", told(10, 30_000)),
    ("thoughts beyond it", told(10, 30_000, completion_tokens_details={"reasoning_tokens": 9})),
    ("beyond the caller's maximum", told(10, 200)),
    ("a total from elsewhere", told(10, 5, total_tokens=10**12)),
]  # fmt: skip
PLAUSIBLE = [
    ("the caller's maximum, about", told(10, 54), (10, 54)),
    ("reasoning beside the maximum", told(10, 5, total_tokens=9_015), (10, 9_005)),
    ("texts of whole numbers", told("10", 5.0), (10, 5)),
]


def answered(upstream: ScriptedUpstream, usage: Any, *, streamed: bool) -> None:
    """Let the upstream answer TEXT with this report."""
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    made = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    whole = json.dumps({**made, "choices": [choice], "usage": usage}).encode()
    pieces = (chunk({"content": TEXT}, finish="stop"), chunk(None, usage=usage), DONE)
    upstream.answer = lambda connection, _: (
        stream(connection, *pieces) if streamed else reply(connection, whole)
    )


def used(gateway: RunningGateway, upstream: ScriptedUpstream, usage: Any) -> list[dict[str, Any]]:
    """The stories of a whole and a streamed call with this report."""
    user = gateway.user()
    stories = []
    for streamed in (False, True):
        answered(upstream, usage, streamed=streamed)
        got = gateway.chat(user, {"stream": streamed, "max_tokens": 50})
        assert got.status_code == 200
        stories.append(gateway.story(user, got))
    return stories


def test_what_cannot_be_is_replaced_by_our_own_count(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Whole and streamed, marked on the event and in the call's story (money rule 6, P1)."""
    for name, usage in ABSURD:
        for story in used(gateway, upstream, usage):
            found = {each: story["usage"].get(each) for each in OURS}
            assert (name, story["status"], found) == (name, "settled", OURS)
            assert story["settled_nano_usd"] == 5 * 150 + 6 * 600
    gateway.verified()


def test_what_can_be_counts(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """Reasoning outside the caller's maximum is charged as the provider tells it (money rule 6)."""
    for name, usage, counts in PLAUSIBLE:
        for story in used(gateway, upstream, usage):
            found = story["usage"]
            counted = (found["input_tokens"], found["output_tokens"], found["source"])
            assert (name, *counted) == (name, *counts, "provider")
            assert "implausible" not in found


def test_the_cost_that_a_reply_tells_is_what_is_charged(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Also where a report is replaced, or cut to the caller's maximum (P4, rule: contract)."""
    user = gateway.user()
    ask = {"max_tokens": 50, "stream_options": {"include_usage": True}}
    for usage in (told(10, 5), told(10, 120), told(10, 10**18)):
        for streamed in (False, True):
            answered(upstream, usage, streamed=streamed)
            got = gateway.chat(user, {**ask, "stream": streamed})
            events = [line[5:] for line in got.content.split(b"\n") if line.startswith(b"data: {")]
            said = json.loads(events[-1] if streamed else got.content, parse_float=Decimal)
            settled = gateway.story(user, got)["settled_nano_usd"]
            assert said["usage"]["cost"] * 10**9 == settled, (usage, streamed)
            assert said["model"] == "local/m"


def test_where_nothing_is_known_a_setting_bounds_the_report(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A model without lengths, a caller without a maximum (money rule 6, rule: bounded)."""
    most = gateway.settings.requests.usage_tokens_max
    user = gateway.user()
    for tokens, source in ((most, "provider"), (2 * most, "estimated")):
        answered(upstream, told(10, tokens), streamed=False)
        got = gateway.chat(user, {"model": "local/org/long/name"})
        assert gateway.story(user, got)["usage"]["source"] == source


CALLED = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "a" * 4_000}}
"""1,001 tokens by our count."""


def test_a_whole_reply_with_tool_calls_is_counted(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Calls of a whole reply have no index, and are output all the same (money rule 6, P2)."""
    user = gateway.user()
    message = {"role": "assistant", "content": "word " * 1_000, "tool_calls": [CALLED]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    made = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    for usage in (None, told(0, 0, total_tokens=0), told(10, 0, total_tokens=10)):
        raw = json.dumps({**made, **({"usage": usage} if usage else {})}).encode()
        upstream.answer = lambda connection, _, raw=raw: reply(connection, raw)
        story = gateway.story(user, gateway.chat(user, {}))
        assert (story["usage"]["source"], story["usage"]["output_tokens"]) == ("estimated", 2_251)
        assert story["settled_nano_usd"] == 5 * 150 + 2_251 * 600
    gateway.verified()
