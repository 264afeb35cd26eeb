"""Our packages, from the one list that names them."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES: tuple[str, ...] = tuple(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
)
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
