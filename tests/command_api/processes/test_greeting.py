"""What a start says."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from command_api.processes.greeting import greeting, welcome
from command_api.settings import Settings
from domain.ledger.lots import TrialTerms

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

URL = "http://127.0.0.1:8000"


def test_the_welcome_is_a_command_that_a_shell_takes() -> None:
    """Pasted as it stands: the key as bearer, a body that is JSON (rule: two commands)."""
    text = welcome(URL, "gw_key", "", TrialTerms())
    command = re.search(r"curl .*?\}'$", text, re.MULTILINE | re.DOTALL)
    assert command
    words = shlex.split(command[0])
    assert words[1] == f"{URL}/v1/chat/completions"
    assert "Authorization: Bearer gw_key" in words
    assert json.loads(words[-1])["model"] == "simulator/echo"


def test_only_the_first_start_makes_a_user(database: Database, tmp_path: Path) -> None:
    """One trial for a home, and none for a new home on a used database (money rule 10)."""
    first, second = Settings(home=tmp_path / "first"), Settings(home=tmp_path / "second")
    for settings in (first, second):
        settings.installation.home.mkdir()

    def grants() -> int:
        with database.connect() as connection:
            found = connection.execute("SELECT count(*), sum(granted) FROM credit_account")
            count, granted = found.fetchone() or (0, 0)
        assert granted == count * 10_000_000_000
        return int(count)

    assert "API key" in greeting(first, database, URL)
    assert grants() == 1
    for settings in (first, second):
        home, again = settings.installation.home, greeting(settings, database, URL)
        assert "API key" not in again
        assert f"user create --email you@example.com --grant 10 --home {home}" in again
    assert grants() == 1
