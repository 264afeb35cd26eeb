"""Which requests may be shared, and the many that never are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.kept_replies.across.asked import BODY_BYTES_MAX, SHARED, why_not_shared
from providers.inference.port import Operation

HELLO = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}
RESPONSE: dict[str, Any] = {"model": "m", "input": "Hi", "store": False}


def why(operation: Operation, **body: Any) -> str:
    """Of a body."""
    return why_not_shared(json.dumps(body).encode(), operation)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, CHAT),
        (Operation.CHAT, {**CHAT, "temperature": 0, "stream": True, "max_tokens": 5}),
        (Operation.CHAT, {"model": "m", "messages": [{"role": "system", "content": "s"}, *HELLO]}),
        (
            Operation.CHAT,
            {
                "model": "m",
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            },
        ),
        (Operation.COMPLETIONS, {"model": "m", "prompt": "Hi"}),
        (Operation.MESSAGES, {**CHAT, "system": "s", "max_tokens": 5}),
        (Operation.MESSAGES, {**CHAT, "system": [{"type": "text", "text": "s"}]}),
        (Operation.RESPONSES, RESPONSE),
        (Operation.RESPONSES, {**RESPONSE, "input": HELLO}),
        (Operation.EMBEDDINGS, {"model": "m", "input": ["Hi", "there"]}),
    ],
)
def test_what_is_text_alone_may_be_shared(operation: Operation, body: dict[str, Any]) -> None:
    """With all that only shapes the answer (rule: contract)."""
    assert why(operation, **body) == ""


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("user", "ann"),
        ("safety_identifier", "ann"),
        ("metadata", {}),
        ("prompt_cache_key", "ann"),
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", False),
        ("tools", []),
        ("mcp_servers", []),
        ("provider", {"only": ["x"]}),
        ("a_member_of_tomorrow", None),
    ],
)
def test_a_member_that_may_tell_of_its_caller_is_never_shared(member: str, value: Any) -> None:
    """In any API, known or not, whatever it holds (rule: access, P5)."""
    for operation in SHARED:
        assert why(operation, **{"model": "m", "input": "Hi", "prompt": "Hi", member: value}) == (
            "member"
        )


@pytest.mark.parametrize(
    ("operation", "body", "reason"),
    [
        (Operation.IMAGES, {"prompt": "Hi"}, "operation"),
        (Operation.RERANK, {}, "operation"),
        (Operation.RESPONSES, {"model": "m", "input": "Hi"}, "stored"),
        (Operation.RESPONSES, {**RESPONSE, "store": True}, "stored"),
        (Operation.RESPONSES, {**RESPONSE, "store": 0}, "stored"),
        (Operation.RESPONSES, {**RESPONSE, "input": [{"id": "msg_1", **HELLO[0]}]}, "parts"),
        (Operation.RESPONSES, {**RESPONSE, "input": [{"type": "item_reference"}]}, "parts"),
        (Operation.CHAT, {**CHAT, "messages": [{**HELLO[0], "name": "ann"}]}, "parts"),
        (Operation.CHAT, {**CHAT, "messages": [{"role": "tool", "content": "1"}]}, "parts"),
        (Operation.CHAT, {**CHAT, "messages": [{"role": ["user"], "content": "1"}]}, "parts"),
        (Operation.CHAT, {**CHAT, "messages": ["Hi"]}, "parts"),
        (Operation.CHAT, {**CHAT, "messages": 5}, "parts"),
        *(
            (Operation.CHAT, {**CHAT, "messages": [{"role": "user", "content": content}]}, "parts")
            for content in (
                *(None, 5, [5], [{"type": "text"}], [{"type": "text", "text": 5}]),
                [{"type": "file", "file": {"file_id": "file-1"}}],
                [{"type": "image_url", "image_url": {"url": "https://x/ann.png"}}],
                [{"type": "text", "text": "Hi", "citations": []}],
                [{"type": ["text"], "text": "Hi"}],
            )
        ),
        (Operation.CHAT, {**CHAT, "stop": "x" * BODY_BYTES_MAX}, "too_long"),
    ],
)
def test_what_is_never_shared(operation: Operation, body: dict[str, Any], reason: str) -> None:
    """Files, names, ids, tools, stored state; long ones (rule: access, rule: bounded)."""
    assert why(operation, **body) == reason


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m","messages":[],"messages":[]}',
        b'{"model":"m","messages":[{"role":"user","content":"evil","content":"Hi"}]}',
        b'{"model":"m","messages":[],"response_format":{"type":"a","type":"b"}}',
        b'{"model":"m","seed":' + b"9" * 5_000 + b"}",
        b'{"model":"m","messages":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
def test_what_two_may_read_differently_is_never_shared(raw: bytes) -> None:
    """Else a provider could be asked one thing, and its answer kept for another (rule: access)."""
    assert why_not_shared(raw, Operation.CHAT) == "member"
