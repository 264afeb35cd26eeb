"""Invoices beside what attempts cost on record: by day and model, within a tolerance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from command_api.invoices.reconcile import compare
from domain.pricing.usage import Usage
from event_store.append.entries import Entry, EntryKind
from providers.invoices.reading import InvoiceError, read_invoice
from tests.command_api.money.test_grants import ACCOUNT, give
from tests.event_store.append.test_append import append
from tests.providers.invoices.test_reading import ANTHROPIC, OPENAI, anthropic, openai
from tests.support import entries
from tests.support.rated_calls import call

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.invoices.reconcile import Compared
    from event_store.postgres.database import Database

HAIKU = ("anthropic", "claude-haiku-4-5-20251001")
TODAY = datetime.now(UTC)
DAY = TODAY.date().isoformat()
BEFORE = (TODAY - timedelta(days=1)).date().isoformat()
USAGE = Usage(2_000_000, 0)
"""A dollar, by the price of the calls: 1,000,000,000 nano-USD."""


def compared(
    database: Database, folder: Path, text: str, tolerance: int = 0, provider: str = "anthropic"
) -> Compared:
    """A file beside the log."""
    path = folder / "invoice.csv"
    path.write_text(text)
    return compare(database, provider, read_invoice(path), tolerance, lambda *_: None)


def attempts_changed(entry: Entry, *attempts: dict[str, Any]) -> Entry:
    """The entry with other attempts."""
    state = msgspec.json.decode(entry.state + b"}")
    state["attempts"] = [{**state["attempts"][0], **each} for each in attempts]
    return msgspec.structs.replace(entry, state=msgspec.json.encode(state)[:-1])


def history(database: Database) -> None:
    """Two calls at two models; one with a failed attempt elsewhere, one of yesterday."""
    give(database, 10**12)
    held, settled = call(ACCOUNT, USAGE, HAIKU)
    failed = {"provider": "q", "cost_nano_usd": 7}
    append(database, held, attempts_changed(settled, failed, {}))
    held, settled = call(ACCOUNT, USAGE, ("anthropic", "claude-opus-4-5"))
    yesterday = {"started_at": f"{BEFORE}T23:59:59.999999Z"}
    append(database, held, attempts_changed(settled, yesterday))


def test_what_matches_is_counted(database: Database, tmp_path: Path) -> None:
    """Failed attempts are another's, a call is of the day on which it began (P4)."""
    history(database)
    text = (
        ANTHROPIC
        + anthropic(DAY, "output", "0.75")
        + anthropic(DAY, "input_no_cache", "0.25")
        + anthropic(BEFORE, "output", "1", "Claude Opus 4.5")
    )
    found = compared(database, tmp_path, text)
    assert (found.matched, found.lines) == (2, [])
    assert found.invoiced == found.on_record == Decimal(2 * 10**9)


def test_what_does_not_match_is_named_with_why(database: Database, tmp_path: Path) -> None:
    """Billed and not on record, on record and not billed, another amount, an odd row (P10)."""
    history(database)
    text = (
        ANTHROPIC
        + anthropic(DAY, "output", "1.000000001")
        + anthropic(DAY, "output", "3", "Claude Sonnet 4.5")
        + anthropic(BEFORE, "output", "0", "Claude Haiku 4.5")
        + anthropic(BEFORE, "output", "1", "")
        + anthropic(BEFORE, "output", "-1", "Claude Haiku 4.5")
    )
    found = compared(database, tmp_path, text)
    assert [(each.why, each.day, each.model, each.difference_usd) for each in found.lines] == [
        ("below_zero", "", "", ""),
        ("no_model", BEFORE, "none named", "1"),
        ("not_invoiced", BEFORE, "claude-opus-4-5", "-1"),
        ("amount_differs", DAY, "claude-haiku-4-5", "0.000000001"),
        ("not_on_record", DAY, "claude-sonnet-4-5", "3"),
    ]
    assert found.lines[0].line == 6
    assert all(each.said and each.proposal for each in found.lines)
    assert found.why["not_invoiced"] == 1
    close = compared(database, tmp_path, text, tolerance=1)
    assert "amount_differs" not in close.why
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (5,)


def test_an_invoice_without_models_is_compared_by_day(database: Database, tmp_path: Path) -> None:
    """As OpenAI's is where it is not grouped; days without a bucket are not invoiced (P4)."""
    history(database)
    found = compared(
        database, tmp_path, OPENAI + openai(BEFORE, "0.9") + openai(DAY, "1"), tolerance=10**8
    )
    assert (found.matched, found.lines) == (2, [])
    (line,) = compared(database, tmp_path, OPENAI + openai(BEFORE, "0.9") + openai(DAY, "1")).lines
    assert (line.why, line.model, line.difference_usd) == ("amount_differs", "all models", "-0.1")


def test_calls_that_failed_or_came_late_cost_too(database: Database, tmp_path: Path) -> None:
    """Voided with a billed attempt, or lost: by the rule of the books (money rule 4)."""
    give(database, 10**12)
    held, settled = call(ACCOUNT, USAGE, HAIKU)
    voided = msgspec.json.decode(settled.state + b"}")
    kept = {name: voided[name] for name in ("account_id", "attempts")}
    void = Entry(EntryKind.VOID, held.stream, held.account, 0, entries.state(**kept))
    append(database, held)
    append(database, void)
    append(database, settled)
    found = compared(database, tmp_path, ANTHROPIC + anthropic(DAY, "output", "2"))
    assert found.lines == []
    assert compared(database, tmp_path, ANTHROPIC + anthropic(DAY, "output", "2"), 0, "q").why == {
        "not_on_record": 1
    }


def test_the_record_is_bounded(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More models than anybody has are refused; the log is read in pages (rule: bounded)."""
    history(database)
    monkeypatch.setattr("command_api.invoices.reconcile.PAGE_EVENTS", 1)
    text = ANTHROPIC + anthropic(DAY, "output", "1") + anthropic(BEFORE, "output", "1")
    assert compared(database, tmp_path, text).on_record == 2 * 10**9
    monkeypatch.setattr("command_api.invoices.reconcile.GROUPS_MAX", 1)
    with pytest.raises(InvoiceError, match="more than 1 days and models"):
        compared(database, tmp_path, text)
