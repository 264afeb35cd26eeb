"""Verbs in a wrong place: they make nothing, and never call it right."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from event_store.postgres.migrate import MIGRATION_TABLE
from tests.command_api.cli.test_verbs import VERBS
from tests.conftest import fresh_database

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from event_store.postgres.database import Database

RUNNER = CliRunner()
WORDS = {"verify", "replay", "list", "show", "query", "statement", "export", "url", "psql"}
READING = sorted(verb for verb in VERBS if verb.split()[-1] in WORDS)
ARGUMENTS = {
    "quota list": ["--key", str(UUID(int=7))],
    "key list": ["--user", str(UUID(int=7))],
    "key show": [str(UUID(int=7))],
    "ledger statement": ["--account", str(UUID(int=7))],
    "audit export": ["--json"],
    "finance export": ["2026-01"],
    "finance statement": ["1"],
    "role show": [str(UUID(int=7))],
    "user show": [str(UUID(int=7))],
    "org show": [str(UUID(int=7))],
    "coupon show": [str(UUID(int=7))],
    "plan show": ["ann@example.com"],
    "limit show": ["--key", str(UUID(int=7))],
}
OF_A_QUOTA = ["--key", str(UUID(int=7)), "--unit", "tokens", "--window", "day"]
OF_A_MEMBER = [str(UUID(int=7)), "ann@example.com", "--reason", "test"]
CHANGING = {
    "key create": ["--user", "ann@example.com"],
    "key rotate": [str(UUID(int=7))],
    "key update": [str(UUID(int=7)), "--name", "other", "--max-requests", "5"],
    "key delete": [str(UUID(int=7))],
    "key revoke": [str(UUID(int=7))],
    "user reset-second-factors": ["ann@example.com", "--reason", "test"],
    "role set": ["ann@example.com", "admin", "--reason", "test"],
    "grant": ["ann@example.com", "5"],
    "debit": ["ann@example.com", "5", "--reason", "test"],
    "transfer": ["ann@example.com", str(UUID(int=7)), "5", "--reason", "test"],
    "approvals approve": [str(UUID(int=7))],
    "approvals decline": [str(UUID(int=7)), "--reason", "test"],
    "rerate": ["--model", "m", "--from", "2026-01-01", "--price-version", "p/m@0"],
    "call correct": [str(UUID(int=7)), "--amount", "1", "--reason", "test"],
    "org create": ["Example", "--owner", "ann@example.com"],
    "org add": [*OF_A_MEMBER[:2], "viewer", *OF_A_MEMBER[2:]],
    "org role": [*OF_A_MEMBER[:2], "viewer", *OF_A_MEMBER[2:]],
    "org remove": OF_A_MEMBER,
    "org transfer": OF_A_MEMBER,
    "org close": [str(UUID(int=7)), "--reason", "test"],
    "org project": [str(UUID(int=7)), "search"],
    "org archive": [str(UUID(int=7)), str(UUID(int=8)), "--reason", "test"],
    "coupon create": ["HELLO-1", "--value", "5", "--until", "2090-01-01"],
    "coupon change": [str(UUID(int=7)), "--max-uses", "5"],
    "coupon deactivate": [str(UUID(int=7))],
    "plan assign": ["ann@example.com", "dev", "--reason", "test"],
    "plan end": ["ann@example.com", "--reason", "test"],
    "managers retry": ["referrals"],
    "health check": [],
    "health maintenance set": ["local", "--reason", "test"],
    "health maintenance clear": ["local"],
    "projections rebuild": ["all"],
    "projections assign": ["journal", "follower"],
    "secrets rotate": [],
    "finance close": ["2026-01", "--reason", "test"],
    "finance issue": ["2026-01"],
    "payments handle": ["--failed"],
    "quota set": [*OF_A_QUOTA, "--limit", "5"],
    "quota remove": OF_A_QUOTA,
}
"""Verbs that change what must be there already."""
VERIFY = [verb for verb in READING if verb.endswith("verify")]


def run(verb: str, home: Path, url: str = "") -> Result:
    """One reading verb."""
    arguments = [*verb.split(), *{**ARGUMENTS, **CHANGING}.get(verb, []), "--home", str(home)]
    return RUNNER.invoke(app, arguments, env={"GATEWAYZ_DATABASE_URL": url or None})


def tables(database: Database) -> int:
    """How many tables there are."""
    with database.connect_to_look() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert found is not None
    return int(found[0])


def said(done: Result, status: int) -> str:
    """The one line on standard error."""
    assert done.exit_code == status, (done.stdout, done.stderr, done.exception)
    assert done.stdout == ""
    assert done.stderr.startswith("gatewayz: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_there_are_verbs_that_read() -> None:
    """They are found by their last word (rule: contract)."""
    assert {"ledger verify", "ledger replay", "projections list"} <= set(READING)


@pytest.mark.parametrize("verb", [*READING, *CHANGING])
def test_a_folder_without_a_ledger_stays_as_it_is(verb: str, tmp_path: Path) -> None:
    """Absent, empty or a stranger's: exit 2, one line, nothing made (rule: refuse clearly)."""
    absent, other = tmp_path / "absent", tmp_path / "other"
    (other / "postgres").mkdir(parents=True)
    (other / "postgres/notes.txt").write_text("mine")
    for home in (absent, other):
        line = said(run(verb, home), 2)
        assert f"no ledger here: {home} holds none" in line
        assert "--home" in line
    assert not absent.exists()
    assert [each.name for each in other.rglob("*")] == ["postgres", "notes.txt"]


@pytest.mark.parametrize("verb", [*READING, *CHANGING])
def test_a_database_without_a_ledger_stays_as_it_is(
    verb: str, server: Database, tmp_path: Path
) -> None:
    """Somebody else's empty database gets no table (rule: refuse clearly)."""
    with fresh_database(server, "template0") as database:
        assert "no ledger here: the database " in said(run(verb, tmp_path, database.owner), 2)
        assert tables(database) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", READING)
def test_an_older_ledger_is_not_migrated_by_reading(
    verb: str, database: Database, tmp_path: Path
) -> None:
    """Exit 3: it could not be checked; the line names the cure (rule: refuse clearly)."""
    with database.connect_as_owner() as connection:
        for change in (
            f"DELETE FROM {MIGRATION_TABLE} WHERE migration_id = '0009_open_hold'",
            f"REVOKE SELECT ON {MIGRATION_TABLE} FROM gatewayz_app",
        ):
            connection.execute(change)
            assert "run `gatewayz migrate` first" in said(run(verb, tmp_path, database.owner), 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", READING)
def test_a_database_that_does_not_answer_is_not_checked(verb: str, tmp_path: Path) -> None:
    """Exit 3, which is no difference in the books (rule: refuse clearly)."""
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    done = run(verb, tmp_path, url)
    assert done.exit_code == 3
    assert done.stderr.startswith("gatewayz: ")


@pytest.mark.parametrize("verb", VERIFY)
def test_an_empty_log_is_not_right(verb: str, database: Database, tmp_path: Path) -> None:
    """Nothing was verified, so nothing is said to be right (P8)."""
    assert "nothing to verify" in said(run(verb, tmp_path, database.owner), 2)


@pytest.mark.parametrize("verb", VERIFY)
def test_rows_of_another_revision_are_not_compared(
    verb: str, database: Database, tmp_path: Path
) -> None:
    """A projection that waits for its rebuild is no difference; `list` shows it (P8)."""
    with database.connect_as_owner() as connection:
        connection.execute("UPDATE projection SET revision = revision - 1 WHERE name = 'journal'")
    assert "the projection journal: run `gatewayz migrate`" in said(
        run(verb, tmp_path, database.owner), 3
    )
    assert run("projections list", tmp_path, database.owner).exit_code == 0
