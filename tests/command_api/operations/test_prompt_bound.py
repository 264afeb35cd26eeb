"""Nothing of a prompt reaches the provider without being held for (money rule 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import completion, reply

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway, ScriptedUpstream

LONG = "word " * 100_000
"""500 kB: 37.5 million nano-USD at two bytes a token."""
HI = {"role": "user", "content": "Hi"}
HIDDEN: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": [{"type": "refusal", "refusal": LONG}]}]},
    {"messages": [HI, {"role": "assistant", "refusal": LONG}]},
    {"messages": [HI, {"role": "assistant", "content": "x", "reasoning_content": LONG}]},
    {"messages": [{**HI, "reasoning_details": [{"type": "reasoning.text", "text": LONG}]}]},
    {"messages": [{**HI, "odd": LONG}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "odd": LONG}]}]},
    {"messages": [HI], "documents": [LONG]},
]


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_what_is_hidden_in_other_members_is_held_for(
    gateway: RunningGateway, upstream: ScriptedUpstream, streamed: bool
) -> None:
    """Who cannot pay for it is refused before anybody is asked (P1, money rule 2)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    user = gateway.user(grant=100_000)
    for body in HIDDEN:
        got = gateway.chat(user, {"max_tokens": 1, "stream": streamed, **body})
        error = got.json()["error"]
        assert (got.status_code, error["code"]) == (402, "insufficient_credits")
        assert error["needed_nano_usd"] >= 64_000 * 150, "the context, or half the bytes"
    assert upstream.requests == []
    gateway.verified()
