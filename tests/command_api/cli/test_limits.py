"""`gatewayz limit`: set, list, clear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from command_api.cli.main import app
from tests.command_api.plans.test_plans import assign
from tests.support.admins import new_admin
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


def test_limits_are_set_listed_and_cleared(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a key's id or itself, by a user, for the system; and they bind (rule: contract)."""
    home = tmp_path / "home"
    with running_gateway(database, home, upstream) as gateway:
        user = gateway.user(email="a@example.com")
        monkeypatch.setattr(
            "command_api.cli.base.open_database", lambda *_, **__: _Opened(gateway.database)
        )
        monkeypatch.setenv("GATEWAYZ_SECRET_KEY", gateway.settings.identity.secret_key or "")

        def run(*words: str, status: int = 0) -> list[dict[str, Any]]:
            done = CliRunner().invoke(app, ["limit", *words, "--home", str(home), "--json"])
            assert done.exit_code == status, done.output
            return [json.loads(line) for line in done.stdout.splitlines() if status == 0]

        assign(gateway, new_admin(gateway), user)
        _check(run, user)


class _Opened:
    """The test's database, where a verb opens its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Database:
        return self._database

    def __exit__(self, *_: object) -> None:
        return None


def _check(run: Any, user: NewUser) -> None:
    (made,) = run("set", "--key", user.api_key, "--requests-per-minute", "5")
    assert (made["id"], made["requests_per_minute"]) == (user.key_id, 5)
    run("set", "--key", user.key_id, "--burst", "2")
    run("set", "--user", "a@example.com", "--plan", "premium")
    run("set", "--system", "--concurrency", "9", "--tokens-per-hour", "1000000000000")
    listed = run("list")
    assert [each["scope"] for each in listed] == ["system", "user", "key"]
    assert run("list", "--limit", "2") == listed[:2]
    assert listed[2] == {
        "scope": "key",
        "id": user.key_id,
        "set_by": "operator",
        "requests_per_minute": 5,
        "burst": 2,
    }
    shown = run("show", "--key", user.api_key)
    assert [each["scope"] for each in shown] == ["key", "system", "user", "plan"]
    assert shown[-1] == {
        "scope": "plan",
        "id": user.user_id,
        "plan": "free",
        "requests_per_minute": 60,
        "concurrency": 5,
    }
    run("show", "--key", "nobody", status=1)
    assert run("clear", "--system")[0]["cleared"] is True
    assert run("clear", "--system")[0]["cleared"] is False
    for words in (
        ["--system"],
        ["--requests-per-minute", "5"],
        ["--system", "--user", user.user_id, "--burst", "1"],
        ["--system", "--requests-per-minute", "-1"],
        ["--system", "--requests-per-minute", "1000000000000000000"],
        ["--system", "--plan", "premium"],
        ["--user", user.user_id, "--plan", "gold"],
        ["--key", "nobody", "--burst", "1"],
    ):
        run("set", *words, status=1)
    assert len(run("list")) == 2
