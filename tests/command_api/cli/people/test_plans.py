"""Plans from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projections.hosting.verify import verify
from tests.command_api.cli.people.test_roles import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

ANN, WHY = "ann@example.com", ("--reason", "as agreed")


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """With a user."""
    made = Shell(database, tmp_path)
    made.run("user", "create", "--email", ANN)
    return made


def test_an_operator_puts_a_user_on_a_plan(shell: Shell, database: Database) -> None:
    """For months or without an end; and takes it away (rule: contract)."""
    assert [each["plan"] for each in shell.told("plan", "list")] == [
        *("free", "dev", "team", "customize")
    ]
    assert "price_per_month 19.000000000" in shell.run("plan", "list")
    assert shell.told("plan", "show", ANN)[0]["plan"] is None
    (made,) = shell.told("plan", "assign", ANN, "dev", "--months", "2", *WHY)
    assert made["plan"] == "dev"
    assert made["expires_at"]
    (found,) = shell.told("plan", "show", ANN)
    assert (found["plan"], found["expires_at"]) == ("dev", made["expires_at"])
    assert shell.told("plan", "assign", ANN, "3", *WHY)[0]["expires_at"] is None
    assert shell.told("plan", "end", ANN, *WHY)[0]["plan"] is None
    assert shell.told("plan", "show", ANN)[0]["plan"] is None
    actions = [each["action"] for each in shell.told("audit", "list", "--user", ANN)]
    assert actions.count("plan.assigned") == 2
    assert actions.count("plan.ended") == 1
    assert verify(database).differences == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("assign", ANN, "none", *WHY), "no plan"),
        (("assign", "bob@example.com", "dev", *WHY), "no user"),
        (("assign", ANN, "dev", "--reason", " "), "--reason"),
        (("end", ANN, *WHY), "no plan"),
    ],
)
def test_what_cannot_be_is_said(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    """In one line (rule: refuse clearly)."""
    assert said in shell.run("plan", *arguments, status=1)
