"""What cannot be used stops a verb in one line, which never quotes a password."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from command_api.composition import database_of
from command_api.settings import Settings
from event_store.errors import DatabaseUrlError
from event_store.postgres.database import APPLICATION_ROLE, Database
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from tests.support.processes import free_port, gatewayz

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "hidden-pass"
UNREADABLE = (
    "nonsense" + PASSWORD,
    f"mysql://u:{PASSWORD}@h/db",
    f"postgresql://u:{PASSWORD} x@h/db",
    f"postgresql://u:{PASSWORD}%zz@h/db",
    f"postgresql://u:x/{PASSWORD}@127.0.0.1:1/db",
    f"postgresql://u:x@{PASSWORD}/y@127.0.0.1:1/db",
    f"postgresql://u:x@127.0.0.1:{PASSWORD}/db",
)


def refused(home: Path, *arguments: str, **environment: str) -> str:
    """The line that a verb ends with."""
    said: str = gatewayz(home, *arguments, status=1, GATEWAYZ_LOG_LEVEL="debug", **environment)
    assert "Traceback" not in said
    assert PASSWORD not in said
    last = said.splitlines()[-1]
    assert last.startswith("gatewayz: "), said
    return last


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    """Nor is a part of it, as libpq would; either URL is looked at (rule: access)."""
    good = "postgresql://h/db"
    for given in ((url, good), (good, url)):
        settings = Settings(database_url=given[0], migrations_database_url=given[1])
        with pytest.raises(DatabaseUrlError) as refusal:
            database_of(settings)
        shown = f"{refusal.value}{refusal.value.__cause__}{settings!r}{settings.database!r}"
        assert PASSWORD not in shown
        assert "postgresql://USER:PASSWORD@HOST:PORT/NAME" in shown


def test_connection_strings_and_secrets_are_in_no_representation() -> None:
    """A traceback or a log line that shows an object shows none of them (rule: access)."""
    url = f"postgresql://u:{PASSWORD}@h/db"
    settings = Settings(
        database_url=url,
        migrations_database_url=url,
        redis_url=f"redis://:{PASSWORD}@h",
        secret_key=PASSWORD * 2,
    )
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in repr(Database.from_url(url))


@pytest.mark.parametrize("verb", [("up", "--port", "0"), ("user", "create", "--email", "a@b.c")])
def test_a_database_that_cannot_be_used_is_told_in_a_line(
    verb: tuple[str, ...], tmp_path: Path
) -> None:
    """A bad URL, and a server that is not there (rule: refuse clearly)."""
    home = tmp_path / "home"
    assert "connection string" in refused(home, *verb, GATEWAYZ_DATABASE_URL=UNREADABLE[0])
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port()}/db"
    assert "Connection refused" in refused(home, *verb, GATEWAYZ_DATABASE_URL=url)


@pytest.fixture
def login(database: Database) -> Iterator[dict[str, Any]]:
    """A login that may connect to an empty database and nothing else."""
    name = f"poor_{os.getpid()}"
    parts = psycopg.conninfo.conninfo_to_dict(database.owner)
    with psycopg.connect(database.owner, autocommit=True, dbname="postgres") as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        owner.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield {**parts, "user": name, "password": PASSWORD, "dbname": name}
        finally:
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
            owner.execute(f"DROP ROLE {name}")


def test_a_login_that_may_not_create_is_told_which_one_would(
    login: dict[str, Any], tmp_path: Path
) -> None:
    """The cure is the login of the migrations (rule: refuse clearly)."""
    url = make_conninfo(**login)
    for verb in (("up", "--port", "0"), ("migrate",)):
        said = refused(tmp_path / "home", *verb, GATEWAYZ_DATABASE_URL=url)
        assert "GATEWAYZ_MIGRATIONS_DATABASE_URL" in said, said


def test_a_database_that_is_not_migrated_is_told_so(database: Database, tmp_path: Path) -> None:
    """`serve` does not migrate, and says who does (rule: refuse clearly)."""
    with database.connect_as_owner() as owner:
        owner.execute("DROP TABLE installation_secret")
    said = refused(tmp_path / "home", "serve", "--port", "0", GATEWAYZ_DATABASE_URL=database.owner)
    assert "gatewayz migrate" in said


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As compose files and CI leave them; an empty secret file is too short (rule: contract)."""
    for name in ("DATABASE_URL", "PORT", "SECRET_FILE", "PROVIDERS_FILE", "LOG_LEVEL", "HOME"):
        monkeypatch.setenv(f"GATEWAYZ_{name}", "")
    settings = Settings()
    assert settings.database.url is None
    assert settings.server.port == 8000
    assert settings.identity.secret_file is None
    assert settings.upstream.providers_file is None
    assert str(settings.installation.home) == ".gatewayz"
    (tmp_path / "empty").touch()
    said = refused(tmp_path, "up", "--port", "0", GATEWAYZ_SECRET_FILE=str(tmp_path / "empty"))
    assert "at least 16 bytes" in said


def test_a_home_that_cannot_be_written_is_named(database: Database) -> None:
    """/proc takes no folder, whoever asks; the cure is another home (rule: refuse clearly)."""
    assert "choose another with --home" in refused(
        Path("/proc/home"), "up", "--port", "0", GATEWAYZ_DATABASE_URL=database.owner
    )


@pytest.fixture
def plain(database: Database) -> Iterator[str]:
    """The URL of a login that is the application's, and may create nothing."""
    name = f"plain_{os.getpid()}"
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' IN ROLE {APPLICATION_ROLE}")
        try:
            yield make_conninfo(database.owner, user=name, password=PASSWORD)
        finally:
            owner.execute(f"DROP ROLE {name}")


def test_a_login_of_the_application_makes_keys_and_grants(
    database: Database, tmp_path: Path, plain: str
) -> None:
    """What only appends wants no login that may create tables (P5)."""

    def run(*arguments: str, url: str = plain) -> Any:
        return gatewayz(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=url)

    user = run("user", "create", "--email", "a@b.c", url=database.owner)["user_id"]
    key = run("key", "create", "--user", user)["key_id"]
    assert run("key", "rotate", key)["key_id"] == key
    assert run("key", "revoke", key)["status"] == "revoked"
    assert run("grant", user, "5")["amount_nano_usd"] == 5 * 10**9
    assert run("debit", user, "1", "--reason", "test")["taken_nano_usd"] == 10**9


def test_a_login_of_the_application_keeps_read_models_and_the_secret(
    database: Database, tmp_path: Path, plain: str
) -> None:
    """Only a rebuild makes tables, and says whose login it wants (P5)."""

    def run(*arguments: str, url: str = plain) -> Any:
        return gatewayz(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=url)

    run("user", "create", "--email", "a@b.c", url=database.owner)
    with database.connect() as connection:
        for projection in PROJECTIONS:
            Runner(projection).advance(connection)
    for host in ("workers", "follower"):
        assert run("projections", "assign", "journal", host)["host"] == host
    assert run("projections", "list")[0]["lag_events"] == 0
    assert run("projections", "verify")["ok"]
    assert run("ledger", "verify")["ok"]
    old = run("secrets", "show")["fingerprint"]
    assert run("secrets", "rotate")["users"] == 1
    assert run("secrets", "show")["fingerprint"] != old
    rebuild = ("projections", "rebuild", "journal")
    said = refused(tmp_path, *rebuild, GATEWAYZ_DATABASE_URL=plain)
    assert "GATEWAYZ_MIGRATIONS_DATABASE_URL" in said
    url: Any = {"GATEWAYZ_DATABASE_URL": plain, "GATEWAYZ_MIGRATIONS_DATABASE_URL": database.owner}
    assert gatewayz(tmp_path, *rebuild, **url)["version"] == 2


@pytest.mark.parametrize(
    "verb",
    [
        ("migrate",),
        ("user", "create", "--email", "b@b.c"),
        ("grant", "USER", "1"),
        ("debit", "USER", "1", "--reason", "test"),
        ("key", "create", "--user", "USER"),
        ("key", "revoke", "KEY"),
        ("projections", "assign", "journal", "workers"),
    ],
    ids=" ".join,
)
def test_a_database_that_takes_no_writes_is_told_in_a_line(
    verb: tuple[str, ...], database: Database, tmp_path: Path
) -> None:
    """A standby, or one that was set so (rule: refuse clearly)."""
    url = database.owner
    create = ("user", "create", "--email", "a@b.c")
    made = gatewayz(tmp_path, *create, GATEWAYZ_DATABASE_URL=url)
    name = database.parts()["dbname"]
    with database.connect_as_owner() as owner:
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ids = {"USER": made["user_id"], "KEY": made["key_id"]}
    said = refused(tmp_path, *(ids.get(each, each) for each in verb), GATEWAYZ_DATABASE_URL=url)
    assert "read-only" in said


def test_what_a_reading_verb_may_not_see_is_not_checked(database: Database, tmp_path: Path) -> None:
    """A right or a table that lacks is no difference: exit 3 (rule: refuse clearly)."""
    for change in (
        f"REVOKE SELECT ON api_key FROM {APPLICATION_ROLE}",
        "ALTER TABLE api_key RENAME TO elsewhere",
    ):
        with database.connect_as_owner() as owner:
            owner.execute(change)
        said = gatewayz(
            tmp_path, "ledger", "verify", status=3, GATEWAYZ_DATABASE_URL=database.owner
        )
        assert said.startswith("gatewayz: the database")
        assert said.count("\n") == 1
