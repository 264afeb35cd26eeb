"""`gatewayz managers`: what failed is seen with its reason, and tried anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from typer.testing import CliRunner

from command_api.cli.main import app
from command_api.managers import table
from command_api.managers.manager import Taken
from domain.wishes import Wish
from event_store.postgres.database import url_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from event_store.postgres.database import Database

RUNNER = CliRunner()
LATE = "2999-01-01T00:00:00.000000Z"


def test_what_failed_is_listed_and_tried_anew(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a manager, or one; no unknown one (rule: observable, rule: refuse clearly)."""
    url = url_of(database.application, with_password=True)
    monkeypatch.setenv("GATEWAYZ_DATABASE_URL", url)
    wishes = [Wish(kind="give", key=f"give {n}", due_at=LATE) for n in range(4)]
    with database.connect() as connection:
        table.begin(connection, "giver", 0)
        table.put(connection, "giver", 3, wishes)
        for number in range(2):
            taken = Taken("giver", f"give {number}", "give", 3, {}, 0)
            table.fail(connection, taken, "nobody is there")
        table.later(connection, Taken("giver", "give 2", "give", 3, {}, 0), 60, "away")

    def run(*arguments: str, status: int = 0) -> str:
        got = RUNNER.invoke(app, ["managers", *arguments, "--home", str(tmp_path)])
        assert got.exit_code == status, got.output
        return got.output

    shown = run("list")
    assert "giver" in shown
    assert "timers 2, due 0, failed 2" in shown
    assert "'give 0', position 3, try 0, FAILED: nobody is there" in shown
    assert "again at" in shown
    found = msgspec.json.decode(run("list", "--json"))
    assert found["managers"][0]["failed"] == 2
    assert [each["key"] for each in found["troubled"]] == ["give 0", "give 1", "give 2"]
    assert len(msgspec.json.decode(run("list", "--json", "--limit", "1"))["troubled"]) == 1
    assert msgspec.json.decode(run("retry", "giver", "give 0", "--json"))["retried"] == 1
    assert "no wish 'give 3' of giver failed" in run("retry", "giver", "give 3", status=1)
    assert "there is no process manager 'other'" in run("retry", "other", status=1)
    assert msgspec.json.decode(run("retry", "giver", "--json"))["retried"] == 3
    with database.connect() as connection:
        standing = next(each for each in table.standings(connection) if each.name == "giver")
    assert (standing.failed, standing.due) == (0, 3)
