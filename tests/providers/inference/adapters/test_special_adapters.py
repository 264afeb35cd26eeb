"""The adapters that are more than a translation: Fal's queue, Google's tokens, headers by provider.

The replies here are hand-written from the providers' documentation: no recordings of these exist.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from providers.inference.adapters.http_client import ClientLimits
from providers.inference.port import Operation, UnsupportedError, UpstreamTimeoutError
from providers.inference.registry.registry import load_registry
from tests.support.harness import ScriptedUpstream, completion, reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from providers.inference.registry.offers import Provider
    from tests.support.harness import Request

NOW = "2026-01-01T00:00:00.000000Z"


@pytest.fixture
def server() -> Iterator[ScriptedUpstream]:
    """A provider on loopback."""
    made = ScriptedUpstream(lambda connection, _: reply(connection, completion()))
    yield made
    made.close()


def provider(name: str, environment: dict[str, str], attempt_s: float = 10.0) -> Provider:
    """A built-in provider, configured from the environment."""
    registry = load_registry(
        environment=environment,
        providers_file=None,
        effective_at=NOW,
        limits=ClientLimits(attempt_s=attempt_s),
    )
    return registry.providers[name]


def send(
    made: Provider, body: dict[str, Any], operation: Operation = Operation.CHAT
) -> tuple[int, Any]:
    """One exchange: status and JSON."""

    async def run() -> tuple[int, Any]:
        try:
            answer = await made.upstream.send(operation, json.dumps(body).encode())
            raw = await answer.whole()
            answer.release()
        finally:
            await made.upstream.close()
        return answer.status, json.loads(raw)

    return asyncio.run(run())


def fal_queue(base: str, waits: int, result: dict[str, Any], status: int = 200) -> Any:
    """Fal's queue, as its documentation shows it; URLs name fal's own host."""
    state = {"polls": 0}
    at = "https://queue.fal.run/fal-ai/flux/requests/r1"

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "POST":
            told = {"request_id": "r1", "status_url": f"{at}/status", "response_url": at}
            reply(connection, json.dumps({**told, "cancel_url": f"{at}/cancel"}).encode())
        elif request.path.endswith("/status"):
            state["polls"] += 1
            done = state["polls"] > waits
            body = {"status": "COMPLETED" if done else "IN_QUEUE"}
            reply(connection, json.dumps(body).encode(), status=200 if done else 202)
        else:
            reply(connection, json.dumps(result).encode(), status=status)

    assert base
    return answer


def test_fal_is_asked_until_the_image_is_there(server: ScriptedUpstream) -> None:
    """POST, GET status, GET result, its kind of key, at our address only (rule: translation)."""
    made = {"images": [{"url": "https://x/1.png", "width": 512, "height": 256}]}
    server.answer = fal_queue(server.base_url, 2, made)
    fal = provider("fal", {"FAL_API_KEY": "k", "FAL_BASE_URL": f"http://127.0.0.1:{server.port}"})
    body = {"model": "fal-ai/flux/dev", "prompt": "a", "n": 2, "size": "512x256"}
    status, got = send(fal, body, Operation.IMAGES)
    assert (status, got["data"]) == (
        200,
        [{"url": "https://x/1.png", "width": 512, "height": 256}],
    )
    first = server.requests[0]
    assert (first.path, first.headers["authorization"]) == ("/fal-ai/flux/dev", "Key k")
    assert first.body == {
        "prompt": "a",
        "num_images": 2,
        "image_size": {"width": 512, "height": 256},
    }
    assert [each.method for each in server.requests] == ["POST", "GET", "GET", "GET", "GET"]
    assert server.requests[-1].path == "/fal-ai/flux/requests/r1"


def test_fals_errors_and_patience(server: ScriptedUpstream) -> None:
    """The result's own error comes through; a request that stays in the queue is taken out
    (rule: translation, rule: bounded).
    """
    server.answer = fal_queue(server.base_url, 0, {"detail": "bad"}, status=422)
    environment = {"FAL_KEY": "k", "FAL_BASE_URL": f"http://127.0.0.1:{server.port}"}
    body = {"model": "fal-ai/flux", "prompt": "a"}
    status, got = send(provider("fal", environment), body, Operation.IMAGES)
    assert (status, got) == (422, {"detail": "bad"})
    server.answer = fal_queue(server.base_url, 10**6, {})
    server.requests.clear()
    with pytest.raises(UpstreamTimeoutError):
        send(provider("fal", environment, attempt_s=0.6), body, Operation.IMAGES)
    assert (server.requests[-1].method, server.requests[-1].path) == (
        "PUT",
        "/fal-ai/flux/requests/r1/cancel",
    )
    with pytest.raises(UnsupportedError):
        send(provider("fal", environment), {"model": "m", "messages": []})


def decoded(segment: str) -> dict[str, Any]:
    """A part of a JWT."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return found


def test_vertex_gets_a_token_for_its_service_account(
    server: ScriptedUpstream, tmp_path: Path
) -> None:
    """A JWT signed with its key, one token for many calls, Gemini's paths (rule: translation)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path / "account.json"
    token_uri = f"http://127.0.0.1:{server.port}/token"
    account = {
        "client_email": "me@example.com",
        "private_key": pem.decode(),
        "token_uri": token_uri,
        "project_id": "p",
    }
    file.write_text(json.dumps(account))
    forms: list[dict[str, list[str]]] = []

    def answer(connection: socket.socket, request: Request) -> None:
        if request.path == "/token":
            forms.append(parse_qs(request.raw.decode()))
            reply(connection, b'{"access_token":"t-1","expires_in":3600}')
        else:
            candidate = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
            reply(connection, json.dumps({"candidates": [candidate]}).encode())

    server.answer = answer
    environment = {
        "GOOGLE_PROJECT_ID": "p",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "GOOGLE_VERTEX_BASE_URL": f"http://127.0.0.1:{server.port}/v1/projects/p/locations/l",
    }
    vertex = provider("google-vertex", environment)
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}]}

    async def twice() -> None:
        for _ in range(2):
            got = await vertex.upstream.send(Operation.CHAT, json.dumps(body).encode())
            assert b'"Hi"' in await got.whole()
            got.release()
        await vertex.upstream.close()

    asyncio.run(twice())
    (form,) = forms
    header, claims, signature = form["assertion"][0].split(".")
    assert decoded(header)["alg"] == "RS256"
    told = decoded(claims)
    assert (told["iss"], told["aud"]) == ("me@example.com", token_uri)
    assert abs(told["iat"] - time.time()) < 60
    key.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="),
        f"{header}.{claims}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    calls = [each for each in server.requests if each.path != "/token"]
    assert {each.headers["authorization"] for each in calls} == {"Bearer t-1"}
    assert calls[0].path == (
        "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent"
    )


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
    server: ScriptedUpstream, name: str, more: dict[str, str], expected: dict[str, str]
) -> None:
    """The key where it belongs, and what the provider wants besides (rule: translation)."""
    variable = name.upper().replace("-", "_")
    environment = {f"{variable}_API_KEY": "k", f"{variable}_BASE_URL": server.base_url, **more}
    send(provider(name, environment), {"model": "m", "messages": []})
    got = server.requests[-1].headers
    assert {header: got.get(header) for header in expected} == expected
    assert ("authorization" in got) == ("authorization" in expected)


def test_portkey_serves_by_the_provider_that_a_call_names(server: ScriptedUpstream) -> None:
    """With our virtual key for it, or the caller's; the body is clean (rule: translation)."""
    environment = {
        "PORTKEY_API_KEY": "k",
        "PORTKEY_BASE_URL": server.base_url,
        "PORTKEY_VIRTUAL_KEY_STABILITY_AI": "v-1",
    }
    body = {"model": "m", "prompt": "a", "portkey_provider": "stability-ai"}
    for more, key in (({}, "v-1"), ({"portkey_virtual_key": "mine"}, "mine")):
        send(provider("portkey", environment), {**body, **more}, Operation.IMAGES)
        got = server.requests[-1]
        assert got.headers["x-portkey-provider"] == "stability-ai"
        assert got.headers["x-portkey-virtual-key"] == key
        assert got.body == {"model": "m", "prompt": "a"}
    with pytest.raises(UnsupportedError):
        send(provider("portkey", environment), {**body, "portkey_provider": "a\r\nx: y"})


def test_anthropic_gets_its_own_key_and_version(server: ScriptedUpstream) -> None:
    """And its own path, under whatever base URL the operator gives (rule: translation)."""
    server.answer = lambda connection, _: reply(
        connection, b'{"id":"i","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}'
    )
    environment = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": server.base_url}
    body = {"model": "c", "messages": [{"role": "user", "content": "Hi"}]}
    status, got = send(provider("anthropic", environment), body)
    assert (status, got["choices"][0]["message"]["content"]) == (200, "Hi")
    request = server.requests[-1]
    assert request.path == "/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == (
        "k",
        "2023-06-01",
    )
    assert "authorization" not in request.headers
