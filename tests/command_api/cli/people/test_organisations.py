"""Organisations from a shell: what an operator does for their owners."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from projections.hosting.verify import verify
from tests.command_api.cli.people.test_roles import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

ANN, BOB = "ann@example.com", "bob@example.com"
WHY = ("--reason", "asked for by mail")


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """With two users."""
    made = Shell(database, tmp_path)
    for address in (ANN, BOB):
        made.run("user", "create", "--email", address)
    return made


def test_an_operator_keeps_an_organisation(shell: Shell, database: Database) -> None:
    """From its making to its close, with credits, members, a project and a key (money rule 14)."""
    (made,) = shell.told("org", "create", "Example", "--owner", ANN)
    of = made["organisation_id"]
    shell.run("grant", of, "5")
    (bob,) = shell.told("org", "add", of, BOB, "developer", *WHY)
    (project,) = shell.told("org", "project", of, "search")
    (key,) = shell.told("key", "create", "--user", BOB, "--project", project["project_id"])
    (shown,) = shell.told("org", "show", of)
    assert shown["members"] == {made["owner"]: "owner", bob["user_id"]: "developer"}
    assert shown["projects"] == {project["project_id"]: "search"}
    assert "search" in shell.run("org", "show", of)
    (listed,) = shell.told("org", "list")
    assert (listed["members"], listed["projects"], listed["closed"]) == (2, 1, False)
    with database.connect() as connection:
        row = connection.execute(
            "SELECT a.available, k.account_id = a.account_id FROM credit_account a, api_key k "
            "WHERE a.account_id = %s AND k.key_id = %s",
            [made["account_id"], key["key_id"]],
        ).fetchone()
    assert row == (5 * 10**9, True)
    (changed,) = shell.told("org", "role", of, BOB, "viewer", *WHY)
    assert changed["changed"]
    shell.run("org", "transfer", of, BOB, *WHY)
    shell.run("org", "remove", of, ANN, *WHY)
    (own,) = shell.told("org", "project", made["owner"], "of my own")
    shell.run("org", "archive", made["owner"], own["project_id"], *WHY)
    shell.run("org", "close", of, *WHY)
    assert "closed" in shell.run("org", "list")
    assert shell.told("org", "list", "--after", of) == []
    logged = shell.told("audit", "list", "--action", "member.left")
    assert [each["reason"] for each in logged] == [WHY[1]]
    assert verify(database).differences == []


def test_what_cannot_be_is_one_line(shell: Shell) -> None:
    """As every mistake at the shell (rule: refuse clearly)."""
    (made,) = shell.told("org", "create", "Example", "--owner", ANN)
    of, none = made["organisation_id"], str(UUID(int=7))
    for arguments, said in (
        (("org", "create", " ", "--owner", ANN), "1 to 100"),
        (("org", "create", "x", "--owner", "carl@example.com"), "there is no user"),
        (("org", "show", none), "there is no organisation"),
        (("org", "add", none, BOB, "viewer", *WHY), "no such"),
        (("org", "add", of, ANN, "viewer", *WHY), "a member already"),
        (("org", "add", of, BOB, "viewer", "--reason", " "), "say why"),
        (("org", "role", of, BOB, "viewer", *WHY), "no such member"),
        (("org", "remove", of, ANN, *WHY), "the last owner"),
        (("org", "close", none, *WHY), "no organisation"),
        (("org", "project", none, "x"), "no organisation"),
        (("org", "archive", of, none, *WHY), "no such project"),
        (("key", "create", "--user", BOB, "--project", none), "no such project"),
        (("grant", none, "5"), "there is no user"),
    ):
        told = shell.run(*arguments, status=1)
        assert said in told, arguments
        assert told.count("\n") == 1
