"""The application that a serving process composes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.routing import iter_route_contexts

from command_api.composition import vault_of
from command_api.serving.app import ROUTERS, make_app
from command_api.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from event_store.postgres.database import Database


def test_no_request_waits_for_the_routes(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the framework reads of their functions it reads beforehand (rule: calls first)."""
    settings = Settings(home=tmp_path)
    app = make_app(settings, database, vault_of(settings, database))
    read = list[object]()
    monkeypatch.setattr("fastapi.routing.get_dependant", lambda **given: read.append(given))
    found = list(iter_route_contexts(app.routes))
    assert read == []
    assert len(found) > 2 * len(ROUTERS)
