"""The verbs of finance: what the guide tells to type, and mistakes."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from event_store.ids import new_uuid7
from projections.all import PROJECTIONS
from projections.engine.runner import Runner
from tests.providers.invoices.test_reading import OPENROUTER, openrouter
from tests.support import entries
from tests.support.history import History
from tests.support.packages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

RUNNER = CliRunner()
GUIDE = ROOT / "docs/guides/month-close.md"
EVENTS_MAX = 10_000


class Finance:
    """The command line on a test's database."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database, self.home = database, home

    def project(self) -> None:
        """Bring the read models up to the log."""
        with self.database.connect() as connection:
            for projection in PROJECTIONS:
                Runner(projection).advance(connection, EVENTS_MAX)

    def run(self, line: str, status: int = 0) -> str:
        """What a line that is typed prints."""
        done = RUNNER.invoke(
            app,
            [*shlex.split(line)[1:], "--home", str(self.home)],
            env={"GATEWAYZ_DATABASE_URL": self.database.owner},
        )
        assert done.exit_code == status, (line, done.stdout, done.stderr, done.exception)
        return done.stdout if status == 0 else done.stderr

    def told(self, line: str) -> dict[str, Any]:
        """The same for programs."""
        found: dict[str, Any] = json.loads(self.run(f"{line} --json"))
        return found


@pytest.fixture
def finance(database: Database, tmp_path: Path) -> Finance:
    """A house with a history."""
    History(database, users=2).calls(30)
    made = Finance(database, tmp_path)
    made.project()
    return made


def test_a_month_is_closed_as_the_guide_says(
    finance: Finance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of it runs, in its order, and the month is closed (rule: docs)."""
    billed = OPENROUTER + openrouter(1, "2025-01-01 10:00:00.000", "0")
    (tmp_path / "openrouter_activity.csv").write_text(billed)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 8
    for line in lines:
        finance.run(line)
        finance.project()
    found = finance.told("gatewayz finance periods")
    assert found["open_since"] == "2026-02-01T00:00:00.000000Z"


def test_statements_are_issued_and_written(finance: Finance, tmp_path: Path) -> None:
    """One of an account, once; in each form (P3, rule: contract)."""
    account = finance.told("gatewayz user list --limit 1")["account_id"]
    line = f"gatewayz finance issue 2026-01 --account {account}"
    assert finance.told(line)["issued"] == 1
    assert finance.told(line)["issued_before"] == 1
    shown = finance.told("gatewayz finance statements")
    assert (shown["number"], shown["account_id"], shown["zone"]) == (1, account, "UTC")
    assert account in finance.run("gatewayz finance statements")
    assert finance.told("gatewayz finance statement 1")["closing_nano_usd"] == 0
    assert "closing" in finance.run("gatewayz finance statement 1")
    assert finance.run("gatewayz finance statement 1 --format pdf").startswith("%PDF-")
    folder = tmp_path / "all"
    for form in ("csv", "json"):
        written = finance.told(f"gatewayz finance write 2026-01 {folder} --format {form}")
        assert written["written"] == 1
        (file,) = folder.glob(f"*.{form}")
        alone = finance.run(f"gatewayz finance statement 1 --format {form}")
        assert (file.stem, file.read_text()) == ("statement-00000001", alone)
    assert finance.told(f"gatewayz finance write 2025-12 {folder}")["written"] == 0
    assert finance.run("gatewayz finance export 2026-01").startswith("position,line,")


def test_an_empty_list_says_so(finance: Finance) -> None:
    """To people by one line; to programs by the empty list itself (rule: contract)."""
    for verb, said in (
        ("finance statements", "no statements\n"),
        ("finance statements --after 7", "no more statements\n"),
        ("coupon list --offset 7", "no more coupons\n"),
    ):
        assert finance.run(f"gatewayz {verb}") == said
        assert finance.run(f"gatewayz {verb} --json") == ""
    journal = f"gatewayz finance journal --account-id {UUID(int=7)}"
    assert finance.run(journal).startswith("no lines\n")
    assert finance.told(journal)["lines"] == []


def test_figures_are_those_of_the_routes(finance: Finance) -> None:
    """In JSON as there; for people a line for each class (P4, rule: contract)."""
    found = finance.told("gatewayz finance trial-balance")
    assert found["total_nano_usd"] == 0
    assert found["accounts"]
    text = finance.run("gatewayz finance trial-balance")
    for each in found["accounts"]:
        assert f"account={each['account']}  " in text
    assert re.search(r"^total usd +0\.000000000$", text, re.MULTILINE)
    moved = finance.told("gatewayz finance revenue")["accounts"]
    usage = {each["account"]: each["balance_nano_usd"] for each in moved}["revenue:usage:trial"]
    lines, cursor = list[dict[str, Any]](), "0:0"
    while cursor:
        line = f"gatewayz finance journal --limit 7 --cursor {cursor}"
        page = finance.told(f"{line} --account revenue:usage:trial")
        lines += page["lines"]
        cursor = page["next_cursor"]
    assert sum(each["amount_nano_usd"] for each in lines) == usage > 0
    for verb in ("receivables", "aging"):
        assert finance.told(f"gatewayz finance {verb}")["total_nano_usd"] == 0


MISTAKES = (
    "trial-balance --as-of yesterday",
    "trial-balance --as-of 999999999",
    "trial-balance --as-of 2999-01-01",
    "trial-balance --by hearsay",
    "journal --account nothing",
    "journal --cursor x",
    "journal --limit 1001",
    "revenue --month 2026-13",
    "revenue --from 2026-02-01 --to 2026-01-01",
    "close 2026-13 --reason x",
    "issue 2026-13",
    "issue 2999-01 --account 00000000-0000-0000-0000-000000000007",
    "statement 7",
    "statement 0",
    "export 2999-01",
    "export january",
    "export 2026-01 --json",
    "close 2999-01 --reason x",
    "close 2026-01 --reason ' '",
)


def test_mistakes_are_one_line(finance: Finance, subtests: pytest.Subtests) -> None:
    """And change nothing (rule: refuse clearly)."""
    before = finance.told("gatewayz finance periods")["periods"]
    for line in MISTAKES:
        with subtests.test(line):
            said = finance.run(f"gatewayz finance {line}", status=1)
            assert said.startswith("gatewayz: ")
            assert said.count("\n") == 1
    assert finance.told("gatewayz finance periods")["periods"] == before


def test_what_the_journal_has_not_reached_is_not_answered(finance: Finance) -> None:
    """Nobody follows the log: exit 3, and what to do (rule: refuse clearly)."""
    history = History(finance.database, users=1)
    history.append(entries.grant(new_uuid7(), 5))
    with finance.database.connect() as connection:
        row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
    assert row is not None
    said = finance.run(f"gatewayz finance trial-balance --as-of {row[0]}", status=3)
    assert "start the gateway" in said
