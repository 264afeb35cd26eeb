"""What browsers and caches are told by every reply of both sides."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import ValidationError

from command_api.operations.table import ROUTES
from command_api.serving.app import ROUTERS
from command_api.serving.docs_page import policy_of
from command_api.settings import Settings
from tests.support.harness import ASK, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

OWN_CACHE_RULES = {"/v1/models"}
"""Public, with an entity tag."""


def check(got: httpx.Response, where: str) -> None:
    """What stands on each reply."""
    assert got.headers["x-content-type-options"] == "nosniff", where
    assert got.headers["referrer-policy"] == "no-referrer", where
    assert "strict-transport-security" not in got.headers, where
    assert "set-cookie" not in got.headers, where
    assert "server" not in got.headers, where


def test_every_reply_of_every_route_carries_them(gateway: RunningGateway) -> None:
    """Answered or refused, with a key, a wrong one and none (rule: access)."""
    user = gateway.user()
    routes = [
        (min(route.methods or ()), re.sub(r"{[^}]*}", "x", route.path))
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    routes += [("POST", route.path) for route in ROUTES]
    routes += [("GET", "/none"), ("PATCH", "/health"), ("GET", "/docs"), ("GET", "/openapi.json")]
    with httpx.Client(base_url=gateway.url, timeout=20) as client:
        for method, path in routes:
            if path == "/user/account":
                continue  # It would end the user.
            for key in ("", "gw_live_wrong", user.api_key):
                headers = {"authorization": f"Bearer {key}"} if key else {}
                got = client.request(method, path, headers=headers)
                where = f"{method} {path} {got.status_code}"
                check(got, where)
                if path not in OWN_CACHE_RULES and (key or method != "GET"):
                    assert got.headers["cache-control"] == "no-store", where
                if method != "POST" or path not in {route.path for route in ROUTES}:
                    policy = got.headers.get_list("content-security-policy")
                    assert len(policy) == 1, where
                    assert "default-src 'none'" in policy[0], where
                    assert "frame-ancestors 'none'" in policy[0], where


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_and_its_stream_carry_them(gateway: RunningGateway, stream: bool) -> None:
    """The short way into the server has them, too (rule: access)."""
    asked = {"model": "simulator/echo", "stream": stream}
    got = gateway.chat(gateway.user(), asked)
    assert got.status_code == 200
    check(got, "a call")
    assert got.headers.get_list("cache-control") == ["no-store"]


def test_what_the_server_itself_refuses_carries_them(gateway: RunningGateway) -> None:
    """A head too large for any application to see (rule: access)."""
    with socket.create_connection(("127.0.0.1", httpx.URL(gateway.url).port or 0)) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nuser-agent: " + b"a" * 100_000 + b"\r\n\r\n")
        answer = wire.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"x-content-type-options: nosniff\r\n" in answer
    assert b"referrer-policy: no-referrer\r\n" in answer


def test_behind_https_browsers_are_kept_to_it(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """On every reply, calls among them (rule: access)."""
    public = "https://gateway.example.com"
    with running_gateway(database, tmp_path, upstream, public_url=public) as gateway:
        for got in (httpx.get(f"{gateway.url}/health"), gateway.chat(gateway.user(), ASK)):
            assert got.status_code == 200
            assert got.headers["strict-transport-security"] == "max-age=31536000"


def test_the_page_runs_its_own_scripts_alone(gateway: RunningGateway) -> None:
    """Those that stand in it are named by their hashes; the page has no other (rule: access)."""
    got = httpx.get(f"{gateway.url}/docs")
    policy = got.headers["content-security-policy"]
    assert policy == policy_of(got.content)
    assert policy.count("'sha256-") == got.text.count("<script>") == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert not re.search(r"\son[a-z]+=", got.text), "an attribute with a script"
    spoilt = got.content.replace(b"</script>", b";alert(1)</script>")
    assert policy_of(spoilt) != policy


@pytest.mark.parametrize("origins", ["*", "https://app.example.com,*"])
def test_any_origin_may_call_but_never_with_credentials(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, origins: str
) -> None:
    """A browser's own credentials open nothing here, and are asked of nobody (rule: access)."""
    with running_gateway(database, tmp_path, upstream, cors_origins=origins) as gateway:
        asked = {
            "origin": "https://evil.example",
            "access-control-request-method": "POST",
            "cookie": "session=1",
        }
        for path in ("/v1/chat/completions", "/user/balance"):
            for got in (
                httpx.options(f"{gateway.url}{path}", headers=asked),
                httpx.get(f"{gateway.url}{path}", headers=asked),
            ):
                assert got.headers["access-control-allow-origin"] == "*"
                assert "access-control-allow-credentials" not in got.headers


@pytest.mark.parametrize(
    "origins",
    ["null", "app.example.com", "https://app.example.com/", "https://*.example.com", "file://"],
)
def test_what_is_no_origin_is_refused_at_the_start(tmp_path: Path, origins: str) -> None:
    """It would match nothing, or any sandboxed page (rule: refuse clearly)."""
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(home=tmp_path, cors_origins=f"https://fine.example.com, {origins}")
