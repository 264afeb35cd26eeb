"""The verbs about quotas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from command_api.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    from event_store.postgres.database import Database

RUNNER = CliRunner()


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Callable[..., Result]:
    """A verb on a home with this database."""

    def invoke(*words: str) -> Result:
        return RUNNER.invoke(
            app,
            [*words, "--home", str(tmp_path / "home")],
            env={"GATEWAYZ_DATABASE_URL": database.owner},
        )

    return invoke


def told(done: Result) -> list[dict[str, Any]]:
    """What it printed for programs."""
    assert done.exit_code == 0, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_quotas_are_set_listed_and_removed(run: Callable[..., Result]) -> None:
    """For a key or for a user, named as other verbs name them (rule: contract)."""
    (user,) = told(run("user", "create", "--email", "ann@example.com", "--json"))
    of_key = ("--key", user["key_id"], "--unit", "tokens", "--window", "day")
    (first,) = told(run("quota", "set", *of_key, "--limit", "500", "--json"))
    assert (first["scope"], first["limit"], first["zone"]) == ("key", 500, "UTC")
    assert first["changed"]
    of_user = ("--unit", "nano_usd", "--window", "month", "--limit", "2500000000")
    told(run("quota", "set", "--user", "ann@example.com", *of_user, "--json"))
    (second,) = told(run("quota", "set", "--user", user["user_id"], *of_user, "--json"))
    assert second["changed"] is False
    assert second["scope_id"] == user["user_id"]
    of_total = ("--key", user["key_id"], "--unit", "requests", "--window", "total")
    zone = ("--zone", "Europe/Berlin")
    told(run("quota", "set", *of_total, "--limit", "0", *zone, "--json"))
    listed = told(run("quota", "list", "--user", "ann@example.com", "--json"))
    assert [each["unit"] for each in listed] == ["tokens", "nano_usd", "requests"]
    assert listed[2]["resets_at"] is None
    assert (listed[0]["used"], listed[0]["held"], listed[0]["overrun"]) == (0, 0, 0)
    assert len(told(run("quota", "list", "--key", user["key_id"], "--json"))) == 2
    few = run("quota", "list", "--key", user["key_id"], "--json", "--limit", "1")
    assert len(few.stdout.splitlines()) == 1
    assert "1 lines more are left out" in few.stderr
    assert (
        len(run("key", "list", "--user", user["user_id"], "--limit", "1").stdout.splitlines()) == 1
    )
    lines = run("quota", "list", "--user", user["user_id"]).stdout.splitlines()
    assert "nano_usd" not in lines[1]
    assert "USD by month  used 0.000000000  held 0.000000000  of 2.500000000" in lines[1]
    told(run("quota", "remove", *of_key, "--json"))
    assert len(told(run("quota", "list", "--user", "ann@example.com", "--json"))) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "--limit", "5"), "one of --key, --user, --project"),
        (("set", "--limit", "5", "--key", "a", "--user", "b"), "one of --key"),
        (("set", "--limit", "5", "--key", "nobody"), "there is no key 'nobody'"),
        (("set", "--limit", "5", "--user", "nobody"), "there is no user 'nobody'"),
        (("set", "--limit", "-1", "--key", "a"), "--limit"),
        (("set", "--limit", str(10**18 + 1), "--key", "a"), "--limit"),
        (("remove", "--key", "nobody"), "there is no key"),
    ],
)
def test_a_mistake_is_a_line(run: Callable[..., Result], words: tuple[str, ...], said: str) -> None:
    """It says what to name, and nothing is set (rule: refuse clearly)."""
    told(run("user", "create", "--email", "ann@example.com", "--json"))
    done = run("quota", *words, "--unit", "tokens", "--window", "day")
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert run("quota", "list", "--key", "nobody").exit_code == 1
    assert run("quota", "list").exit_code == 1
