"""The threat model names tests that are there, for every part and every kind of threat."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.packages import ROOT

PAGE = ROOT / "docs" / "internals" / "threat-model.md"
PARTS = (
    *("Clients", "The front", "The command API", "The query API", "The ledger and PostgreSQL"),
    *("Redis", "Kafka and the workers", "Providers", "Customers' own provider keys"),
    *("The Model Context Protocol", "Files, batches and pictures"),
    *("Mail", "The operator's command line"),
)
STRIDE = set("STRIDE")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| ([A-Z]) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def sections() -> dict[str, list[tuple[str, ...]]]:
    """The rows of each part."""
    found = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {each.partition("\n")[0]: ROW.findall(each) for each in found}


def names_in(path: str) -> set[str]:
    """The tests of a file."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("part", PARTS)
def test_each_part_has_every_kind_of_threat(part: str) -> None:
    """And no row without a test (rule: docs, rule: access)."""
    rows = sections()[part]
    assert {kind for kind, *_ in rows} == STRIDE
    assert all(NAMED.search(held) for *_, held in rows)


def test_every_test_that_is_named_is_there() -> None:
    """By its file and its name (rule: docs)."""
    found = NAMED.findall(PAGE.read_text())
    assert len(found) >= 6 * len(PARTS)
    missing = [f"{path}::{name}" for path, name in found if name not in names_in(path)]
    assert missing == []


def test_no_part_is_left_out() -> None:
    """What the page has beside the parts is what stays open (rule: docs)."""
    assert [name for name, rows in sections().items() if rows] == list(PARTS)
