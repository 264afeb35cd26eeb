"""The source keeps the rules that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.packages import PACKAGES, ROOT, SOURCES

if TYPE_CHECKING:
    from pathlib import Path

MODULE_LINES_MAX = 320
FUNCTION_LINES_MAX = 70
ROOM_MODULES_MAX = 12
DOMAIN = sorted((ROOT / "domain").rglob("*.py"))
BANNED_IN_DOMAIN = {
    *("float", "open", "print", "input", "time", "random", "secrets", "os", "socket"),
    *("asyncio", "threading", "subprocess", "uuid1", "uuid4", "datetime", "environ"),
}


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.name)
def test_the_domain_is_pure(path: Path) -> None:
    """No float, no clock, no randomness, no I/O, no import of another room (P4, rule: tidy)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"{path.name}:{node.lineno} has a float"
        if isinstance(node, ast.Name):
            assert node.id not in BANNED_IN_DOMAIN, f"{path.name}:{node.lineno} uses {node.id}"
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & BANNED_IN_DOMAIN, f"{path.name}:{node.lineno} imports {names}"
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            assert module not in BANNED_IN_DOMAIN, f"{path.name}:{node.lineno} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    """A page or so each (rule: tidy)."""
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


def test_every_package_is_in_the_one_list() -> None:
    """`pyproject.toml` names all of them; installing and types find them by it (rule: tidy)."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests", "bench"} == set(PACKAGES)


def test_every_room_has_a_charter() -> None:
    """Each package says what it owns, keeps and does not do; none is crowded (rule: tidy)."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            charter = ast.get_docstring(ast.parse(path.read_text())) or ""
            for word in ("Owns: ", "Keeps: ", "Does not: "):
                assert word in charter, f"{path} does not say what it {word.lower()}"
            modules = [each for each in path.parent.glob("*.py") if each.name != "__init__.py"]
            assert len(modules) <= ROOM_MODULES_MAX, f"{path.parent} has {len(modules)} modules"


def test_money_is_never_a_float_outside_the_domain() -> None:
    """No `float(` where amounts are handled (P4)."""
    for package in ("event_store", "projections", "query_api"):
        for path in (ROOT / package).rglob("*.py"):
            assert "float(" not in path.read_text(), path


def test_event_types_are_named_once_in_sql() -> None:
    """The SQL functions know event types by index only; the domain names them (rule: tidy)."""
    for path in (ROOT / "event_store" / "migrations").glob("*.sql"):
        assert "ledger." not in path.read_text(), path


def test_the_coverage_that_is_asked_only_rises() -> None:
    """No commit lowers it, nor does what is not yet committed (rule: tidy)."""
    asked = re.compile(r"^\+?fail_under = (\S+)$", re.MULTILINE)
    command = ["git", "log", "--format=", "-p", "-U0", "-G^fail_under", "--", "pyproject.toml"]
    history = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    now = asked.findall((ROOT / "pyproject.toml").read_text())
    assert len(now) == 1
    assert all(float(now[0]) >= float(each) for each in asked.findall(history))


def test_nothing_large_or_secret_is_tracked() -> None:
    """Recordings, data and keys stay out of the repository (rule: tidy)."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.is_file():
            assert path.stat().st_size < 400_000, name
        assert not name.endswith((".key", ".password", ".pem")), name
