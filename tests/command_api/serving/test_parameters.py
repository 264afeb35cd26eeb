"""Every read route says what is wrong with a parameter; none of them breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from command_api.serving.app import ROUTERS
from command_api.serving.parameters import IGNORED, PARAMETER_CHARACTERS_MAX, PARAMETERS_MAX
from command_api.system.status_routes import router as status
from tests.support.admins import new_admin
from tests.support.harness import USD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.harness import RunningGateway

ROUTES = [
    route
    for router in ROUTERS
    if router is not status
    for route in router.routes
    if isinstance(route, APIRoute)
]
NO_TEXT = ("a%00b", "%ED%A0%80", "%0A", "x" * (PARAMETER_CHARACTERS_MAX + 1))
NO_NUMBERS = (
    *("-1", "-9223372036854775809", "9223372036854775808", "9" * 900),
    *("1e5", "NaN", "0x10", "", "%EF%BC%91"),
)
WORDS = ("no-such", "'; DROP TABLE events; --", "..%2F..", "🦆")
MODELZ_AWAY = 503
"""There is no Modelz in the tests."""


def path_of(route: APIRoute, value: str = "x") -> str:
    """The route's path with every parameter in it replaced."""
    parts = route.path.split("/")
    return "/".join(value if each.startswith("{") else each for each in parts)


def ask(gateway: RunningGateway, route: APIRoute, path: str, query: str) -> httpx.Response:
    """Ask with a key, by bytes that httpx does not tidy."""
    url = f"{gateway.url}{path}{'?' + query if query else ''}"
    return CLIENTS[gateway.url].request(min(route.methods or ()), url)


CLIENTS: dict[str, httpx.Client] = {}


@pytest.fixture
def asked(gateway: RunningGateway) -> Iterator[RunningGateway]:
    """A gateway with a caller who may ask everything, and keeps the connection."""
    headers = {"Authorization": f"Bearer {new_admin(gateway, USD).api_key}"}
    with httpx.Client(headers=headers, timeout=20) as client:
        CLIENTS[gateway.url] = client
        yield gateway


def declared(route: APIRoute) -> Iterator[tuple[str, Any]]:
    """The route's query parameters with their types."""
    for each in route.dependant.query_params:
        yield each.alias, each.field_info.annotation


def told(got: httpx.Response) -> str:
    """What the error says."""
    body = got.json()
    return str(body["error"]["message"] if "error" in body else body["detail"])


NOT_SET_UP = 503
"""Of what nobody set up for these tests: there is no Stripe here."""


def is_fine(route: APIRoute, got: httpx.Response) -> bool:
    """Answered, or refused in words."""
    if got.status_code == MODELZ_AWAY and route.path.startswith("/modelz"):
        return True
    if got.status_code == NOT_SET_UP and got.json()["code"] in ("payments_off", "webhooks_off"):
        return True
    return got.status_code in (200, 304) or (400 <= got.status_code < 500 and bool(told(got)))


def test_hostile_parameters_are_refused_in_words(asked: RunningGateway) -> None:
    """No text, no number, too long, too great, unknown: never a 500 (rule: refuse clearly,
    rule: bounded).
    """
    assert len(ROUTES) >= 15
    for route in ROUTES:
        path, names = path_of(route), dict(declared(route))
        for name, kind in names.items():
            numeric = "int" in str(kind)
            for value in NO_TEXT:
                got = ask(asked, route, path, f"{name}={value}")
                assert 400 <= got.status_code < 500, (route.path, name, value, got.text)
                assert told(got)
            for value in NO_NUMBERS if numeric else (*WORDS, *NO_NUMBERS[-2:]):
                escaped = value if "%" in value else quote(value)
                got = ask(asked, route, path, f"{name}={escaped}")
                assert is_fine(route, got), (route.path, name, value, got.text)
        for unknown in ("from=2026-01-01", "limits=1", "%00=1", "__proto__=x"):
            if unknown.partition("=")[0] in names:
                continue
            got = ask(asked, route, path, unknown)
            assert got.status_code == 400, (route.path, unknown, got.text)
            assert "There is no parameter" in told(got)
        if "{" in route.path:
            for value in (*NO_TEXT, *map(quote, WORDS)):
                got = ask(asked, route, path_of(route, value), "")
                assert is_fine(route, got), (route.path, value, got.text)


def test_pages_end_somewhere(asked: RunningGateway) -> None:
    """An offset beyond the maximum is refused, and named (rule: bounded)."""
    for route in ROUTES:
        if "offset" in dict(declared(route)):
            got = ask(asked, route, path_of(route), f"offset={10**18}")
            assert got.status_code in (400, 404, 422), route.path
            if got.status_code != 404:
                assert "offset" in told(got)


def test_what_older_clients_send_is_taken(asked: RunningGateway) -> None:
    """They need not know that it means nothing here (rule: contract)."""
    paths = {route.path: route for route in ROUTES}
    for path, names in IGNORED.items():
        route = paths[path]
        for name in names:
            got = ask(
                asked,
                route,
                path_of(route, "local"),
                f"{name}=true&time_range=24h" if path.endswith("stats") else f"{name}=true",
            )
            assert "There is no parameter" not in got.text


def test_so_many_and_no_more(asked: RunningGateway) -> None:
    """Repeated ones count, too (rule: bounded)."""
    route = next(each for each in ROUTES if each.path == "/models/batch-compare")
    query = "&".join(["model_ids=m"] * (PARAMETERS_MAX + 1))
    assert ask(asked, route, route.path, query).status_code == 400


def test_inference_routes_ignore_them(asked: RunningGateway) -> None:
    """As OpenAI's clients expect (rule: contract)."""
    got = CLIENTS[asked.url].post(
        f"{asked.url}/v1/chat/completions?session_id=1&api-version=x&%00=%00",
        json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    )
    assert got.status_code == 200
