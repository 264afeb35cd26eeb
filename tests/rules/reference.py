"""Writes the pages of the book that are made from the code: `make reference`.

A page that is generated as a whole stands in PAGES, once, and `test_docs.py` compares each with its
file. The events' schemas are written by `python -m event_store.relay.schemas`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rules import errors_page

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/errors.md": errors_page.page,
}
"""Each page by its path: add a line for a new one, and it is written and checked."""


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
