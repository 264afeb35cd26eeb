"""What clients find out about the routes: the document, other origins, what is not served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from command_api.operations.table import ROUTES
from command_api.serving.document.calls import ABOUT
from command_api.system import status_routes
from providers.inference.port import Operation
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

ORIGIN = "https://console.example.com"


def test_the_document_has_the_inference_routes(gateway: RunningGateway) -> None:
    """Bodies, errors and the key, so that a client can be made of it (rule: contract)."""
    document = httpx.get(f"{gateway.url}/openapi.json").json()
    for route in ROUTES:
        asked = document["paths"][route.path]["post"]
        kind = "multipart/form-data" if route.form is not None else "application/json"
        schema = asked["requestBody"]["content"][kind]["schema"]
        assert "model" in schema["properties"]
        # OpenAI's moderations alone do without one.
        optional = route.operation is Operation.MODERATIONS
        assert ("model" in schema["required"]) is not optional
        assert {"402", "503"} <= asked["responses"].keys()
        assert asked["security"][0] == {"api_key": []}
    assert "bearer" in str(document["components"]["securitySchemes"])
    assert "/user/balance" in document["paths"]


def test_every_operation_is_described() -> None:
    """A route that is new has its words too (rule: docs)."""
    counting = {Operation.COUNT_TOKENS}
    assert {route.operation for route in ROUTES} | counting == set(ABOUT)


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/v1/nothing", "/v1/" + "x" * 3_000])
def test_a_path_that_is_not_served_says_which_are(gateway: RunningGateway, path: str) -> None:
    """404 in OpenAI's envelope, of a bounded size (rule: refuse clearly)."""
    got = httpx.post(f"{gateway.url}{path}", json={"model": "m"})
    assert got.status_code == 404
    error = got.json()["error"]
    assert error["code"] == "not_found"
    assert "/v1/chat/completions" in error["message"]
    assert len(error["message"]) < 500


def test_another_method_is_named(gateway: RunningGateway) -> None:
    """405 with what may be used (RFC 9110, 15.5.6) (rule: refuse clearly)."""
    got = httpx.get(f"{gateway.url}/v1/chat/completions")
    assert got.status_code == 405
    assert got.headers["allow"] == "POST"
    assert got.json()["error"]["code"] == "method_not_allowed"


def ask(gateway: RunningGateway, key: str, origin: str) -> httpx.Response:
    """A call as a page of this origin makes it."""
    headers = {"authorization": f"Bearer {key}", "origin": origin}
    body: dict[str, Any] = {
        "model": "simulator/echo",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)


def test_named_origins_may_call(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Preflight and call, on the inference routes and the others; nobody else (rule: access)."""
    origins = f"{ORIGIN}, https://other.example.com"
    with running_gateway(database, tmp_path, upstream, cors_origins=origins) as gateway:
        check_origins(gateway, gateway.user().api_key)


def check_origins(gateway: RunningGateway, key: str) -> None:
    """What a named origin is allowed, and another is not."""
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
    asked = {**preflight, "access-control-request-headers": "authorization,content-type"}
    for path in ("/v1/chat/completions", "/v1/models"):
        got = httpx.options(f"{gateway.url}{path}", headers=asked)
        assert got.status_code == 200
        assert got.headers["access-control-allow-origin"] == ORIGIN
    got = ask(gateway, key, ORIGIN)
    assert got.status_code == 200
    assert got.headers["access-control-allow-origin"] == ORIGIN
    exposed = got.headers["access-control-expose-headers"].split(", ")
    assert {"idempotent-replayed", "x-gatewayz-cache", "x-gatewayz-call-id"} <= {*exposed}
    assert {"retry-after", "x-request-id"} <= {*exposed}
    assert "access-control-allow-credentials" not in got.headers
    assert "access-control-allow-origin" not in ask(gateway, key, "https://evil.example").headers


def test_a_page_may_read_of_a_defect_too(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer comes from the outermost handler, within the origin's rules (rule: access)."""

    def broken(_: object) -> None:
        message = "a defect"
        raise RuntimeError(message)

    monkeypatch.setattr(status_routes, "json_reply", broken)
    with running_gateway(database, tmp_path, upstream, cors_origins=ORIGIN) as gateway:
        got = httpx.get(f"{gateway.url}/", headers={"origin": ORIGIN})
    assert (got.status_code, got.json()["code"]) == (500, "internal_error")
    assert got.headers["access-control-allow-origin"] == ORIGIN


def test_without_the_setting_no_origin_may(gateway: RunningGateway) -> None:
    """As before (rule: access)."""
    got = httpx.get(f"{gateway.url}/health", headers={"origin": ORIGIN})
    assert "access-control-allow-origin" not in got.headers
