"""Lists, circuits, kept replies and connections, as admins see them; and who does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.admins import ask, new_admin, told
from tests.support.harness import completion, eventually, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

LIST = """
[[provider]]
name = "{name}"
base_url = "{base_url}"
api_key = "k"
"""
READS = (
    "/cache/status",
    "/cache/modelz/status",
    "/health/gateways",
    "/health/gateways/dashboard",
    "/health/gateways/dashboard/data",
    "/health/optimizations",
    "/health/optimizations/connection-pools",
    "/health/optimizations/cache",
    "/health/optimizations/prioritization",
    "/health/local",
    "/admin/cache-status",
    "/admin/huggingface-cache-status",
    "/admin/test-huggingface/org/a",
    "/admin/debug-models",
)
COMMANDS = (
    ("POST", "/cache/refresh/huggingface"),
    ("POST", "/cache/clear"),
    ("POST", "/cache/modelz/refresh"),
    ("DELETE", "/cache/modelz/clear"),
    ("POST", "/health/gateways/local/fix"),
    ("POST", "/health/optimizations/cache/clear"),
    ("POST", "/admin/refresh-providers"),
    ("POST", "/admin/refresh-huggingface-cache"),
)


class Provider:
    """An upstream with a list of models and answers that a test changes."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        """It lists one model, and answers."""
        self.data: list[dict[str, Any]] | None = [
            {
                "id": "org/a",
                "providers": [{"provider": "x", "pricing": {"input": 1, "output": 2}}],
            }
        ]
        self.asked, self.status = 0, 200
        upstream.answer = self.answer

    def answer(self, connection: socket.socket, request: Request) -> None:
        """A list for a GET, a completion for a POST."""
        if request.method == "POST":
            reply(connection, completion(), status=self.status)
            return
        self.asked += 1
        if self.data is None:
            reply(connection, b"down", status=503)
        else:
            reply(connection, json.dumps({"data": self.data}).encode())


@pytest.fixture
def provider(upstream: ScriptedUpstream) -> Provider:
    """The upstream of all providers here."""
    return Provider(upstream)


@pytest.fixture
def serving(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunningGateway]:
    """A gateway with a provider of its own, and Hugging Face and Modelz played by the upstream."""
    del provider
    monkeypatch.setenv("MODELZ_BASE_URL", upstream.base_url)
    text = LIST.format(name="huggingface", base_url=upstream.base_url)
    with running_gateway(
        *(database, tmp_path / "home", upstream),
        providers=text,
        model_list_interval_s=3_600,
        response_cache_s=60.0,
        breaker_failures=2,
    ) as gateway:
        yield gateway


@pytest.fixture
def admin(serving: RunningGateway) -> NewUser:
    """An admin, once the list is there."""
    made = new_admin(serving)
    eventually(lambda: state(serving, made)["last_refresh"])
    return made


def state(gateway: RunningGateway, by: NewUser, name: str = "huggingface") -> dict[str, Any]:
    """What is told of a provider's list."""
    found: dict[str, Any] = ask(gateway, by, "/cache/status").json()["data"][name]
    return found


def do(
    serving: RunningGateway, by: NewUser, method: str, path: str, **parameters: Any
) -> httpx.Response:
    """What a command gets."""
    with serving.client(by) as client:
        return client.request(method, path, params=parameters)


def test_only_admins_see_the_machinery(serving: RunningGateway, admin: NewUser) -> None:
    """Each route; GET /health stays open (rule: access)."""
    user = serving.user()
    for method, path in (*(("GET", each) for each in READS), *COMMANDS):
        assert told(do(serving, user, method, path)) == (403, "forbidden"), path
        assert httpx.request(method, serving.url + path).status_code == 401, path
        assert do(serving, admin, method, path).status_code == 200, path
    assert httpx.get(f"{serving.url}/health").json() == {"status": "healthy"}


def test_a_list_is_fetched_anew_when_it_is_asked_for(
    serving: RunningGateway, admin: NewUser, provider: Provider
) -> None:
    """By force, or after the shared one was forgotten; a failure is told (rule: contract, P10)."""
    before = provider.asked
    assert state(serving, admin)["models_cached"] == 1
    assert do(serving, admin, "POST", "/cache/refresh/huggingface").status_code == 200
    assert provider.asked == before, "another gateway's list of this hour is as good"
    provider.data = [*(provider.data or []), {"id": "org/b"}]
    got = do(serving, admin, "POST", "/cache/refresh/hug", force=True)
    assert got.json()["gateway"] == "huggingface"
    assert provider.asked == before + 1
    assert state(serving, admin)["models_unpriced"] == 1
    assert do(serving, admin, "POST", "/cache/clear", gateway="huggingface").json()["cleared"] == 1
    assert do(serving, admin, "POST", "/admin/refresh-providers").json()["failed"] == []
    assert provider.asked == before + 2
    provider.data = None
    got = do(serving, admin, "POST", "/admin/refresh-huggingface-cache")
    assert told(got) == (503, "list_unavailable")
    shown = state(serving, admin)
    assert (shown["models_cached"], shown["last_fetch_failed"]) == (1, True)
    for path, expected in (
        ("/cache/refresh/local", (400, "no_model_list")),
        ("/cache/refresh/nobody", (400, "unknown_gateway")),
        ("/cache/refresh/" + "x" * 900, (400, "unknown_gateway")),
        ("/health/gateways/nobody/fix", (400, "unknown_gateway")),
    ):
        assert told(do(serving, admin, "POST", path)) == expected


def test_circuits_are_shown_and_closed(
    serving: RunningGateway, admin: NewUser, provider: Provider
) -> None:
    """A provider that fails is no longer healthy; fixed, it is tried again (rule: observable)."""
    user = serving.user()
    assert serving.chat(user, {}).status_code == 200
    found = ask(serving, admin, "/health/local").json()
    assert (found["status"], found["available"], found["error"]) == ("healthy", True, None)
    assert found["latency_ms"] is not None
    provider.status = 500
    for number in range(2):
        serving.chat(user, {"temperature": number / 10})
    found = ask(serving, admin, "/health/local").json()
    assert (found["status"], found["circuits"]["open"]) == ("error", 1)
    gateways = ask(serving, admin, "/health/gateways").json()
    assert gateways["data"]["local"]["status"] == "error"
    assert gateways["data"]["openai"]["status"] == "unconfigured"
    summary = gateways["summary"]
    configured = summary["healthy"] + summary["unhealthy"]
    assert summary["unhealthy"] == 1
    assert summary["overall_health_percentage"] == summary["healthy"] * 100 // configured
    assert configured + summary["unconfigured"] == summary["total_gateways"]
    assert summary["total_gateways"] == len(gateways["data"])
    page = ask(serving, admin, "/health/gateways/dashboard")
    assert "<td>local</td><td>error</td>" in page.text
    assert page.headers["content-type"].startswith("text/html")
    fixed = do(serving, admin, "POST", "/health/gateways/local/fix", auto_fix=True).json()
    assert fixed["circuits_closed"] >= 1
    assert fixed["health"]["status"] == "healthy"
    provider.status = 200
    assert serving.chat(user, {"temperature": 0.9}).status_code == 200
    assert told(ask(serving, admin, "/health/nobody")) == (404, "unknown_gateway")
    assert ask(serving, admin, "/health/openai").json()["status"] == "unconfigured"


def test_kept_replies_are_counted_and_forgotten(
    serving: RunningGateway, admin: NewUser, upstream: ScriptedUpstream
) -> None:
    """After that the same call is made and charged again (rule: contract)."""
    user = serving.user()
    for _ in range(3):
        assert serving.chat(user, {}).status_code == 200
    found = ask(serving, admin, "/health/optimizations").json()
    kept = found["response_cache"]
    assert (kept["enabled"], kept["hits"], kept["misses"], kept["sets"]) == (True, 2, 1, 1)
    assert kept["hit_rate_percent"] == 66
    assert found["connection_pools"]["connections_open"] >= 1
    assert found["request_prioritization"]["enabled"] is True
    made = sum(each.method == "POST" for each in upstream.requests)
    assert do(serving, admin, "POST", "/health/optimizations/cache/clear").json()["cleared"] == 1
    assert serving.chat(user, {}).headers["x-gatewayz-cache"] == "miss"
    assert sum(each.method == "POST" for each in upstream.requests) == made + 1


def test_a_model_of_hugging_face_is_looked_up(serving: RunningGateway, admin: NewUser) -> None:
    """As its list has it; what it has not is told (rule: contract)."""
    found = ask(serving, admin, "/admin/test-huggingface/org/a").json()
    assert (found["success"], found["offered"], found["data"]["id"]) == (True, True, "org/a")
    assert told(ask(serving, admin, "/admin/test-huggingface/org/none")) == (404, "model_not_found")
    models = ask(serving, admin, "/admin/debug-models").json()
    assert models["providers"]["huggingface"]["sample"][0].startswith("org/a")
    assert models["providers"]["local"]["models_of_file"] == 3


def test_modelz_is_kept_fetched_and_forgotten(
    serving: RunningGateway, admin: NewUser, provider: Provider
) -> None:
    """A failure leaves what was kept, and is told (rule: contract)."""

    def shown() -> tuple[str, int]:
        found = ask(serving, admin, "/cache/modelz/status").json()["data"]
        return found["status"], found["tokens_cached"]

    assert shown() == ("empty", 0)
    assert do(serving, admin, "POST", "/cache/modelz/refresh").status_code == 200
    assert shown() == ("healthy", 1)
    provider.data = None
    got = do(serving, admin, "POST", "/cache/modelz/refresh")
    assert told(got) == (503, "modelz_unavailable")
    assert shown() == ("healthy", 1)
    assert do(serving, admin, "DELETE", "/cache/modelz/clear").json()["cleared"] == 1
    assert shown() == ("empty", 0)


def test_without_hugging_face_it_is_told(gateway: RunningGateway) -> None:
    """It is not configured here (rule: refuse clearly)."""
    admin = new_admin(gateway)
    for path in ("/admin/huggingface-cache-status", "/admin/test-huggingface/x"):
        assert told(ask(gateway, admin, path)) == (400, "unknown_gateway")


def test_no_route_below_health_is_shadowed(gateway: RunningGateway) -> None:
    """The one that takes any name stands behind all others (rule: contract)."""
    admin = new_admin(gateway)
    with gateway.client(admin) as client:
        paths = client.get("/openapi.json").json()["paths"]
    below = [path for path in paths if path.startswith("/health/")]
    assert below[-1] == "/health/{gateway}"
    for path in below:
        if "{" not in path and "get" in paths[path]:
            assert "unknown_gateway" not in ask(gateway, admin, path).text


FIELDS = {
    "/cache/status": {"success", "data"},
    "/cache/modelz/status": {"success", "data"},
    "/health/gateways": {"success", "data", "summary", "timestamp"},
    "/health/gateways/dashboard/data": {"success", "data", "summary", "timestamp"},
    "/health/local": {"status", "latency_ms", "available", "last_check", "error"},
    "/health/optimizations": {
        *("status", "connection_pools", "response_cache", "request_prioritization"),
    },
    "/health/optimizations/connection-pools": {
        *("sync_clients", "async_clients", "total_clients", "providers"),
    },
    "/health/optimizations/cache": {
        *("hits", "misses", "sets", "evictions", "hit_rate_percent", "memory_cache_size"),
        "redis_connected",
    },
    "/health/optimizations/prioritization": {"enabled", "waiting", "shed"},
}
"""What clients of the original's routes read."""


def test_each_route_has_the_fields_that_its_clients_read(
    serving: RunningGateway, admin: NewUser
) -> None:
    """And the connections of each provider are told (rule: contract, rule: observable)."""
    assert serving.chat(serving.user(), {}).status_code == 200
    for path, names in FIELDS.items():
        assert names <= ask(serving, admin, path).json().keys(), path
    gateways = ask(
        serving, admin, "/health/gateways/dashboard/data?auto_fix=true&include_logs=true"
    ).json()
    for each in gateways["data"].values():
        assert {"status", "latency_ms", "available", "last_check", "error"} <= each.keys()
    assert gateways["summary"].keys() == {
        *("total_gateways", "healthy", "degraded", "unhealthy", "unconfigured"),
        "overall_health_percentage",
    }
    pools = ask(serving, admin, "/health/optimizations").json()["connection_pools"]
    local = pools["providers"]["local"]
    assert (local["opened"], local["in_use"], local["waited"]) == (1, 0, 0)
    assert sum(local["closed"].values()) == local["opened"] - local["open"]
    assert (local["calls"]["in_flight"], local["calls"]["limit"]) == (0, 5_000)
    metrics = httpx.get(f"{serving.url}/metrics", timeout=20).text
    assert 'gatewayz_provider_connections_opened_total{provider="local"} 1.0' in metrics
