"""docs/promises.md: what is promised, from `promises.toml`, and the tests that say they keep it.

`python -m tests.rules.promises` writes the page. The tests are read, not run: each names what it
keeps at the end of its docstring, like `(P2)` or `(P4, money rule 1, rule: wire)`.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("promises.toml")
PAGE = ROOT / "docs" / "promises.md"
NOT_YET = "not yet"
PARTS = {"P": "What is promised", "money rule ": "Money rules", "rule: ": "Rules of the house"}
"""How the tags of each part of the page begin, and its heading."""
TAGS_AT_END = re.compile(r"\(([^()]+)\)\.?$")
HEAD = """# Promises

Made by `python -m tests.rules.promises` from `tests/rules/promises.toml` and the docstrings of the
tests: each test names, at its docstring's end, what it keeps. What no test keeps says "not yet".
"""


@dataclass(frozen=True)
class Promise:
    """What tests keep, under the tag by which they name it."""

    tag: str
    text: str
    name: str = ""
    not_yet: bool = False


@dataclass(frozen=True, order=True)
class StatedTest:
    """A test function, its file from the root of the repository, and the tags it states."""

    path: str
    name: str
    tags: tuple[str, ...]


def read_promises() -> dict[str, Promise]:
    """All promises by their tags, in the order of the page."""
    tables = tomllib.loads(SOURCE.read_text())
    return {tag: Promise(tag=tag, **table) for tag, table in tables.items()}


def tags_of(docstring: str) -> tuple[str, ...]:
    """The tags in the parentheses that end a docstring; none where it ends otherwise."""
    found = TAGS_AT_END.search(" ".join(docstring.split()))
    return tuple(found[1].split(", ")) if found else ()


def read_tests(folder: Path = ROOT / "tests") -> list[StatedTest]:
    """Every test function below a folder, in the order of paths and names."""
    return sorted(
        StatedTest(
            path.relative_to(folder.parent).as_posix(),
            node.name,
            tags_of(ast.get_docstring(node) or ""),
        )
        for path in folder.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


def page(promises: Iterable[Promise], tests: Iterable[StatedTest]) -> str:
    """The text of docs/promises.md."""
    kept: dict[str, list[StatedTest]] = defaultdict(list)
    for test in tests:
        for tag in test.tags:
            kept[tag].append(test)
    listed = list(promises)
    parts = [HEAD]
    for start, heading in PARTS.items():
        rows = [f"## {heading}", "", "| | What | Tests |", "|---|---|---|"]
        for each in listed:
            if each.tag.startswith(start):
                count = len(kept[each.tag]) or NOT_YET
                name = f"**{each.name}.** " if each.name else ""
                rows.append(f"| {each.tag} | {name}{each.text} | {count} |")
        parts.append("\n".join(rows) + "\n")
    parts.append("## The tests that keep each\n")
    parts += [_kept_by(each, kept[each.tag]) for each in listed if kept[each.tag]]
    return "\n".join(parts)


def _kept_by(promise: Promise, tests: list[StatedTest]) -> str:
    by_path: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        by_path[test.path].append(f"`{test.name}`")
    name = f", {promise.name[0].lower()}{promise.name[1:]}" if promise.name else ""
    lines = [f"### {promise.tag}{name}", ""]
    lines += [f"- `{path}` ({len(names)}): {', '.join(names)}" for path, names in by_path.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_promises().values(), read_tests()))


if __name__ == "__main__":
    main()
