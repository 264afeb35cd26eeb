"""Each line of the table of translations is what the translators do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers.inference.thoughts import THOUGHTS, THOUGHTS_TO
from tests.providers.inference.translations import (
    CHAT_TO,
    FROM_CHAT,
    FROM_MESSAGES,
    MESSAGES_TO,
    REFUSED,
    Line,
    To,
    outcome,
)
from tests.providers.inference.translations_of_responses import FROM_RESPONSES, RESPONSES_TO

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Translate = Callable[[dict[str, Any]], dict[str, Any]]

CASES = [
    pytest.param(line, to, translate, id=f"{line.part} to {kind}")
    for lines, kinds in (
        (FROM_MESSAGES, MESSAGES_TO),
        (FROM_RESPONSES, RESPONSES_TO),
        (FROM_CHAT, CHAT_TO),
        (THOUGHTS, THOUGHTS_TO),
    )
    for line in lines
    for to, (kind, translate) in zip(line.to, kinds.items(), strict=True)
]


@pytest.mark.parametrize(("line", "to", "translate"), CASES)
def test_the_table_says_what_becomes_of_it(line: Line, to: To, translate: Translate) -> None:
    """Carried, mended, left out or refused (rule: translation, rule: docs)."""
    made = outcome(translate, line)
    if to.word == REFUSED:
        assert made is None
        return
    assert made is not None
    assert to.shows or to.lacks, "a line without a sign shows nothing"
    for text in to.shows:
        assert text in made
    assert not to.lacks or to.lacks not in made
