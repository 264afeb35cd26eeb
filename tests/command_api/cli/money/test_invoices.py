"""`gatewayz reconcile provider`, as an operator runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from typer.testing import CliRunner

from command_api.cli.main import app
from tests.event_store.append.test_append import append
from tests.providers.invoices.test_reading import ANTHROPIC, anthropic
from tests.support import entries
from tests.support.processes import gatewayz
from tests.support.rated_calls import call

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

from domain.pricing.usage import Usage

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")


def test_an_invoice_is_laid_beside_the_log(database: Database, tmp_path: Path) -> None:
    """Exit 0 when it matches, 1 when not, 3 when it cannot be looked at (P10)."""
    day = datetime.now(UTC).date().isoformat()
    append(database, entries.grant(ACCOUNT, 10**12))
    append(database, *call(ACCOUNT, Usage(2_000_000, 0), ("anthropic", "claude-haiku-4-5")))
    file = tmp_path / "invoice.csv"
    environment = {"GATEWAYZ_DATABASE_URL": database.owner}
    asked = ("reconcile", "provider", "anthropic", "--file", str(file))

    def run(*arguments: str, status: int = 0, **more: str) -> Any:
        return gatewayz(tmp_path, *asked, *arguments, status=status, **environment, **more)

    file.write_text(ANTHROPIC + anthropic(day, "output", "1.01"))
    found = run()
    assert (found["ok"], found["matched"], found["difference_usd"]) == (True, 1, "0.01")
    found = run("--tolerance", "0.005", status=1)
    assert (found["tolerance_usd"], found["unmatched"]) == ("0.005000000", {"amount_differs": 1})
    assert found["lines"][0]["proposal"].startswith("compare the price")
    assert not run(status=1, GATEWAYZ_INVOICE_TOLERANCE_USD="0")["ok"]
    assert "GATEWAYZ_INVOICE_TOLERANCE_USD" in run(status=1, GATEWAYZ_INVOICE_TOLERANCE_USD="-1")
    assert "--tolerance: '-1' is not a finite amount" in run("--tolerance=-1", status=1)
    told = CliRunner().invoke(
        app, [*asked, "--tolerance", "0", "--home", str(tmp_path)], env=environment
    )
    assert f"UNMATCHED  amount_differs  {day} claude-haiku-4-5" in told.stdout
    for other, said in (("openai", "an export of anthropic"), ("nope", "no provider 'nope'")):
        elsewhere = ("reconcile", "provider", other, "--file", str(file))
        assert said in gatewayz(tmp_path, *elsewhere, status=3, **environment)
    file.write_bytes(b"\xff")
    assert "no text in UTF-8" in run(status=3)
    file.unlink()
    assert "No such file" in run(status=3)
