"""What a move of modules would break without a sound: names of modules outside of imports."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from tests.support.packages import PACKAGES, ROOT

NAMED = re.compile(
    rf"(?:from|import|-m)\s+((?:{'|'.join([*PACKAGES, 'tests', 'bench'])})(?:\.[a-z_0-9]+)+)"
)
WRITTEN_IN = (".py", ".md", ".toml", ".yml", ".mjs", "Makefile", "Dockerfile", ".ci/run")


def tracked() -> list[Path]:
    """The repository's files that may name a module."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in listed if name.endswith(WRITTEN_IN)]


def test_every_module_that_is_named_exists() -> None:
    """Programs in strings, commands in pages, settings of tools name real modules (rule: docs)."""
    checked = 0
    for path in filter(Path.is_file, tracked()):
        if path.name == "CHANGELOG.md":
            continue  # It speaks of what was, too.
        for name in NAMED.findall(path.read_text()):
            place = ROOT / name.replace(".", "/")
            checked += 1
            assert place.is_dir() or place.with_suffix(".py").is_file(), f"{path}: {name}"
    assert checked


def test_lint_exceptions_are_about_files_that_exist() -> None:
    """An exception whose file has moved away would say nothing any more (rule: tidy)."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for pattern in settings["tool"]["ruff"]["lint"]["per-file-ignores"]:
        assert any(ROOT.glob(pattern)), pattern
