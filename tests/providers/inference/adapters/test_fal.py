"""Fal's queue. The replies are hand-written from its documentation: no recordings of it exist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.port import Operation, UnsupportedError, UpstreamTimeoutError
from tests.providers.inference.asking import provider, send
from tests.support.harness import reply

if TYPE_CHECKING:
    import socket

    from tests.support.harness import Request, ScriptedUpstream


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


def test_fal_is_asked_until_the_image_is_there(upstream: ScriptedUpstream) -> None:
    """POST, GET status, GET result, with its own kind of key, at our own address only
    (rule: translation).
    """
    made = {"images": [{"url": "https://x/1.png", "width": 512, "height": 256}]}
    upstream.answer = fal_queue(upstream.base_url, 2, made)
    fal = provider("fal", {"FAL_API_KEY": "k", "FAL_BASE_URL": f"http://127.0.0.1:{upstream.port}"})
    body = {"model": "fal-ai/flux/dev", "prompt": "a", "n": 2, "size": "512x256"}
    status, got = send(fal, body, Operation.IMAGES)
    assert (status, got["data"]) == (
        200,
        [{"url": "https://x/1.png", "width": 512, "height": 256}],
    )
    first = upstream.requests[0]
    assert (first.path, first.headers["authorization"]) == ("/fal-ai/flux/dev", "Key k")
    assert first.body == {
        "prompt": "a",
        "num_images": 2,
        "image_size": {"width": 512, "height": 256},
    }
    assert [each.method for each in upstream.requests] == ["POST", "GET", "GET", "GET", "GET"]
    assert upstream.requests[-1].path == "/fal-ai/flux/requests/r1"


def test_fals_errors_and_patience(upstream: ScriptedUpstream) -> None:
    """The result's own error comes through; what stays in the queue is taken out (P12)."""
    upstream.answer = fal_queue(upstream.base_url, 0, {"detail": "bad"}, status=422)
    environment = {"FAL_KEY": "k", "FAL_BASE_URL": f"http://127.0.0.1:{upstream.port}"}
    body = {"model": "fal-ai/flux", "prompt": "a"}
    status, got = send(provider("fal", environment), body, Operation.IMAGES)
    assert (status, got) == (422, {"detail": "bad"})
    upstream.answer = fal_queue(upstream.base_url, 10**6, {})
    upstream.requests.clear()
    with pytest.raises(UpstreamTimeoutError):
        send(provider("fal", environment, attempt_s=0.6), body, Operation.IMAGES)
    assert (upstream.requests[-1].method, upstream.requests[-1].path) == (
        "PUT",
        "/fal-ai/flux/requests/r1/cancel",
    )
    with pytest.raises(UnsupportedError):
        send(provider("fal", environment), {"model": "m", "messages": []})
