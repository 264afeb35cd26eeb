"""Messages of the Model Context Protocol, as the tests send them to a running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.support.harness import TIMEOUT_S

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway

BOTH = "application/json, text/event-stream"
OLD, NEW = "2025-06-18", "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
META = {
    f"{PREFIX}protocolVersion": NEW,
    f"{PREFIX}clientInfo": {"name": "test", "version": "1"},
    f"{PREFIX}clientCapabilities": {},
}


def post(
    gateway: RunningGateway, user: NewUser | None, body: bytes | Any, /, **headers: str
) -> httpx.Response:
    """A POST of a body, or of what becomes JSON; names of headers with `_` for `-`."""
    key = {} if user is None else {"authorization": f"Bearer {user.api_key}"}
    sent = {"content-type": "application/json", "accept": BOTH, **key}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value}
    made: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(f"{gateway.url}/mcp", headers=sent, timeout=TIMEOUT_S, **made)


def message(method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A request of the protocol."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}


def old(gateway: RunningGateway, user: NewUser, method: str, params: Any = None) -> Any:
    """What a revision with a handshake answers."""
    got = post(gateway, user, message(method, params), mcp_protocol_version=OLD)
    assert got.status_code == 200, got.text
    return got.json()


def call(gateway: RunningGateway, user: NewUser, name: str, /, **arguments: Any) -> Any:
    """The result of a tool."""
    return old(gateway, user, "tools/call", {"name": name, "arguments": arguments})["result"]


def new(gateway: RunningGateway, user: NewUser, method: str, /, **params: Any) -> httpx.Response:
    """What the newest revision answers."""
    name = {"mcp_name": params["name"]} if "name" in params else {}
    body = message(method, {**params, "_meta": META})
    return post(gateway, user, body, mcp_protocol_version=NEW, mcp_method=method, **name)
