"""`gatewayz debit` and `gatewayz transfer`, as an operator runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.command_api.cli.test_refusals import refused
from tests.support.processes import gatewayz

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database


def test_credits_are_taken_back_and_moved(database: Database, tmp_path: Path) -> None:
    """Once a key; what is not there is owed, and paid by what comes (money rule 15)."""

    def run(*arguments: str) -> Any:
        return gatewayz(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=database.owner)

    def said(*arguments: str) -> str:
        return refused(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=database.owner)

    ann, bob = (
        run("user", "create", "--email", f"{name}@example.com", "--grant", "5")["user_id"]
        for name in ("ann", "bob")
    )
    gift = ("transfer", ann, "bob@example.com", "2", "--reason", "gift", "--idempotency-key", "g")
    assert run(*gift)["moved_usd"] == "2.000000000"
    assert run(*gift)["repeated"]
    assert "can, from at most 100 grants" in said("transfer", ann, bob, "4", "--reason", "gift")
    taken = run("debit", ann, "10", "--reason", "charge-back", "--idempotency-key", "d")
    assert (taken["taken_usd"], taken["owed_usd"]) == ("3.000000000", "7.000000000")
    assert "of another debit" in said("debit", ann, "9", "--reason", "x", "--idempotency-key", "d")
    assert "more than 0" in said("debit", ann, "0", "--reason", "x")
    run("grant", ann, "8")
    assert run("ledger", "verify")["ok"]
    with database.connect() as connection:
        found = connection.execute(
            "SELECT available, owed, debited FROM credit_account ORDER BY debited DESC"
        ).fetchall()
    assert found == [(10**9, 0, 12 * 10**9), (7 * 10**9, 0, 0)]
