"""Upstreams put together: each provider gets its own address, key and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers.inference.asking import provider, send
from tests.support.harness import reply

if TYPE_CHECKING:
    from tests.support.harness import ScriptedUpstream

HEADERS = [
    ("openrouter", {"OPENROUTER_SITE_URL": "https://me", "OPENROUTER_SITE_NAME": "Me"},
     {"authorization": "Bearer k", "http-referer": "https://me", "x-title": "Me"}),
    ("portkey", {"PORTKEY_VIRTUAL_KEY": "v"},
     {"x-portkey-api-key": "k", "x-portkey-virtual-key": "v"}),
    ("aihubmix", {"AIHUBMIX_APP_CODE": "c"}, {"authorization": "Bearer k", "app-code": "c"}),
    ("groq", {}, {"authorization": "Bearer k"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "expected"), HEADERS)
def test_each_provider_gets_its_own_headers(
    upstream: ScriptedUpstream, name: str, more: dict[str, str], expected: dict[str, str]
) -> None:
    """The key where it belongs, and what the provider wants besides (rule: wire)."""
    variable = name.upper().replace("-", "_")
    environment = {f"{variable}_API_KEY": "k", f"{variable}_BASE_URL": upstream.base_url, **more}
    send(provider(name, environment), {"model": "m", "messages": []})
    got = upstream.requests[-1].headers
    assert {header: got.get(header) for header in expected} == expected
    assert ("authorization" in got) == ("authorization" in expected)


def test_anthropic_gets_its_own_key_and_version(upstream: ScriptedUpstream) -> None:
    """And its own path, under whatever base URL the operator gives (rule: wire)."""
    upstream.answer = lambda connection, _: reply(
        connection, b'{"id":"i","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}'
    )
    environment = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": upstream.base_url}
    body = {"model": "c", "messages": [{"role": "user", "content": "Hi"}]}
    status, got = send(provider("anthropic", environment), body)
    assert (status, got["choices"][0]["message"]["content"]) == (200, "Hi")
    request = upstream.requests[-1]
    assert request.path == "/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == (
        "k",
        "2023-06-01",
    )
    assert "authorization" not in request.headers
