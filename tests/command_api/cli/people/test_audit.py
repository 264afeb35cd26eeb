"""The audit from a shell, out of the log itself."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from edge.spreadsheets import FORMULA
from query_api.audit.queries import COLUMNS
from tests.command_api.cli.people.test_roles import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """With two users, of whom one is an admin; no gateway runs, so no read model is filled."""
    made = Shell(database, tmp_path)
    for name in ("ann", "bob"):
        made.run("user", "create", "--email", f"{name}@example.com")
    made.run("role", "set", "ann@example.com", "admin", "--reason", "=the owner")
    return made


def test_the_log_is_listed_and_exported(shell: Shell) -> None:
    """Without a read model; by user, action and time (rule: contract)."""
    whole = shell.told("audit", "list")
    assert [each["action"] for each in whole] == [
        *("user.registered", "api_key.created") * 2,
        "role.changed",
    ]
    assert shell.told("audit", "export") == whole
    assert shell.told("audit", "list", "--limit", "2") == whole[-2:]
    assert shell.told("audit", "export", "--limit", "2") == whole[:2]
    of_ann = shell.told("audit", "list", "--user", "ann@example.com")
    assert [each["action"] for each in of_ann] == [
        *("user.registered", "api_key.created"),
        "role.changed",
    ]
    assert shell.told("audit", "list", "--action", "role.changed") == of_ann[-1:]
    middle = whole[2]["booked_at"]
    before = shell.told("audit", "export", "--to", middle)
    assert before + shell.told("audit", "export", "--from", middle) == whole
    assert shell.told("audit", "list", "--from", "2999-01-01") == []
    text = shell.run("audit", "list")
    assert text.count("\n") == len(whole)
    assert 'by operator:cli  {"role":"user"} -> {"role":"admin"}  because "=the owner"' in text


def test_csv_is_for_spreadsheets(shell: Shell) -> None:
    """With a header, and no formula (rule: wire)."""
    rows = list(csv.DictReader(io.StringIO(shell.run("audit", "export", "--csv"), newline="")))
    assert len(rows) == 5
    assert list(rows[0]) == list(COLUMNS)
    assert rows[-1]["reason"] == "'=the owner"
    assert not [each for row in rows for each in row.values() if each.startswith(FORMULA)]


def test_what_cannot_be_is_one_line(shell: Shell) -> None:
    """As every mistake at the shell (rule: refuse clearly)."""
    for arguments, said in (
        (("list", "--action", "burn"), "there is no action 'burn'; there are api_key."),
        (("list", "--user", "eve@example.com"), "there is no user"),
        (("list", "--from", "2026-02-01", "--to", "2026-01-01"), "is after --to"),
        (("list", "--limit", "0"), "limit"),
        (("export",), "choose --csv or --json"),
        (("export", "--csv", "--json"), "choose --csv or --json"),
    ):
        told = shell.run("audit", *arguments, status=1)
        assert said in told
        assert told.count("\n") == 1
    assert "there is no user" in shell.run("audit", "export", "--csv", "--user", "x", status=1)
