"""Packed replies: only large JSON, only when asked for, never a secret."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi.routing import APIRoute

from command_api.serving.app import ROUTERS
from command_api.serving.gzipped import INLINE_BYTES_MAX, PACKED_BYTES_MIN, Gzipped
from domain.identity.key_format import KEY_PATTERN
from edge.asgi import accepts_gzip
from edge.errors import ApiError
from edge.lanes import Lane

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

LARGE = b'{"a": "%b"}' % (b"x" * PACKED_BYTES_MIN)
HUGE = b'{"a": "%b"}' % (b"x" * (2 * INLINE_BYTES_MAX))
GZIP = {"accept-encoding": "gzip"}


@pytest.mark.parametrize(
    ("given", "fine"),
    [
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"br;q=1.0, *;q=0.1", True),
        (b"gzip;q=1", True),
        (b"gzip; q=0.001", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*;q=0", False),
        (b"identity", False),
        (b"gzipped", False),
        (b"", False),
        (b";;q=,,", False),
    ],
)
def test_gzip_is_asked_for_by_name_and_weight(given: bytes, fine: bool) -> None:
    """As RFC 9110, 12.5.3 has it (rule: contract)."""
    assert accepts_gzip(given) is fine


def answered(
    body: bytes = LARGE,
    *,
    status: int = 200,
    method: str = "GET",
    accepts: bytes = b"gzip",
    pieces: int = 1,
    **headers: str,
) -> tuple[dict[str, str], bytes]:
    """What becomes of a reply: its headers and its body."""
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}

    async def endpoint(_: Any, __: Any, send: Any) -> None:
        raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        size = len(body) // pieces
        for number in range(pieces):
            last = number == pieces - 1
            part = body[number * size :] if last else body[number * size : (number + 1) * size]
            await send({"type": "http.response.body", "body": part, "more_body": not last})

    found: list[Any] = []

    async def send(message: Any) -> None:
        found.append(message)

    scope = {"type": "http", "method": method, "headers": [(b"accept-encoding", accepts)]}
    made = Gzipped(endpoint)
    asyncio.run(made(scope, None, send))  # type: ignore[arg-type]
    made.close()
    headers = {name.decode(): value.decode() for name, value in found[0]["headers"]}
    return headers, b"".join(each["body"] for each in found[1:])


@pytest.mark.parametrize("body", [LARGE, HUGE])
def test_a_large_reply_is_packed(body: bytes) -> None:
    """It is the same behind it, with its length, and caches know that it varies (rule: wire)."""
    headers, packed = answered(body)
    assert gzip.decompress(packed) == body
    assert headers["content-encoding"] == "gzip"
    assert headers["content-length"] == str(len(packed))
    assert headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "how",
    [
        {"body": b"{}"},
        {"status": 404},
        {"method": "POST"},
        {"accepts": b"br"},
        {"pieces": 2},
        {"content_type": "text/event-stream"},
        {"content_encoding": "br"},
        {"cache_control": "no-store"},
    ],
)
def test_all_else_passes_as_it_is(how: dict[str, Any]) -> None:
    """Small, streamed, secret, an error, already packed, or not asked for (rule: access)."""
    headers, body = answered(**how)
    assert body == how.get("body", LARGE)
    assert headers.get("content-encoding") in {None, "br"}
    asked_otherwise = "accepts" in how or "pieces" in how
    assert ("vary" in headers) is asked_otherwise


def test_where_there_is_no_room_to_pack_it_goes_out_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Never refused for that (P12)."""

    async def full(*_: Any) -> bytes:
        raise ApiError(503, "reads_busy", "Try again.")

    monkeypatch.setattr(Lane, "run", full)
    headers, body = answered(HUGE)
    assert (body, headers["content-length"]) == (HUGE, str(len(HUGE)))
    assert "content-encoding" not in headers


def test_replies_of_a_gateway_are_packed_for_who_asks(gateway: RunningGateway) -> None:
    """The document of all routes is large; a stream of events never is packed (rule: wire)."""
    user = gateway.user()
    with gateway.client(user) as client:
        plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
        packed = client.get("/openapi.json", headers=GZIP)
        assert packed.json() == plain.json()
        assert "content-encoding" not in plain.headers
        assert (packed.headers["content-encoding"], packed.headers["vary"]) == (
            "gzip",
            "accept-encoding",
        )
        assert int(packed.headers["content-length"]) < len(plain.content) / 4
        body = {
            "model": "simulator/echo",
            "messages": [{"role": "user", "content": "x" * 9_000}],
            "stream": True,
        }
        got = client.post("/v1/chat/completions", json=body, headers=GZIP)
        assert got.status_code == 200
        assert "content-encoding" not in got.headers


def test_what_is_packed_holds_no_key(gateway: RunningGateway) -> None:
    """No GET tells a key or a token, on any route, so none is ever packed (rule: access)."""
    user = gateway.user()
    routes = [
        route.path.replace("{key_id}", user.key_id).replace("{user_id}", user.user_id)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    ]
    assert len(routes) >= 30
    headers = {"authorization": f"Bearer {user.api_key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=20) as client:
        for path in routes:
            text = client.get(path).text
            assert not re.search(KEY_PATTERN, text), path
            assert user.api_key not in text, path
            assert "refresh_token" not in text, path
