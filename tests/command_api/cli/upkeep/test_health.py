"""Health and maintenance from a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from projections.hosting.verify import verify
from tests.command_api.cli.people.test_roles import Shell
from tests.support.harness import reply

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

WHY = ("--reason", "a new machine")
FILE = """
[[provider]]
name = "openrouter"
base_url = "{base_url}"
api_key = "k"
[[provider]]
name = "local"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "m"
input_per_million = "1"
output_per_million = "2"
"""


@pytest.fixture
def shell(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Shell:
    """With a provider of its own, and one that has a list."""
    made = Shell(database, tmp_path)
    file = tmp_path / "providers.toml"
    file.write_text(FILE.format(base_url=upstream.base_url))
    made.environment["GATEWAYZ_PROVIDERS_FILE"] = str(file)
    made.run("user", "create", "--email", "ann@example.com")
    return made


def test_an_operator_sets_and_clears_maintenance(shell: Shell, database: Database) -> None:
    """Of a model, of a provider; listed, moved, cleared, and told in the audit (rule: contract)."""
    (made,) = shell.told("health", "maintenance", "set", "local", "--model", "m", *WHY)
    assert (made["gateway"], made["model_id"]) == ("local", "m")
    end = ("--until", made["until"])
    shell.run("health", "maintenance", "set", "local", "--model", "m", *end, *WHY)
    (whole,) = shell.told("health", "maintenance", "set", "local", "--minutes", "5", *WHY)
    assert shell.told("health", "maintenance", "list") == [whole, made]
    found = {each.get("gateway"): each for each in shell.told("health", "show")}
    assert found["local"]["status"] == "maintenance"
    assert found[None]["monitoring_active"] is True
    assert "gateway local" in shell.run("health", "maintenance", "list")
    shell.run("health", "maintenance", "clear", "local")
    shell.run("health", "maintenance", "clear", "local", "--model", "m")
    assert shell.told("health", "maintenance", "list") == []
    actions = [each["action"] for each in shell.told("audit", "list")]
    assert actions.count("maintenance.set") == 2
    assert actions.count("maintenance.cleared") == 2
    assert verify(database).differences == []
    with database.connect_as_owner() as connection:
        connection.execute("UPDATE maintenance_window SET version = 9 WHERE model = 'm'")
        connection.execute("UPDATE health_monitor SET running = false")
    differences = verify(database).differences
    assert [each.split(":")[0] for each in differences] == [
        "maintenance_window local/m",
        "health_monitor",
    ]


def test_an_operator_checks(shell: Shell, upstream: ScriptedUpstream) -> None:
    """By the lists; what fails is exit 1, and is shown afterwards (rule: contract)."""
    upstream.answer = lambda connection, _: reply(connection, json.dumps({"data": []}).encode())
    (found,) = shell.told("health", "check")
    assert (found["provider"], found["success"]) == ("openrouter", True)
    assert shell.told("health", "show", "--gateway", "openrouter")[0]["status"] == "online"
    upstream.answer = lambda connection, _: reply(connection, b"down", status=503)
    assert "openrouter" in shell.run("health", "check", "openrouter", status=1)
    (line, _) = shell.told("health", "show", "--gateway", "openrouter")
    assert (line["status"], line["check_error"]) == ("offline", "status_503")
    assert shell.told("health", "check", "local") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("maintenance", "set", "nobody", *WHY), "no provider"),
        (("maintenance", "set", "local", "--model", "x", *WHY), "no model"),
        (("maintenance", "set", "local", "--reason", " "), "--reason"),
        (("maintenance", "set", "local", "--until", "2020-01-01T00:00:00Z", *WHY), "past"),
        (("maintenance", "set", "local", "--until", "2090-01-01T00:00:00", *WHY), "zone"),
        (("maintenance", "set", "local", "--until", "2090-01-01T00:00:00Z", *WHY), "90 days"),
        (("maintenance", "clear", "local"), "no maintenance"),
        (("check", "nobody"), "no provider"),
        (("show", "--gateway", "nobody"), "no provider"),
    ],
)
def test_what_cannot_be_is_said(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    """In one line (rule: refuse clearly)."""
    assert said in shell.run("health", *arguments, status=1)
