"""The read side over HTTP keeps to its charter."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "query_api"
MODULES = sorted(ROOM.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOM)))
def test_no_sql_stands_here(path: Path) -> None:
    """SQL stands beside its tables, in `projections` (rule: tidy)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE")), (
                f"{path.name}:{node.lineno} writes SQL"
            )
