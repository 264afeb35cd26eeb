"""`gatewayz database`, and what the page "Connect with SQL" tells to paste."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from event_store.postgres.database import Database, url_of
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from tests.support.history import History
from tests.support.packages import ROOT
from tests.support.processes import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs/guides/sql.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
EVENTS_MAX = 10_000


@pytest.fixture
def asked(database: Database) -> Database:
    """A database with something to ask about."""
    History(database, users=2).calls(20)
    with database.connect() as connection:
        for projection in PROJECTIONS:
            Runner(projection).advance(connection, EVENTS_MAX)
    return database


def run(command: list[str], database: Database, home: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, as its reader would run it."""
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GATEWAYZ_HOME": str(home)}
    environment |= {"GATEWAYZ_DATABASE_URL": url_of(database.owner, with_password=True)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_what_the_page_tells_to_paste_does_what_it_says(asked: Database, tmp_path: Path) -> None:
    """Its commands and its queries, as they stand there (rule: docs)."""
    assert len(SHELL) == 3
    made = run(shlex.split(SHELL[0]), asked, tmp_path)
    assert made.returncode == 0, made.stderr
    assert "available" in made.stdout
    assert "(4 rows)" in made.stdout
    for query in SQL:
        done = run(["gatewayz", "database", "psql", "--", "-c", query], asked, tmp_path)
        assert done.returncode == 0, (query, done.stderr)
        assert "(0 rows)" not in done.stdout, query
    assert len(SQL) > 3
    made = run(shlex.split(SHELL[2].replace("ana", "ana_of_a_test")), asked, tmp_path)
    try:
        assert made.stdout.strip() == "CREATE ROLE", made.stderr
    finally:
        with asked.connect_as_owner() as connection:
            connection.execute("DROP ROLE IF EXISTS ana_of_a_test")
    assert not list(tmp_path.iterdir())


def test_a_url_has_no_password_unless_that_is_asked_for(asked: Database, tmp_path: Path) -> None:
    """Terminals and logs keep what is printed (rule: access)."""
    password = str(psycopg.conninfo.conninfo_to_dict(asked.owner).get("password") or "")
    plain = run(["gatewayz", "database", "url"], asked, tmp_path)
    whole = run(["gatewayz", "database", "url", "--with-password"], asked, tmp_path)
    if password:
        assert quote(password, safe="") not in plain.stdout + plain.stderr
        assert password not in plain.stdout + plain.stderr
        assert "--with-password" in plain.stderr
    with psycopg.connect(whole.stdout.strip()) as connection:
        found = connection.execute("SELECT current_user, current_database()").fetchone()
    assert found == ("gatewayz_reader", asked.parts()["dbname"])


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM events",
        "INSERT INTO projection VALUES ('x', 1, 1, 'postgres')",
        "SET default_transaction_read_only = off; UPDATE credit_account SET available = 1",
        "SELECT wrapped_key FROM user_secret",
        "SELECT key_hash FROM api_key",
        "SELECT * FROM idempotent_reply",
        "SELECT * FROM installation_secret",
    ],
)
def test_a_reader_changes_nothing_and_sees_no_secret(
    query: str, asked: Database, tmp_path: Path
) -> None:
    """psql says so, and its status is the verb's (P5, rule: access)."""
    command = ["gatewayz", "database", "psql", "--", "-v", "ON_ERROR_STOP=1", "-c", query]
    done = run(command, asked, tmp_path)
    assert done.returncode == 1
    assert "ERROR" in done.stderr


@pytest.mark.parametrize(
    ("conninfo", "url"),
    [
        ("host=/run/a b dbname=x user=u password=p", "postgresql://u@/x?host=%2Frun%2Fa%20b"),
        ("host=db port=5433 dbname=x user=u", "postgresql://u@db:5433/x"),
        (
            "host=db dbname=x user='a@b' options='-c role=r'",
            "postgresql://a%40b@db/x?options=-c%20role%3Dr",
        ),
    ],
)
def test_a_connection_string_is_a_url_that_libpq_reads_back(conninfo: str, url: str) -> None:
    """Sockets, ports, options; nothing is lost but the password (rule: contract)."""
    conninfo = conninfo.replace("host=/run/a b", "host='/run/a b'")
    assert url_of(conninfo, with_password=False) == url
    whole = psycopg.conninfo.conninfo_to_dict(url_of(conninfo, with_password=True))
    assert whole == psycopg.conninfo.conninfo_to_dict(conninfo)


def test_the_password_of_a_clients_key_is_one_too() -> None:
    """It is printed where passwords are asked for, and nowhere else (rule: access)."""
    conninfo = "host=h dbname=d user=u password=p sslpassword=secret"
    assert "secret" not in url_of(conninfo, with_password=False)
    assert "sslpassword=secret" in url_of(conninfo, with_password=True)
