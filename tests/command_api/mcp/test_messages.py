"""What of a body is a message of JSON-RPC."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.mcp.messages import BODY_BYTES_MAX, DEPTH_MAX, ID_MAX, read_message
from edge.envelopes import MCP
from edge.errors import ApiError

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def nested(depth: int) -> dict[str, Any]:
    """A message of so many levels."""
    inside: dict[str, Any] = {}
    for _ in range(depth - 2):
        inside = {"a": inside}
    return {**PING, "params": inside}


@pytest.mark.parametrize(
    "given",
    [
        PING,
        {**PING, "id": 0},
        {**PING, "id": -ID_MAX},
        {**PING, "id": ""},
        {**PING, "id": "x" * 256},
        {**PING, "params": {"n": 10**40, "x": 1.5, "t": "é\n"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        nested(DEPTH_MAX),
    ],
)
def test_a_message_is_passed_on(given: dict[str, Any]) -> None:
    """As it is (rule: contract)."""
    assert json.loads(read_message(json.dumps(given).encode())) == given


def test_what_stands_twice_means_one_thing() -> None:
    """Whoever reads it next reads what was checked; unknown members go (rule: refuse clearly)."""
    raw = b'{"jsonrpc":"2.0","id":1,"method":"a","method":"ping","more":[1]}'
    assert json.loads(read_message(raw)) == PING


def refused(raw: bytes) -> dict[str, Any]:
    """The JSON-RPC error of a body that is refused."""
    with pytest.raises(ApiError) as told:
        read_message(raw)
    assert told.value.status == 400
    answer: dict[str, Any] = json.loads(MCP.body(told.value, ""))
    assert answer["jsonrpc"] == "2.0"
    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"{'a':1}",
        b'{"jsonrpc":"2.0","id":NaN}',
        b'{"id":"\\ud800"}',
        b'{"id":"\\u0000"}',
        b"[" * 20_000,
        b'{"a":' * 10_000,
        b'{"id":1} {"id":2}',
    ],
)
def test_what_is_no_json_is_a_parse_error(raw: bytes) -> None:
    """-32700, without an id (JSON-RPC 2.0, 5.1) (rule: refuse clearly, rule: bounded)."""
    answer = refused(raw)
    assert (answer["error"]["code"], answer["id"]) == (-32700, None)


@pytest.mark.parametrize(
    ("given", "message_id"),
    [
        ([], None),
        ([PING], None),
        ([PING] * 500, None),
        ("ping", None),
        (None, None),
        (7, None),
        ({}, None),
        ({**PING, "id": None}, None),
        ({**PING, "id": True}, None),
        ({**PING, "id": 1.5}, None),
        ({**PING, "id": ID_MAX + 1}, None),
        ({**PING, "id": {}}, None),
        ({**PING, "id": "x" * 257}, None),
        ({**PING, "jsonrpc": "1.0"}, 1),
        ({"id": 7, "method": "ping"}, 7),
        ({**PING, "method": 7}, 1),
        ({**PING, "method": ""}, 1),
        ({**PING, "method": "x" * 257}, 1),
        ({"jsonrpc": "2.0", "id": "a"}, "a"),
        ({**PING, "params": [1]}, 1),
        ({**PING, "params": None}, 1),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, 1),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}, 1),
        (nested(DEPTH_MAX + 1), 1),
        (nested(400), 1),
    ],
)
def test_what_is_no_message_is_an_invalid_request(given: Any, message_id: Any) -> None:
    """-32600, with its id where it has one that can be (rule: refuse clearly, rule: bounded)."""
    raw = json.dumps(given).encode()
    assert len(raw) < BODY_BYTES_MAX
    answer = refused(raw)
    assert (answer["error"]["code"], answer["id"]) == (-32600, message_id)
