"""Counts of tokens: Anthropic's where it gives one, ours else, marked; free, and limited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.messages import CLAUDE, HELLO, asked_last, says, serving
from tests.command_api.limits.test_gate import key_of, limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

PATH = "/v1/messages/count_tokens"
BODY = {"model": CLAUDE, "messages": HELLO, "system": "Be brief."}
COUNTED = b'{"input_tokens": 14 }'


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with Anthropic, played by each test."""
    with serving(server, tmp_path_factory) as made:
        yield made


def count(served: RunningGateway, user: NewUser, body: Any, **headers: str) -> httpx.Response:
    """Ask for a count."""
    with served.client(user, **headers) as client:
        return client.post(PATH, json=body)


def test_anthropic_counts_its_own(served: RunningGateway) -> None:
    """Its bytes pass, both ways, and nothing is charged or logged (rule: wire, P4)."""
    served.upstream.answer = says(COUNTED)
    user = served.user()
    before = served.events()
    got = count(served, user, BODY, **{"anthropic-beta": "token-counting-2024-11-01"})
    assert (got.status_code, got.content) == (200, COUNTED)
    assert "x-gatewayz-estimated" not in got.headers
    assert got.headers["x-gatewayz-provider"] == "anthropic"
    request = asked_last(served)
    assert request.path == PATH
    assert request.body == {**BODY, "model": "claude-test"}
    assert request.headers["anthropic-beta"] == "token-counting-2024-11-01"
    assert (served.events(), served.open_holds()) == (before, 0)


def test_elsewhere_our_count_is_marked(served: RunningGateway) -> None:
    """It is the one that a call is estimated by (P10, money rule 6)."""
    got = count(served, served.user(), {**BODY, "model": "local/m"})
    assert (got.status_code, got.headers["x-gatewayz-estimated"]) == (200, "true")
    # Two characters and nine make one token and three, each message four more.
    assert got.json() == {"input_tokens": 12}


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (500, b"{}"),
        (529, b'{"type":"error"}'),
        (401, b'{"type":"error","error":{"type":"authentication_error","message":"bad"}}'),
        (200, b"{}"),
        (200, b'{"input_tokens": -1}'),
        (200, b'{"input_tokens": 99999999999999999999}'),
        (200, b"<html>"),
        (200, b""),
    ],
)
def test_what_is_no_count_is_replaced_by_ours(
    served: RunningGateway, status: int, raw: bytes
) -> None:
    """A provider in trouble keeps nobody from counting (P12)."""
    served.upstream.answer = says(raw, status)
    got = count(served, served.user(), BODY)
    assert (got.status_code, got.headers["x-gatewayz-estimated"]) == (200, "true")
    assert got.json() == {"input_tokens": 12}


@pytest.mark.parametrize("status", [400, 404, 413, 429])
def test_what_the_caller_can_mend_is_told(served: RunningGateway, status: int) -> None:
    """In Anthropic's envelope, without our key (rule: contract)."""
    error = {"type": "error", "error": {"type": "x", "message": "No: sk-ant-up"}}
    served.upstream.answer = says(json.dumps(error).encode(), status, {"retry-after": "9"})
    got = count(served, served.user(), BODY)
    assert (got.status_code, got.json()["type"]) == (status, "error")
    assert "sk-ant-up" not in got.text
    assert got.headers.get("retry-after") == ("9" if status == 429 else None)


REFUSED: list[tuple[Any, int, str]] = [
    ({**BODY, "messages": []}, 400, "empty_messages"),
    ({**BODY, "model": "nobody/has-it"}, 404, "model_not_found"),
    ({"messages": HELLO}, 400, "missing_required_parameter"),
    ([], 400, "invalid_type"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
def test_what_cannot_be_counted_is_refused(
    served: RunningGateway, body: Any, status: int, code: str
) -> None:
    """As a call would be (rule: refuse clearly)."""
    got = count(served, served.user(), body)
    assert (got.status_code, got.json()["error"]["code"]) == (status, code)
    assert got.json()["request_id"] == got.headers["request-id"]


def test_a_key_is_needed(served: RunningGateway) -> None:
    """A count is free, and not anybody's (rule: access)."""
    got = httpx.post(f"{served.url}{PATH}", json=BODY)
    assert (got.status_code, got.json()["error"]["type"]) == (401, "authentication_error")


def test_counts_are_limited_as_calls_are(served: RunningGateway) -> None:
    """Beyond them 429 with Retry-After, in Anthropic's envelope (rule: bounded)."""
    user = served.user()
    limit(served, key_of(user), requests_per_minute=2)
    found = [count(served, user, {**BODY, "model": "local/m"}) for _ in range(3)]
    assert [each.status_code for each in found] == [200, 200, 429]
    assert found[2].json()["error"]["type"] == "rate_limit_error"
    assert int(found[2].headers["retry-after"]) >= 1
