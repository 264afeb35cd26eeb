"""How providers and models are doing, as callers see it, and what admins do about it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.admins import new_admin, told
from tests.support.harness import completion, eventually, reply, running_gateway
from tests.support.outages import away

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

OTHER = """
[[provider]]
name = "huggingface"
base_url = "{base_url}"
api_key = "k"
[[provider]]
name = "second"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "m"
input_per_million = "1"
output_per_million = "2"
"""
READS = (
    *("/health/system", "/health/providers", "/health/models", "/health/model/m"),
    *("/health/provider/local", "/health/summary", "/health/uptime", "/health/dashboard"),
    *("/health/status", "/health/monitoring/status", "/availability/models"),
    *("/availability/model/m", "/availability/check/m", "/availability/fallback/m"),
    *("/availability/best/m", "/availability/summary", "/availability/status"),
)
COMMANDS = (
    ("POST", "/health/check"),
    ("POST", "/health/check/now"),
    ("POST", "/health/monitoring/stop"),
    ("POST", "/health/monitoring/start"),
    ("POST", "/availability/monitoring/stop"),
    ("POST", "/availability/monitoring/start"),
    ("POST", "/availability/maintenance/free"),
    ("DELETE", "/availability/maintenance/free"),
)
MAINTENANCE = "/availability/maintenance"


class Provider:
    """An upstream whose list and completions a test changes."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        """It lists one model, and answers."""
        self.list: bytes = json.dumps({"data": [{"id": "org/a"}]}).encode()
        self.list_status = self.status = 200
        upstream.answer = self.answer

    def answer(self, connection: socket.socket, request: Request) -> None:
        """A list for a GET, a completion for a POST."""
        if request.method == "POST":
            reply(connection, completion(), status=self.status)
        else:
            reply(connection, self.list, status=self.list_status)


@pytest.fixture
def provider(upstream: ScriptedUpstream) -> Provider:
    """The upstream of all providers here."""
    return Provider(upstream)


@pytest.fixture
def serving(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, provider: Provider
) -> Iterator[RunningGateway]:
    """A gateway where two providers offer `m`, and Hugging Face has a list."""
    del provider
    text = OTHER.format(base_url=upstream.base_url)
    with running_gateway(
        *(database, tmp_path / "home", upstream), providers=text, health_check_timeout_s=1.0
    ) as gateway:
        yield gateway


@pytest.fixture
def admin(serving: RunningGateway) -> NewUser:
    """An admin with credits."""
    return new_admin(serving, 10**10)


def do(
    serving: RunningGateway, by: NewUser, method: str, path: str, **parameters: Any
) -> httpx.Response:
    """What a command gets."""
    with serving.client(by) as client:
        return client.request(method, path, params=parameters)


def get(serving: RunningGateway, by: NewUser, path: str, **parameters: Any) -> httpx.Response:
    """What a read gets."""
    return do(serving, by, "GET", path, **parameters)


def later(**span: int) -> str:
    """An instant to come."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat().replace("+00:00", "Z")


def lines(serving: RunningGateway, by: NewUser, path: str, **asked: Any) -> list[dict[str, Any]]:
    """The lines of a list."""
    answer = get(serving, by, path, **asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_a_key_reads_and_an_admin_acts(serving: RunningGateway, admin: NewUser) -> None:
    """Each route; GET /health stays open, and the others' paths stay theirs (rule: access)."""
    user = serving.user()
    for path in READS:
        assert httpx.get(serving.url + path).status_code == 401, path
        assert get(serving, user, path).status_code == 200, path
    for method, path in COMMANDS:
        assert httpx.request(method, serving.url + path).status_code == 401, path
        assert told(do(serving, user, method, path)) == (403, "forbidden"), path
        answer = do(serving, admin, method, path)
        assert answer.status_code == 200, answer.text
    assert httpx.get(f"{serving.url}/health").json() == {"status": "healthy"}
    assert get(serving, admin, "/health/gateways").json()["summary"]["total_gateways"] > 2
    assert get(serving, admin, "/health/local").json()["gateway"] == "local"
    assert get(serving, admin, "/health/optimizations").json()["status"] == "healthy"


def test_what_was_tried_is_told(
    serving: RunningGateway, admin: NewUser, provider: Provider
) -> None:
    """Of the log, not of guesses: unknown, then healthy, then unhealthy (rule: contract)."""

    def line() -> dict[str, Any]:
        (found,) = lines(serving, admin, "/health/models", gateway="local", limit=1)
        return found

    first = lines(serving, admin, "/health/models", gateway="local")
    assert {each["status"] for each in first} == {"unknown"}
    assert {each["success_rate"] for each in first} == {None}
    assert lines(serving, admin, "/health/providers", gateway="local")[0]["status"] == "unknown"
    assert serving.chat(admin, {}).status_code == 200
    eventually(lambda: line()["total_requests"] == 1)
    found = line()
    assert (found["model_id"], found["gateway"], found["status"]) == ("m", "local", "healthy")
    assert (found["success_rate"], found["error_count"], found["uptime_percentage"]) == (
        *(100.0, 0),
        100.0,
    )
    assert found["last_success"] and not found["last_failure"]
    system = get(serving, admin, "/health/system").json()
    assert (system["overall_status"], system["healthy_providers"]) == ("healthy", 1)
    provider.status = 500
    for _ in range(2):
        assert serving.chat(admin, {}).status_code >= 500
    provider.status = 400
    assert serving.chat(admin, {}).status_code == 400
    eventually(lambda: line()["error_count"] == 2)
    found = line()
    assert found["total_requests"] == 3, "a caller's mistake says nothing of the provider"
    assert (found["status"], found["success_rate"]) == ("unhealthy", 33.33)
    assert found["error_message"]
    assert found["last_failure"]
    assert line() in lines(serving, admin, "/health/models", status="unhealthy")
    one = get(serving, admin, "/health/model/local/m").json()
    assert one["status"] == "unhealthy"
    uptime = get(serving, admin, "/health/uptime").json()
    assert (uptime["total_requests"], uptime["failed_requests"]) == (3, 2)
    assert uptime["error_rate"] == pytest.approx(66.67)
    (line_,) = lines(serving, admin, "/health/providers", gateway="local")
    assert (line_["status"], line_["unhealthy_models"]) == ("offline", 1)
    check = get(serving, admin, "/availability/check/m").json()
    assert (check["available"], check["status"], check["gateway"]) == (True, "unknown", "second")
    pinned = get(serving, admin, "/availability/check/m", gateway="local").json()
    assert (pinned["available"], pinned["status"]) == (False, "unavailable")
    fallback = get(serving, admin, "/availability/fallback/m", gateway="local").json()
    assert fallback == {
        "primary_model": "m",
        "fallback_models": ["second/m"],
        "best_available": "second/m",
    }


def test_nothing_is_sent_where_maintenance_is(
    serving: RunningGateway, admin: NewUser, upstream: ScriptedUpstream
) -> None:
    """Others are asked; a call that names only it is refused until the end (rule: routing, P10)."""
    until = later(minutes=5)
    answer = do(serving, admin, "POST", f"{MAINTENANCE}/m", gateway="local", until=until)
    assert answer.status_code == 200, answer.text
    assert [each["gateway"] for each in answer.json()["maintenance"]] == ["local"]
    events = serving.events()
    again = do(serving, admin, "POST", f"{MAINTENANCE}/m", gateway="local", until=until)
    assert (again.status_code, serving.events()) == (200, events), "the same is nothing"
    assert serving.chat(admin, {"model": "m"}).headers["x-gatewayz-provider"] == "second"
    before = len(upstream.requests)
    refused = serving.chat(admin, {"model": "local/m"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_in_maintenance")
    assert 240 < int(refused.headers["retry-after"]) <= 300
    with serving.client(admin) as client:
        messages = client.post(
            "/v1/messages",
            json={
                "model": "local/m",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "Hi"}],
            },
        )
    assert (messages.status_code, messages.json()["type"]) == (503, "error")
    assert messages.headers["retry-after"]
    only = serving.chat(admin, {"model": "m", "provider": {"only": ["local"]}})
    assert (only.status_code, only.json()["error"]["code"]) == (503, "model_in_maintenance")
    assert len(upstream.requests) == before
    other = serving.chat(admin, {"model": "local/m", "models": ["second/m"]})
    assert other.headers["x-gatewayz-provider"] == "second"
    assert serving.chat(admin, {"model": "local/free"}).status_code == 200
    found = get(serving, admin, "/availability/check/m", gateway="local").json()
    assert (found["status"], found["available"]) == ("maintenance", False)
    assert found["maintenance_until"][:19] == until[:19]
    assert do(serving, admin, "DELETE", f"{MAINTENANCE}/m").status_code == 200
    assert serving.chat(admin, {"model": "local/m"}).status_code == 200
    assert told(do(serving, admin, "DELETE", f"{MAINTENANCE}/m")) == (404, "no_maintenance")
    actions = [
        each["action"] for each in get(serving, admin, "/audit", user_id="all").json()["logs"]
    ]
    assert {"maintenance.set", "maintenance.cleared"} <= {*actions}
    serving.verified()


def test_a_whole_provider_and_an_end_by_itself(
    serving: RunningGateway, admin: NewUser, database: Database
) -> None:
    """Every model of it; the window ends without anybody, on every gateway (rule: routing)."""
    answer = do(serving, admin, "POST", f"{MAINTENANCE}/*", gateway="local", until=later(seconds=3))
    assert answer.status_code == 200, answer.text
    assert serving.chat(admin, {"model": "local/free"}).status_code == 503
    (line,) = lines(serving, admin, "/health/providers", gateway="local")
    assert (line["status"], bool(line["maintenance_until"])) == ("maintenance", True)
    shown = get(serving, admin, "/availability/status").json()["maintenance"]
    assert [(each["gateway"], each["model_id"]) for each in shown] == [("local", None)]
    eventually(lambda: serving.chat(admin, {"model": "local/free"}).status_code == 200)
    assert told(do(serving, admin, "DELETE", f"{MAINTENANCE}/*", gateway="local")) == (
        *(404,),
        "no_maintenance",
    )
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE topic LIKE 'maintenance.%'"
        ).fetchone()
    assert row == (1,)


def test_another_gateway_hears_of_it(
    serving: RunningGateway,
    admin: NewUser,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    server: Database,
) -> None:
    """Within seconds; what needs the database says that it is away, and comes back (P12)."""
    text = OTHER.format(base_url=upstream.base_url)
    with running_gateway(serving.database, tmp_path / "other", upstream, providers=text) as other:
        assert other.chat(admin, {}).status_code == 200
        do(serving, admin, "POST", f"{MAINTENANCE}/m", gateway="local", until=later(hours=1))
        eventually(lambda: other.chat(admin, {}).status_code == 503, 4.0)
        with away(serving.database, server):
            for path in ("/health/system", "/availability/check/m"):
                answer = get(other, admin, path)
                assert told(answer) == (503, "ledger_unavailable"), path
                assert answer.headers["retry-after"]
        eventually(lambda: get(other, admin, "/health/system").status_code == 200)
        do(serving, admin, "DELETE", f"{MAINTENANCE}/m", gateway="local")
        eventually(lambda: other.chat(admin, {}).status_code == 200)


@pytest.mark.parametrize(
    "until",
    ["2020-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "2099-01-01T00:00:00", "soon", "", "9" * 4000],
)
def test_an_end_that_cannot_be_is_refused(
    serving: RunningGateway, admin: NewUser, until: str
) -> None:
    """Past, far, without a zone, no instant, endless; nothing is set (rule: refuse clearly)."""
    answer = do(serving, admin, "POST", f"{MAINTENANCE}/m", until=until)
    assert told(answer) == (400, "invalid_value")
    assert len(answer.content) < 500
    assert get(serving, admin, "/availability/status").json()["maintenance"] == []


def test_what_there_is_not_is_refused(serving: RunningGateway, admin: NewUser) -> None:
    """Models and gateways nobody knows, pages that cannot be (rule: refuse clearly)."""
    for path in ("/health/model/nope", "/availability/check/nope", f"{MAINTENANCE}/nope"):
        method = "POST" if path.startswith(MAINTENANCE) else "GET"
        assert told(do(serving, admin, method, path)) == (404, "model_not_found"), path
    assert told(get(serving, admin, "/health/provider/nope")) == (404, "unknown_gateway")
    for path in ("/health/models", "/health/providers", "/availability/models"):
        assert told(get(serving, admin, path, gateway="nope")) == (400, "unknown_gateway"), path
    assert told(do(serving, admin, "POST", f"{MAINTENANCE}/*")) == (400, "unknown_gateway")
    wrong = do(serving, admin, "POST", f"{MAINTENANCE}/m", gateway="huggingface")
    assert told(wrong) == (404, "model_not_found")
    assert told(do(serving, admin, "POST", f"{MAINTENANCE}/{'x' * 300}"))[0] == 400
    assert told(do(serving, admin, "POST", f"{MAINTENANCE}/m", reason="x" * 201))[0] == 400
    assert get(serving, admin, "/health/models", limit=1_001).status_code == 422
    assert get(serving, admin, "/health/models", status="fine").status_code == 422
    with serving.client(admin) as client:
        bodies: list[Any] = [
            {"models": ["x"] * 101},
            {"providers": "all"},
            {"gateways": ["nope"]},
            [],
        ]
        for body in bodies:
            assert client.post("/health/check", json=body).status_code == 400, body


def test_two_admins_at_once(serving: RunningGateway, admin: NewUser) -> None:
    """Set and cleared by many at the same time: all are answered, and the log is whole (P7)."""

    def act(number: int) -> int:
        if number % 3 == 2:
            return do(serving, admin, "DELETE", f"{MAINTENANCE}/m").status_code
        until = later(minutes=5 + number)
        return do(serving, admin, "POST", f"{MAINTENANCE}/m", until=until).status_code

    with ThreadPoolExecutor(6) as threads:
        assert {*threads.map(act, range(18))} <= {200, 404}
    serving.verified()


def test_the_monitor_is_switched_for_all(serving: RunningGateway, admin: NewUser) -> None:
    """By either pair of routes; twice is once, and the audit knows who (rule: contract)."""
    path = "/health/monitoring/status"
    assert get(serving, admin, path).json()["monitoring_active"] is True
    events = serving.events()
    for each in ("/health/monitoring/stop", "/availability/monitoring/stop"):
        assert do(serving, admin, "POST", each).json()["monitoring_active"] is False
    assert serving.events() == events + 1
    found = get(serving, admin, path).json()
    assert (found["monitoring_active"], found["next_check"]) == (False, None)
    assert do(serving, admin, "POST", "/availability/monitoring/start").status_code == 200
    assert get(serving, admin, path).json()["monitoring_active"] is True
    serving.verified()


def test_a_check_tells_what_it_found(
    serving: RunningGateway, admin: NewUser, provider: Provider, upstream: ScriptedUpstream
) -> None:
    """By the list alone; a fresh one is not made again, unless forced (P10, rule: bounded)."""

    def check(path: str = "/health/check", **body: Any) -> dict[str, Any]:
        with serving.client(admin) as client:
            answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    found = check(gateways=["huggingface"])
    (one,) = found["checks"]
    assert (one["provider"], one["success"], one["models"]) == ("huggingface", True, 1)
    assert all(each.method == "GET" for each in upstream.requests)
    (line,) = lines(serving, admin, "/health/providers", gateway="huggingface")
    assert line["status"] == "online"
    before = len(upstream.requests)
    assert check(gateways=["huggingface"])["checks"] == [one]
    assert len(upstream.requests) == before
    assert check(models=["local/m"])["not_checked"] == ["local"]
    provider.list_status = 503
    (one,) = check("/health/check/now")["checks"]
    assert (one["success"], one["error_message"]) == (False, "status_503")
    (line,) = lines(serving, admin, "/health/providers", gateway="huggingface")
    assert (line["status"], line["error_message"]) == ("offline", "status_503")
    status = get(serving, admin, "/health/monitoring/status").json()
    assert [each["provider"] for each in status["checks"]] == ["huggingface"]
