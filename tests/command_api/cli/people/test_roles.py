"""Roles from a shell, where the first admin is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from command_api.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database


class Shell:
    """The command line on a test's database."""

    def __init__(self, database: Database, home: Path) -> None:
        self.environment, self.home = {"GATEWAYZ_DATABASE_URL": database.owner}, home

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a verb prints."""
        done = CliRunner().invoke(app, [*arguments, "--home", str(self.home)], env=self.environment)
        assert done.exit_code == status, (done.stdout, done.stderr, done.exception)
        return done.stdout if status == 0 else done.stderr

    def told(self, *arguments: str) -> list[dict[str, Any]]:
        """What a verb prints for programs."""
        return [msgspec.json.decode(each) for each in self.run(*arguments, "--json").splitlines()]


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """With two users."""
    made = Shell(database, tmp_path)
    for name in ("ann", "bob"):
        made.run("user", "create", "--email", f"{name}@example.com")
    return made


def test_the_first_admin_is_made_at_the_shell(shell: Shell) -> None:
    """Named by address, with a reason; shown and listed (rule: contract)."""
    (before,) = shell.told("role", "show", "ann@example.com")
    assert before["role"] == "user"
    assert shell.told("role", "list") == []
    (made,) = shell.told("role", "set", "ann@example.com", "admin", "--reason", "the owner")
    assert made == {
        "user_id": before["user_id"],
        "role": "admin",
        "before": "user",
        "changed": True,
    }
    (again,) = shell.told("role", "set", made["user_id"], "admin", "--reason", "the owner")
    assert again["changed"] is False
    assert shell.told("role", "list") == [{"user_id": made["user_id"], "role": "admin"}]
    (other,) = shell.told("role", "list", "user")
    assert other["user_id"] != made["user_id"]
    assert shell.run("role", "list", "admin") == f"{made['user_id']}  admin\n"
    assert "admin:roles" in shell.run("role", "show", "ann@example.com")
    assert "admin:roles" in shell.told("role", "show", "ann@example.com")[0]["permissions"]


def test_what_cannot_be_is_one_line(shell: Shell) -> None:
    """As every mistake at the shell (rule: refuse clearly)."""
    shell.run("role", "set", "ann@example.com", "admin", "--reason", "the owner")
    for arguments, said in (
        (("set", "ann@example.com", "user", "--reason", "x"), "this is the last admin"),
        (("set", "bob@example.com", "owner", "--reason", "x"), "there is no role 'owner'"),
        (("set", "bob@example.com", "admin", "--reason", " "), "--reason must say why"),
        (("set", "bob@example.com", "admin"), "Missing option"),
        (("set", "eve@example.com", "admin", "--reason", "x"), "there is no user"),
        (("show", "eve"), "there is no user"),
        (("list", "owner"), "there is no role 'owner'"),
    ):
        told = shell.run("role", *arguments, status=1)
        assert said in told
        assert told.count("\n") == 1
