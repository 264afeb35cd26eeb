"""Google's tokens, hand-written from its documentation: no recordings of them exist."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from providers.inference.port import Operation
from tests.providers.inference.asking import provider
from tests.support.harness import reply

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.support.harness import Request, ScriptedUpstream


def decoded(segment: str) -> dict[str, Any]:
    """A part of a JWT."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return found


def test_vertex_gets_a_token_for_its_service_account(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """A JWT signed with the account's key, one token for many calls, Gemini's paths
    (rule: wire).
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path / "account.json"
    token_uri = f"http://127.0.0.1:{upstream.port}/token"
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

    upstream.answer = answer
    environment = {
        "GOOGLE_PROJECT_ID": "p",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "GOOGLE_VERTEX_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1/projects/p/locations/l",
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
    calls = [each for each in upstream.requests if each.path != "/token"]
    assert {each.headers["authorization"] for each in calls} == {"Bearer t-1"}
    assert calls[0].path == (
        "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent"
    )
