"""Exports as providers write them, and as nobody should: read exactly, or refused with why."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.invoices.formats import key_of
from providers.invoices.reading import InvoiceError, read_invoice, shown

if TYPE_CHECKING:
    from pathlib import Path

    from providers.invoices.reading import Invoice

OPENROUTER = (
    "generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,"
    "byok_usage_inference,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,"
    "model_permaslug,provider_name,variant,cancelled\n"
)
OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,"
    "project_id,organization_id,organization_name\n"
)
ANTHROPIC = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,"
    "list_price_usd,cost_type\n"
)
FIRST, SECOND = date(2026, 2, 6), date(2026, 2, 7)


def openrouter(number: int, at: str, cost: str, model: str = "org/large-1.5-20260101") -> str:
    """One generation."""
    return f"gen-{number},{at},{cost},0,0,0,0,10,20,0,0,{model},P,standard,false\n"


def openai(day: str, value: str, item: str = "", currency: str = "usd") -> str:
    """One bucket."""
    return f"1,2,{day}T00:00:00+00:00,{day}T00:00:00+00:00,{value},{currency},{item},,org,O\n"


def anthropic(day: str, kind: str, cost: str, model: str = "Claude Haiku 4.5") -> str:
    """One kind of token."""
    return f"{day},{model},Default,key,message,≤ 200k,{kind},{cost},{cost},token\n"


def read(folder: Path, text: str | bytes) -> Invoice:
    """Through a file, as it was downloaded."""
    path = folder / "invoice.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_invoice(path)


def test_openrouters_generations_are_summed_by_day(tmp_path: Path) -> None:
    """A day is one in UTC; snapshots' dates are left out (P4)."""
    rows = (
        openrouter(1, "2026-02-06 18:54:30.040", "0.0000123")
        + openrouter(2, "2026-02-06T23:59:59-01:00", "1e-05")
        + openrouter(3, "2026-02-06 00:00:00", "0.25", "org/small:free")
    )
    found = read(tmp_path, OPENROUTER + rows)
    assert (found.format, found.rows, found.faults) == ("openrouter", 3, [])
    assert found.billed == {
        (FIRST, "org/large-1-5"): Decimal("0.0000123"),
        (SECOND, "org/large-1-5"): Decimal("0.00001"),
        (FIRST, "org/small:free"): Decimal("0.25"),
    }
    assert found.days == (FIRST, SECOND)


def test_openais_buckets_are_read_with_and_without_items(tmp_path: Path) -> None:
    """An item is a model and a kind of token; a bucket without an amount is empty (P4)."""
    value = "0.003835980000000000000000000000"
    found = read(
        tmp_path,
        OPENAI
        + openai("2026-02-06", value, '"gpt-5-nano-2025-08-07, input"')
        + openai("2026-02-06", "1", '"gpt-5-nano-2025-08-07, output"', "USD")
        + openai("2026-02-07", "", ""),
    )
    assert (found.format, found.rows, found.blank, found.by_model) == ("openai", 3, 1, True)
    assert found.billed == {(FIRST, "gpt-5-nano"): Decimal(value) + 1}
    plain = read(tmp_path, OPENAI + openai("2026-02-06", "2.5"))
    assert (plain.by_model, plain.billed) == (False, {(FIRST, ""): Decimal("2.5")})


def test_anthropics_kinds_of_token_are_summed(tmp_path: Path) -> None:
    """Its names for people are those of its API; the mark of a spreadsheet, and its ends of lines,
    change nothing (P4).
    """
    text = ANTHROPIC + "".join(
        anthropic("2026-02-06", kind, "0.1") for kind in ("input_no_cache", "output")
    )
    for written in (
        text,
        "\ufeff" + text,
        text.replace("\n", "\r\n"),
        text.rstrip("\n"),
        text + "\n\n",
    ):
        found = read(tmp_path, written)
        assert found.billed == {(FIRST, "claude-haiku-4-5"): Decimal("0.2")}
    assert key_of("claude-haiku-4-5-20251001") == "claude-haiku-4-5"


@pytest.mark.parametrize(
    ("row", "why", "said"),
    [
        (anthropic("2026-02-06", "output", "-0.1"), "below_zero", "-0.1 is below zero"),
        (anthropic("2026-02-06", "output", "=1+1"), "no_amount", "=1+1 is no amount"),
        (anthropic("2026-02-06", "output", "@SUM(A1)"), "no_amount", "no amount"),
        (anthropic("2026-02-06", "output", ""), "no_amount", "nothing is no amount"),
        (anthropic("2026-02-06", "output", "NaN"), "no_amount", "NaN"),
        (anthropic("2026-02-06", "output", "Infinity"), "no_amount", "Infinity"),
        (anthropic("2026-02-06", "output", "1e999999"), "no_amount", "anybody bills"),
        (anthropic("2026-02-06", "output", "1e-999"), "no_amount", "anybody bills"),
        (anthropic("2026-02-06", "output", "1" * 65), "no_amount", "no amount"),
        (anthropic("2026-02-06", "output", '"1,5"'), "no_amount", "1,5 is no amount"),
        (anthropic("06.02.2026", "output", "1"), "no_day", "06.02.2026 is no day"),
        (anthropic("", "output", "1"), "no_day", "nothing is no day"),
        (anthropic("2026-02-06", "output", "1", "m" * 257), "model_unreadable", "more than 256"),
        (anthropic("2026-02-06", "first", "5"), "row_repeated", "the same row stands there"),
        ("2026-02-06,Claude,1\n", "cells_missing", "the row has 3 cells, and the header 10"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, row: str, why: str, said: str) -> None:
    """It counts for nothing, and the others do (rule: refuse clearly)."""
    found = read(tmp_path, ANTHROPIC + anthropic("2026-02-06", "first", "5") + row)
    (fault,) = found.faults
    assert (fault.line, fault.why, found.faulty) == (3, why, 1)
    assert said in fault.said
    assert found.billed == {(FIRST, "claude-haiku-4-5"): Decimal(5)}


def test_another_currency_is_not_added(tmp_path: Path) -> None:
    """Not even where it is nothing (P4)."""
    rows = openai("2026-02-06", "5", "", "eur") + openai("2026-02-06", "5", "", "")
    found = read(tmp_path, OPENAI + openai("2026-02-06", "1") + rows)
    assert [(each.why, each.said[:28]) for each in found.faults] == [
        ("other_currency", "the amount is in eur, not in"),
        ("other_currency", "the amount is in no currency"),
    ]


def test_a_generation_counts_once(tmp_path: Path) -> None:
    """Files that were put together have rows twice (P4)."""
    row = openrouter(1, "2026-02-06 18:54:30.040", "0.5")
    found = read(tmp_path, OPENROUTER + row + row.replace("0.5", "0.6"))
    assert list(found.billed.values()) == [Decimal("0.5")]
    assert found.faults[0].why == "row_repeated"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "but none"),
        (b"a,b\n1,2\n", r"has not the columns of any known export .*anthropic.*, but a, b"),
        (b"\x00\x01\x02\x03", "bytes that no text has"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "no text in UTF-8"),
        (ANTHROPIC.encode("utf-16"), "no text in UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "bytes that no text has"),
        (ANTHROPIC.encode(), "the file bills nothing"),
        ((ANTHROPIC + '2026-02-06,"never ended\n').encode(), "no CSV"),
        ((ANTHROPIC + "x" * 70_000).encode(), "a line of more than 65536"),
        (("=cmd(),\x1b[31m" + "x" * 70 + "\n").encode(), r"but =cmd\(\), \?\[31mx+$"),
        (
            (
                ANTHROPIC
                + anthropic("2020-02-06", "output", "1")
                + anthropic("2026-02-06", "output", "1")
            ).encode(),
            "at most 400 days",
        ),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    """In one line, whatever it is (rule: refuse clearly)."""
    with pytest.raises(InvoiceError, match=said) as refused:
        read(tmp_path, text)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FILE_BYTES_MAX", 100, "more than 100 bytes"),
        ("ROWS_MAX", 2, "more than 2 rows"),
        ("GROUPS_MAX", 2, "more than 2 models and days"),
    ],
)
def test_a_huge_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, said: str
) -> None:
    """Nothing of it grows without an end (rule: bounded)."""
    monkeypatch.setattr(f"providers.invoices.reading.{name}", value)
    rows = "".join(anthropic(f"2026-02-0{day}", "output", "1") for day in (1, 2, 3))
    with pytest.raises(InvoiceError, match=said):
        read(tmp_path, ANTHROPIC + rows)


def test_what_is_wrong_is_counted_beyond_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of nothing but mistakes makes no list without end (rule: bounded)."""
    monkeypatch.setattr("providers.invoices.reading.FAULTS_MAX", 1)
    rows = "".join(anthropic("2026-02-06", "output", f"x{n}") for n in range(3))
    found = read(tmp_path, ANTHROPIC + anthropic("2026-02-06", "output", "1") + rows)
    assert (len(found.faults), found.faulty) == (1, 3)
    assert shown("a\x00b\n") == "a?b?"
