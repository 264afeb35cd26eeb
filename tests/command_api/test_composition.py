"""What the settings describe: which database, which secret, which providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from command_api.catalog.modelz_routes import modelz_of
from command_api.composition import (
    database_of,
    embedded_of,
    open_database,
    registry_of,
)
from command_api.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from event_store.postgres.database import Database


def test_a_named_database_is_used_and_the_home_is_left_alone(
    server: Database, tmp_path: Path
) -> None:
    """With GATEWAYZ_DATABASE_URL there is no server of the home's own (rule: contract)."""
    home = tmp_path / "home"
    settings = Settings(home=home, database_url=server.owner)
    assert embedded_of(settings) is None
    with open_database(settings) as opened, opened.connect() as connection:
        assert opened == database_of(settings)
        found = connection.execute("SELECT current_database(), current_user").fetchone()
    assert found == (server.parts()["dbname"], "gatewayz_app")
    assert not home.exists()


def test_migrations_have_a_login_of_their_own_where_one_is_named() -> None:
    """The application's login need not be one that may change the log (P5)."""
    settings = Settings(
        database_url="postgresql://app@db/x", migrations_database_url="postgresql://own@db/x"
    )
    database = database_of(settings)
    assert psycopg.conninfo.conninfo_to_dict(database.application)["user"] == "app"
    assert psycopg.conninfo.conninfo_to_dict(database.owner)["user"] == "own"


def test_without_a_named_database_the_home_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made of it before it is used (rule: contract)."""
    monkeypatch.delenv("GATEWAYZ_DATABASE_URL", raising=False)
    embedded = embedded_of(Settings(home=tmp_path / "home"))
    assert embedded is not None
    assert embedded.data == tmp_path / "home/postgres/data"
    assert not (tmp_path / "home").exists()


def test_providers_are_those_of_the_environment_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key or an address that comes or goes later changes nothing (rule: contract)."""
    monkeypatch.delenv("GATEWAYZ_PROVIDERS_FILE", raising=False)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("XAI_API_KEY", "sk")
    monkeypatch.setenv("MODELZ_BASE_URL", "http://127.0.0.1:1")
    settings = Settings(home=tmp_path)
    monkeypatch.delenv("XAI_API_KEY")
    monkeypatch.setenv("GROQ_API_KEY", "sk")
    monkeypatch.setenv("MODELZ_BASE_URL", "http://127.0.0.1:2")
    found = registry_of(settings).providers
    assert "xai" in found
    assert "groq" not in found
    assert modelz_of(settings)._url == "http://127.0.0.1:1/api/tokens"
