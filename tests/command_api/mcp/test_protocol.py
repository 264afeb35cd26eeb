"""/mcp as clients of each revision meet it, and as those who are none."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.mcp.asking import BOTH, META, NEW, OLD, PREFIX, call, message, new, old, post
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PAGE = "https://console.example.com"


@pytest.mark.parametrize(
    ("asked", "given"),
    [("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("1900-01-01", "2025-11-25")],
)
def test_a_handshake_agrees_on_a_revision(gateway: RunningGateway, asked: str, given: str) -> None:
    """The client's where it is known, else the newest with a handshake; no session is made
    (rule: contract).
    """
    params = {
        "protocolVersion": asked,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    got = post(gateway, gateway.user(), message("initialize", params))
    assert got.status_code == 200
    assert "mcp-session-id" not in got.headers
    assert got.headers["cache-control"] == "no-store"
    result = got.json()["result"]
    assert result["protocolVersion"] == given
    assert result["serverInfo"]["name"] == "gatewayz"
    assert set(result["capabilities"]) <= {"tools", "experimental"}


def test_the_newest_revision_needs_no_handshake(gateway: RunningGateway) -> None:
    """Each request says its revision; the list may be kept by all (rule: contract)."""
    user = gateway.user()
    found = new(gateway, user, "server/discover").json()["result"]
    assert NEW in found["supportedVersions"]
    listed = new(gateway, user, "tools/list").json()["result"]
    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "public")
    assert len(listed["tools"]) == 6


def test_revisions_and_headers_are_held_to_the_body(gateway: RunningGateway) -> None:
    """400 with the protocol's own codes: an unknown revision, a header that is missing, says
    another thing or stands twice (rule: refuse clearly).
    """
    user = gateway.user()
    body = message("tools/call", {"name": "get_balance", "_meta": META})
    right = {
        "mcp_protocol_version": NEW,
        "mcp_method": "tools/call",
        "mcp_name": "get_balance",
    }
    assert post(gateway, user, body, **right).status_code == 200
    for wrong, code in (
        ({"mcp_protocol_version": "1900-01-01"}, -32020),
        ({"mcp_method": "tools/list"}, -32020),
        ({"mcp_method": ""}, -32020),
        ({"mcp_name": "get_call"}, -32020),
        ({"mcp_name": ""}, -32020),
        ({"mcp_name": "=?base64?!!?="}, -32020),
    ):
        got = post(gateway, user, body, **{**right, **wrong})
        error = got.json()["error"]
        assert (got.status_code, error["code"]) == (400, code), (wrong, error)
    for version in ("1900-01-01", "x" * 200, "2026-07-29"):
        meta = {**META, f"{PREFIX}protocolVersion": version}
        other = message("tools/call", {"name": "get_balance", "_meta": meta})
        got = post(gateway, user, other, **{**right, "mcp_protocol_version": version})
        assert (got.status_code, got.json()["error"]["code"]) == (400, -32022)
        assert NEW in got.json()["error"]["data"]["supported"]
    with gateway.client(user) as client:
        twice = [*right.items(), ("mcp_name", "get_call"), ("accept", BOTH)]
        headers = [(name.replace("_", "-"), value) for name, value in twice]
        got = client.post("/mcp", json=body, headers=[*client.headers.items(), *headers])
    assert (got.status_code, got.json()["error"]["code"]) == (400, -32020)
    encoded = {**right, "mcp_name": "=?base64?Z2V0X2JhbGFuY2U=?="}
    assert post(gateway, user, body, **encoded).status_code == 200
    bare = message("tools/list")
    got = post(gateway, user, bare, mcp_protocol_version=NEW, mcp_method="tools/list")
    assert got.status_code == 400


def test_unknown_methods_tools_and_params_have_their_codes(gateway: RunningGateway) -> None:
    """-32601 and -32602, in each revision; HTTP says it too in the newest
    (rule: refuse clearly).
    """
    user = gateway.user()
    for method in ("nothing", "resources/list", "prompts/list", "roots/list", "tools/x"):
        assert old(gateway, user, method)["error"]["code"] == -32601
    for method in ("nothing", "resources/read", "subscriptions/listen"):
        got = new(gateway, user, method)
        assert got.status_code in (400, 404), method
        assert got.json()["error"]["code"] in (-32601, -32602, -32020)
    assert new(gateway, user, "nothing").status_code == 404
    wrong: list[Any] = [
        {"name": "rm_rf", "arguments": {}},
        {"name": "get_balance\n", "arguments": {}},
        {"name": "x" * 10_000},
        {"name": 7},
        {"arguments": {}},
        {"name": "get_balance", "arguments": []},
        {"name": "get_balance", "arguments": "all"},
    ]
    for params in wrong:
        error = old(gateway, user, "tools/call", params)["error"]
        assert error["code"] == -32602, params
        assert len(error["message"]) < 1_000
    got = new(gateway, user, "tools/call", name="rm_rf")
    assert (got.status_code, got.json()["error"]["code"]) == (400, -32602)
    assert old(gateway, user, "tools/list", {"cursor": "x"})["error"]["code"] == -32602


def test_notifications_are_taken(gateway: RunningGateway) -> None:
    """202, with nothing to read, whatever they say (rule: contract)."""
    user = gateway.user()
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/none"):
        body = {"jsonrpc": "2.0", "method": method}
        got = post(gateway, user, body, mcp_protocol_version=OLD)
        assert got.status_code == 202, method
        got = post(gateway, user, body, mcp_protocol_version=NEW, mcp_method=method)
        assert got.status_code == 202, method
    assert call(gateway, user, "get_balance")["isError"] is False


def test_there_is_no_stream_and_no_session(gateway: RunningGateway) -> None:
    """GET and DELETE: 405 with what may be used; a session's id is ignored (rule: contract)."""
    user = gateway.user()
    for method in ("GET", "DELETE", "PUT"):
        with gateway.client(user) as client:
            got = client.request(method, "/mcp", headers={"accept": "text/event-stream"})
        assert (got.status_code, got.headers["allow"]) == (405, "POST")
        assert got.json()["error"]["data"]["code"] == "method_not_allowed"
    got = post(gateway, user, message("ping"), mcp_session_id="mine", last_event_id="3")
    assert (got.status_code, got.json()["result"]) == (200, {})
    assert "mcp-session-id" not in got.headers


def test_a_caller_who_takes_events_alone_gets_one(gateway: RunningGateway) -> None:
    """The same answer as an event stream; neither kind is 406 (rule: contract)."""
    user = gateway.user()
    got = post(gateway, user, message("ping"), accept="text/event-stream")
    assert got.headers["content-type"].startswith("text/event-stream")
    event, data, *_ = got.text.split("\n")
    assert event == "event: message"
    assert json.loads(data.removeprefix("data: "))["result"] == {}
    for accept in (BOTH, "application/json", "*/*", "application/json;q=0.5"):
        got = post(gateway, user, message("ping"), accept=accept)
        assert got.headers["content-type"] == "application/json", accept
    got = post(gateway, user, message("ping"), accept="text/html")
    assert (got.status_code, got.json()["error"]["data"]["code"]) == (406, "not_acceptable")


def test_bodies_are_bounded_and_of_one_kind(gateway: RunningGateway) -> None:
    """413, 415, and JSON-RPC's own codes with 400 (rule: bounded, rule: refuse clearly)."""
    user = gateway.user()
    large = message("ping", {"x": "y" * 70_000})
    assert post(gateway, user, large).status_code == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        got = post(gateway, user, b"{}", content_type=kind)
        assert (got.status_code, got.json()["error"]["code"]) == (415, 415)
    for raw, code in ((b"{", -32700), (b"[]", -32600), (b'[{"jsonrpc":"2.0"}]', -32600)):
        got = post(gateway, user, raw)
        assert (got.status_code, got.json()["error"]["code"]) == (400, code)


def test_who_shows_no_key_learns_how(gateway: RunningGateway) -> None:
    """401 with WWW-Authenticate, before a body is read; a key whose scopes or addresses do not
    reach gets 403 (rule: access, rule: refuse clearly).
    """
    for headers in ({}, {"authorization": "Bearer gw_live_none"}, {"authorization": "Basic x"}):
        got = post(gateway, None, b"{", **headers)
        assert got.status_code == 401
        assert got.headers["www-authenticate"] == 'Bearer realm="gatewayz"'
        error = got.json()["error"]
        assert (error["code"], got.json()["id"]) == (401, None)
        assert error["data"]["code"] in ("invalid_api_key", "missing_api_key")
    user = gateway.user()
    with gateway.client(user) as client:
        for limits, code in (
            ({"scope_permissions": {"write": ["chat"]}}, "insufficient_scope"),
            ({"ip_allowlist": ["203.0.113.7"]}, "ip_not_allowed"),
        ):
            made = client.post("/user/api-keys", json={"key_name": code, **limits})
            assert made.status_code in (200, 201), made.text
            key = made.json()["api_key"]
            got = post(gateway, None, message("ping"), authorization=f"Bearer {key}")
            assert (got.status_code, got.json()["error"]["data"]["code"]) == (403, code)


def test_pages_of_other_origins_may_not_ask(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """403 before the key is looked at, also where Origin and Host agree: a page whose name was
    bent to this address sends just that (rule: access).
    """
    with running_gateway(database, tmp_path, upstream, cors_origins=PAGE) as gateway:
        user = gateway.user()
        assert post(gateway, user, message("ping"), origin=PAGE).status_code == 200
        assert post(gateway, user, message("ping")).status_code == 200
        for origin in ("https://evil.example", "null", PAGE + ".evil.example", gateway.url):
            for asker in (user, None):
                got = post(gateway, asker, message("ping"), origin=origin)
                assert got.status_code == 403
                assert got.json()["error"]["data"]["code"] == "origin_not_allowed"


def test_many_ask_at_once(gateway: RunningGateway) -> None:
    """Each is answered what it asked, or 503 where there are too many (rule: bounded)."""
    user = gateway.user()

    def one(number: int) -> tuple[int, Any]:
        body = message("tools/call", {"name": "get_balance"}, id=number)
        got = post(gateway, user, body, mcp_protocol_version=OLD)
        return got.status_code, got.json()["id"]

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(one, range(48)))
    assert {status for status, _ in found} <= {200, 503}
    assert [number for status, number in found if status == 200] == [
        number for number, (status, _) in enumerate(found) if status == 200
    ]


def test_a_message_in_pieces_and_half_a_message(gateway: RunningGateway) -> None:
    """The first is answered; who hangs up leaves nothing behind (rule: bounded)."""
    user = gateway.user()
    raw = json.dumps(message("ping")).encode()
    with gateway.client(user) as client:
        got = client.post(
            "/mcp",
            content=iter([raw[:5], raw[5:]]),
            headers={"content-type": "application/json", "accept": BOTH},
        )
    assert got.json()["result"] == {}
    with pytest.raises(httpx.HTTPError):

        def half() -> Any:
            yield raw[:5]
            message = "gone"
            raise httpx.WriteError(message)

        httpx.post(
            f"{gateway.url}/mcp",
            content=half(),
            headers={
                "authorization": f"Bearer {user.api_key}",
                "content-type": "application/json",
            },
        )
    assert call(gateway, user, "get_balance")["isError"] is False
