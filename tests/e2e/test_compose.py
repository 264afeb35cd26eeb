"""The full system as docker-compose.yml starts it: its commands and environment, as processes."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from openai import OpenAI

from command_api.processes.spawning import STOP_MARGIN_S
from command_api.settings import Settings
from event_store.postgres.embedded import EmbeddedPostgres
from tests.support.harness import eventually
from tests.support.processes import TIMEOUT_S, free_port, gatewayz
from tests.support.streams import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OURS = ("gateway-1", "gateway-2", "relay", "worker-1", "worker-2")
SERVERS = ("postgres", "kafka", "redis")


def compose() -> dict[str, Any]:
    """The services of the file."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


class Stack:
    """The services of the compose file as local processes."""

    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        """`servers` say where PostgreSQL, Kafka and Redis really are."""
        self.folder, self.servers, self.services = folder, servers, compose()
        self.ports: dict[str, int] = {}
        self.programs: dict[str, Program] = {}

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment, with the servers' real addresses and a home of its own."""
        values = {key: str(value) for key, value in self.services[name]["environment"].items()}
        values["GATEWAYZ_SECRET_FILE"] = str(self.folder / "key")
        values["GATEWAYZ_DATABASE_URL"] = self.servers["postgres"]
        values["GATEWAYZ_REDIS_URL"] = self.servers["redis"]
        values["GATEWAYZ_KAFKA_BOOTSTRAP"] = self.servers["kafka"]
        values["GATEWAYZ_HOME"] = str(self.folder / name)
        return values

    def start(self, name: str) -> None:
        """Start one of our services with its own command, on a free port."""
        port = self.ports[name] = free_port()
        command = [*self.services[name]["command"]]
        assert command[0] == "gatewayz"
        command[command.index("--port") + 1] = str(port)
        self.programs[name] = Program(
            self.folder / f"{name}.log", *command[1:], environment=self.environment(name)
        )

    def url(self, name: str, path: str) -> str:
        """Of a service's port."""
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def healthy(self, name: str) -> bool:
        """What the service's health check asks: its command names port and path."""
        asked = re.search(
            r"http://127.0.0.1:(\d+)(/\w+)", self.services[name]["healthcheck"]["test"][-1]
        )
        assert asked
        assert asked[1] == self.services[name]["command"][-1]
        try:
            return httpx.get(self.url(name, asked[2]), timeout=TIMEOUT_S).status_code == 200
        except httpx.TransportError:
            program = self.programs[name]
            assert program.process.poll() is None, program.log.read_text()[-4000:]
            return False

    def verb(self, *arguments: str) -> Any:
        """A verb of the command line beside the first gateway, as `docker compose exec` runs it."""
        environment: dict[str, Any] = self.environment("gateway-1")
        return gatewayz(self.folder / "gateway-1", *arguments, **environment)

    def stop(self) -> None:
        """In the reverse order of their start."""
        for program in reversed(self.programs.values()):
            program.stop()


@pytest.fixture
def stack(tmp_path: Path, kafka: str, empty_redis: str) -> Iterator[Stack]:
    """Everything that the file starts, healthy."""
    home = tmp_path / "postgres"
    home.mkdir(mode=0o700)
    with ExitStack() as defer:
        database = defer.enter_context(EmbeddedPostgres(home).running())
        made = Stack(tmp_path, {"postgres": database.owner, "kafka": kafka, "redis": empty_redis})
        defer.callback(made.stop)
        migrate = made.services["migrate"]["command"]
        assert migrate == ["gatewayz", "migrate"]
        made.verb("migrate")
        for name in OURS:
            made.start(name)
        for name in OURS:
            eventually(partial(made.healthy, name), TIMEOUT_S)
        yield made


def test_the_file_says_what_it_must() -> None:
    """Gateways, relay, workers and servers, each with a health check (rule: two commands)."""
    services = compose()
    assert set(services) == {*OURS, *SERVERS, "migrate"}
    for name in (*OURS, *SERVERS):
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped"
    for name in OURS:
        given_s = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert given_s > Settings().server.shutdown_grace_s + STOP_MARGIN_S
    urls = {
        each: urlsplit(services["gateway-1"]["environment"][each])
        for each in ("GATEWAYZ_DATABASE_URL", "GATEWAYZ_REDIS_URL")
    }
    assert {url.hostname for url in urls.values()} == {"postgres", "redis"}
    assert re.search(r"^COPY \. \.$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    left_out = set((ROOT / ".dockerignore").read_text().split())
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert not packages & left_out, "the image has every package"


@pytest.mark.timeout(300)
def test_calls_through_both_gateways_reach_the_read_models(stack: Stack) -> None:
    """Balances, rankings and usage come over Kafka, whichever served (P8, rule: two commands)."""
    made = stack.verb("user", "create", "--email", "a@example.com", "--grant", "5")
    calls = 0
    for name in ("gateway-1", "gateway-2"):
        client = OpenAI(
            api_key=made["api_key"],
            base_url=stack.url(name, "/v1"),
            default_headers={"HTTP-Referer": "https://app.example.com/chat"},
        )
        for turn in range(10):
            answer = client.chat.completions.create(
                model="simulator/echo", messages=[{"role": "user", "content": f"Hello {turn}"}]
            )
            assert answer.choices[0].message.content
            calls += 1
        client.close()
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    seen = [
        httpx.get(stack.url(name, "/user/balance"), headers=headers, timeout=TIMEOUT_S).json()
        for name in ("gateway-1", "gateway-2")
    ]
    assert seen[0]["credits"] == seen[1]["credits"] < 5
    until = time.monotonic() + TIMEOUT_S
    while any(each["lag_events"] for each in stack.verb("projections", "list")):
        assert time.monotonic() < until
    listed = {each["name"]: each for each in stack.verb("projections", "list")}
    assert {each["host"] for each in listed.values()} == {"workers"}
    partitions = int(stack.environment("migrate")["GATEWAYZ_KAFKA_PARTITIONS"])
    assert {each["partitions"] for each in listed.values()} == {partitions}
    assert listed["model_rankings"]["sink"] == "redis"
    assert stack.verb("ledger", "verify")["ok"] is True
    verified = stack.verb("projections", "verify", "all")
    assert verified["ok"] is True
    rows = {t["table"]: t["rows"] for each in verified["projections"] for t in each["tables"]}
    assert rows["read_credit_statement"] == 1 + calls, "the grant, and each charge"
    assert rows["read_app_day"] == rows["read_model_day"] == 1
    assert stack.verb("projections", "rebuild", "model_rankings")["version"] == 2
    assert stack.verb("projections", "verify", "model_rankings")["ok"] is True
