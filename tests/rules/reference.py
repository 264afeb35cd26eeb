"""Writes what of the book is made from the code: `make reference`.

A page is made as a whole, or holds made parts between marks. Each stands in PAGES, once, and
`test_docs.py` compares each with its file. The events' schemas are written by
`python -m event_store.relay.schemas`.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.e2e.conversations import fates
from tests.providers.inference import thoughts, translations, translations_of_responses
from tests.rules import errors_page, parts
from tests.support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Made = Callable[[], str]

PAGES: dict[str, Made | dict[str, Made]] = {
    "docs/reference/errors.md": errors_page.page,
    "docs/reference/settings.md": {"settings": parts.settings_tables},
    "docs/reference/events.md": {"events": parts.events_table},
    "docs/reference/metrics.md": {"metrics": parts.metrics_table},
    "docs/reference/read-models.md": {"read models": parts.read_models_text},
    "docs/reference/chart-of-accounts.md": {
        "chart": parts.chart_table,
        "entries": parts.entries_table,
    },
    "docs/reference/translations.md": {
        "messages": partial(
            translations.table, translations.FROM_MESSAGES, translations.MESSAGES_TO
        ),
        "responses": partial(
            translations.table,
            translations_of_responses.FROM_RESPONSES,
            translations_of_responses.RESPONSES_TO,
        ),
        "chat": partial(translations.table, translations.FROM_CHAT, translations.CHAT_TO),
        "thoughts": partial(translations.table, thoughts.THOUGHTS, thoughts.THOUGHTS_TO),
        "ends": translations.ends_table,
        **{f"conversations of {api}": partial(fates.table, api) for api in fates.APIS},
    },
}
"""Each page by its path, or its parts by the names in its marks: add a line for a new one."""
PART = re.compile(r"(<!-- made: ([a-z ]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with its parts made anew; raises ValueError where a part has no place."""
    for name in made:
        if f"<!-- made: {name} -->" not in page:
            message = f"the page has no <!-- made: {name} -->"
            raise ValueError(message)
    return PART.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", page)


def page(name: str) -> str:
    """A page as it must stand in the book."""
    made = PAGES[name]
    if not isinstance(made, dict):
        return made()
    text = (ROOT / name).read_text()
    return filled(text, {part: make() for part, make in made.items()})


def main() -> None:
    """Write every page."""
    for name in PAGES:
        (ROOT / name).write_text(page(name))
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
